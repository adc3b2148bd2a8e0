"""Who waits for candidates: the members of the queue Keys.refresh, and which entries of the log put people there.

A member names a person and the change that calls for another block. Two changes are two members, so that one which
comes while a worker makes the block of the one before waits for its own turn.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.event_log.event import ERASE, PROFILE, Entry
from models.live_state.edges import GRAPH_CHANGING
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.store.protocol import SyncStore

LIFTING_BOTH = frozenset({EventKind.UNBLOCK, EventKind.WITHDRAW})
"""the kinds after which either may be suggested to the other, whom her block leaves out"""

_APART = b"\x1f"
"""no user id holds a control character"""
QUEUED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """One member of the queue."""

    user_id: str
    timestamp_us: int = 0
    """of the change, microseconds; 0: the person asked for a list and has no block"""
    tries: int = 0
    """how often it failed"""

    def encode(self) -> bytes:
        """The member; the id alone where there is no more to say."""
        user_id = self.user_id.encode()
        return (
            user_id
            if not (self.timestamp_us or self.tries)
            else b"%b\x1f%d\x1f%d" % (user_id, self.timestamp_us, self.tries)
        )

    @classmethod
    def decode(cls, member: bytes) -> "RefreshRequest | None":
        """What a member says; None where it is none."""
        user_id, *rest = member.split(_APART)
        try:
            timestamp_us, tries = (int(part) for part in rest) if rest else (0, 0)
            return cls(user_id.decode(), timestamp_us, tries)
        except ValueError:
            return None


def needs_refresh(entries: Iterable[Entry]) -> dict[str, int]:
    """By person whose block no longer fits, the stamp of the last change that is among the entries.

    A friendship made or ended concerns both; so does what lifts a block or an invite. A profile concerns its person. Of
    an erased person only what came after the erasure counts.
    """
    timestamps_us: dict[str, int] = {}
    for entry in entries:
        if entry.kind == ERASE:
            timestamps_us.pop(entry.user_id, None)
        for person in _concerned(entry):
            timestamps_us[person] = max(entry.timestamp_us, timestamps_us.get(person, 0))
    return timestamps_us


def _concerned(entry: Entry) -> tuple[str, ...]:
    kind, other = entry.event_kind, entry.other_id
    if other is not None and (kind in GRAPH_CHANGING or kind in LIFTING_BOTH):
        return entry.user_id, other
    return (entry.user_id,) if kind is EventKind.UNDISMISS or entry.kind == PROFILE else ()


def queue_people(store: SyncStore, keys: Keys, timestamps_us: Mapping[str, int], due_s: float | None = None) -> None:
    """Queues people for the changes with these stamps, at once unless said otherwise (epoch seconds)."""
    members = [RefreshRequest(user_id, timestamp_us).encode() for user_id, timestamp_us in timestamps_us.items()]
    for at in range(0, len(members), QUEUED_AT_ONCE):
        store.queue_add(keys.refresh, members[at : at + QUEUED_AT_ONCE], time.time() if due_s is None else due_s)
