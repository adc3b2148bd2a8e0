"""The change that an event makes in the record of the other user.

The service writes it after the viewer's record; the log consumer writes it again if it is not there.
"""

from typing import NamedTuple

from models.event_log.event import Entry
from models.live_state.edges import TWO_SIDED, Direction, edge_event
from models.live_state.journal import JournalEntry
from models.live_state.user_record import new_base
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.transaction import Add, Commit, Extend

MOST_OTHERS_BYTES = 32 << 20
"""of a record to which others' events are added: about a million and a half edges"""


class ReciprocalUpdate(NamedTuple):
    """What an acknowledged event changes in the record of the other user."""

    owner_id: UserId
    """the other user, whose record changes"""
    viewer_id: UserId
    """the user who acted"""
    kind: EventKind
    timestamp_us: int

    @classmethod
    def of(cls, entry: Entry) -> "ReciprocalUpdate | None":
        """The update that an entry of the log needs; None if the entry concerns its own user alone."""
        kind = entry.event_kind
        if kind is None or kind not in TWO_SIDED or entry.other_id is None:
            return None
        return cls(entry.other_id, entry.user_id, kind, entry.timestamp_us)

    def commit(self, keys: Keys) -> Commit:
        """Adds the update to the record, unless it was added lately: writing it again has no effect."""
        number = edge_event(Direction.IN, self.kind)
        added = extend_record(
            keys,
            self.owner_id,
            [JournalEntry(number, self.timestamp_us, self.viewer_id)],
            most_bytes=MOST_OTHERS_BYTES,
            unless_recent=True,
        )
        return Commit(extends=[added], adds=[in_index(keys, self.owner_id)])


def extend_record(
    keys: Keys, user_id: str, entries: list[JournalEntry], *, most_bytes: int = 0, unless_recent: bool = False
) -> Extend:
    """Adds entries to a user's live record, which begins if there is none."""
    data = b"".join([entry.encode() for entry in entries])
    start = new_base(entries[0].timestamp_us)
    return Extend(keys.live(user_id), data, start, most_bytes, unless_recent)


def in_index(keys: Keys, user_id: str) -> Add:
    """Notes that a user has a live record."""
    return Add(keys.people(shard_of(user_id)), user_id.encode())
