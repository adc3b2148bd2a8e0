"""The change that an event makes in the record of the other user.

The service writes it after the viewer's record; the log consumer writes it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from models.event_log.event import Entry
from models.live_state.edges import TWO_SIDED, Direction
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.store.keys import Keys
from models.store.transaction import Commit, Guard, Write


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


def by_person(reciprocal_updates: Iterable[ReciprocalUpdate]) -> dict[str, list[ReciprocalUpdate]]:
    """The updates of each record, by its owner."""
    by_owner: dict[str, list[ReciprocalUpdate]] = {}
    for update in reciprocal_updates:
        by_owner.setdefault(update.owner_id, []).append(update)
    return by_owner


def commits_of(
    keys: Keys,
    updates: Mapping[str, Sequence[ReciprocalUpdate]],
    records: Mapping[str, LiveRecord],
    *,
    watermark: int,
    now: int,
) -> dict[str, Commit]:
    """By user, the commit that applies the updates to the record; without the users whose records have them already.

    The updates are applied to `records`.
    """
    commits = {}
    for person, reciprocal_updates in updates.items():
        record = records[person]
        revision_prefix = record.revision_prefix
        changes = [
            record.apply(update.viewer_id, Direction.IN, update.kind, update.timestamp_us)
            for update in reciprocal_updates
        ]
        if any(changes):
            commits[person] = commit_of(keys, person, record, revision_prefix, watermark=watermark, now=now)
    return commits


def commit_of(
    keys: Keys, person: str, record: LiveRecord, revision_prefix: bytes | None, *, watermark: int, now: int
) -> Commit:
    """Writes a record if the stored one still starts with `revision_prefix`. The record takes its next revision."""
    record.drop_before(watermark)
    packed = record.next_revision(now).pack()
    key = keys.live(person)
    return Commit(guards=[Guard(key, revision_prefix)], writes=[Write(key, packed)])
