"""The queue of users who need new candidates (Keys.refresh), and the log entries that add users to it.

A member names a user and the change that makes their block stale. Two changes are two members, so that a change during
the refresh for an earlier one is not lost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.event_log.event import ERASE, PROFILE, Entry
from models.live_state.edges import GRAPH_CHANGING
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS

LIFTING_BOTH = frozenset({EventKind.UNBLOCK, EventKind.WITHDRAW})
"""the kinds after which both users may be suggested to each other, although their blocks lack the other"""

_SEPARATOR = b"\x1f"
"""a control character, which no user id contains"""
QUEUED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """One member of the queue."""

    user_id: str
    timestamp_us: int = 0
    """of the change, microseconds; 0: the user requested a list and has no block"""
    tries: int = 0
    """how often the refresh failed"""

    def encode(self) -> bytes:
        """The member; the id alone if timestamp and tries are 0."""
        user_id = self.user_id.encode()
        return (
            user_id
            if not (self.timestamp_us or self.tries)
            else b"%b\x1f%d\x1f%d" % (user_id, self.timestamp_us, self.tries)
        )

    @classmethod
    def decode(cls, member: bytes) -> "RefreshRequest | None":
        """The request of a member; None if it is not valid."""
        user_id, *rest = member.split(_SEPARATOR)
        try:
            timestamp_us, tries = (int(part) for part in rest) if rest else (0, 0)
            return cls(user_id.decode(), timestamp_us, tries)
        except ValueError:
            return None


def needs_refresh(entries: Iterable[Entry]) -> dict[str, int]:
    """The users whose blocks are stale after these entries, with the timestamp of the last change of each.

    A friendship made or ended affects both users; so does lifting a block or an invite. A profile affects its user.
    Entries of an erased user before the erasure do not count.
    """
    timestamps_us: dict[str, int] = {}
    for entry in entries:
        if entry.kind == ERASE:
            timestamps_us.pop(entry.user_id, None)
        for person in _affected(entry):
            timestamps_us[person] = max(entry.timestamp_us, timestamps_us.get(person, 0))
    return timestamps_us


def _affected(entry: Entry) -> tuple[str, ...]:
    kind, other = entry.event_kind, entry.other_id
    if other is not None and (kind in GRAPH_CHANGING or kind in LIFTING_BOTH):
        return entry.user_id, other
    return (entry.user_id,) if kind is EventKind.UNDISMISS or entry.kind == PROFILE else ()


def queue_people(store: SyncStore, keys: Keys, timestamps_us: Mapping[str, int], due_s: float | None = None) -> None:
    """Queues users for the changes at these timestamps, due at `due_s` (epoch seconds of the store) or at once."""
    if not timestamps_us:
        return
    due_s = store.clock_us() / MICROSECONDS if due_s is None else due_s
    members = [RefreshRequest(user_id, timestamp_us).encode() for user_id, timestamp_us in timestamps_us.items()]
    for at in range(0, len(members), QUEUED_AT_ONCE):
        store.queue_add(keys.refresh, members[at : at + QUEUED_AT_ONCE], due_s)
