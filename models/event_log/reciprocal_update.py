"""The change that an event makes in the record of the other user.

The service writes it after the viewer's record; the log consumer writes it again if it is not there.

A record has a bound, and any number of others may act on one user. Beyond the bound an event is in effect for the user
who acted alone, until the next night includes it: the answer says so, and the worker notes whose record is full.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import structlog

from models.event_log.event import Entry
from models.live_state.edges import PROTECTING, TWO_SIDED, Direction, edge_event
from models.live_state.journal import JournalEntry
from models.live_state.user_record import new_base
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.protocol import SyncStore
from models.store.transaction import Add, Commit, Extend

MOST_OTHERS_BYTES = 32 << 20
"""of a record to which others' events are added: about a million and a half edges"""
MOST_OTHERS_PROTECTING_BYTES = 64 << 20
"""the same for what keeps two people apart: no number of invitations takes that room"""
_LONGEST_ENTRY_BYTES = 140
READ_AT_ONCE = 1000


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

    @property
    def number(self) -> int:
        """The number of the edge event in the other user's record."""
        return edge_event(Direction.IN, self.kind)

    def is_among(self, edges: Mapping[tuple[str, str], Mapping[int, int]]) -> bool:
        """Whether edge events, by owner of the record and other, have it."""
        return edges.get((self.owner_id, self.viewer_id), {}).get(self.number, 0) >= self.timestamp_us

    def commit(self, keys: Keys) -> Commit:
        """Adds the update to the record, unless it was added lately: writing it again has no effect."""
        most_bytes = MOST_OTHERS_PROTECTING_BYTES if self.kind in PROTECTING else MOST_OTHERS_BYTES
        added = extend_record(
            keys,
            self.owner_id,
            [JournalEntry(self.number, self.timestamp_us, self.viewer_id)],
            most_bytes=most_bytes,
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


def note_full(store: SyncStore, keys: Keys, people: Iterable[UserId]) -> None:
    """Notes users in whose live record an update found no room."""
    noted = sorted(set(people))
    store.members_add(keys.full, [person.encode() for person in noted])
    structlog.get_logger().error("live_record_full", users=len(noted))


def full_people(store: SyncStore, keys: Keys) -> list[tuple[str, int]]:
    """The noted users, largest record first, with the size of each in bytes."""
    people = sorted(member.decode() for member in store.members(keys.full))
    sizes = store.lengths([keys.live(person) for person in people]) if people else []
    return sorted(zip(people, sizes, strict=True), key=lambda one: (-one[1], one[0]))


def recheck_full(store: SyncStore, keys: Keys) -> int:
    """Forgets the noted users whose record has room for any update again; returns how many are left."""
    noted = sorted(store.members(keys.full))
    for at in range(0, len(noted), READ_AT_ONCE):
        part = noted[at : at + READ_AT_ONCE]
        lengths = store.lengths([keys.live(person.decode()) for person in part])
        most = MOST_OTHERS_BYTES - _LONGEST_ENTRY_BYTES
        store.members_remove(
            keys.full, [person for person, length in zip(part, lengths, strict=True) if length <= most]
        )
    return len(store.members(keys.full)) if noted else 0
