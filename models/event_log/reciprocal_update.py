"""The other person's half of an event: written after the viewer's by the service, and again by the mending worker."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from models.event_log.event import Entry
from models.live_state.edges import TWO_SIDED, Direction
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.store.transaction import Commit, Guard, Write


class ReciprocalUpdate(NamedTuple):
    """What an acknowledged event changes in the record of the other person."""

    whose: str
    """the other person, whose record it is"""
    by: str
    """the viewer, who did it"""
    kind: EventKind
    timestamp_us: int

    @classmethod
    def of(cls, entry: Entry) -> "ReciprocalUpdate | None":
        """The half that an entry of the log asks for; None where it concerns its own person alone."""
        kind = entry.event_kind
        if kind is None or kind not in TWO_SIDED or entry.other_id is None:
            return None
        return cls(entry.other_id, entry.user_id, kind, entry.timestamp_us)


def by_person(reciprocal_updates: Iterable[ReciprocalUpdate]) -> dict[str, list[ReciprocalUpdate]]:
    """The halves of each person."""
    whose: dict[str, list[ReciprocalUpdate]] = {}
    for update in reciprocal_updates:
        whose.setdefault(update.whose, []).append(update)
    return whose


def commits_of(
    keys: Keys,
    wanted: Mapping[str, Sequence[ReciprocalUpdate]],
    records: Mapping[str, LiveRecord],
    *,
    watermark: int,
    now: int,
) -> dict[str, Commit]:
    """By person what brings a record up to date; nobody whose record has all of it.

    `records` are changed: they become what is written.
    """
    commits = {}
    for person, reciprocal_updates in wanted.items():
        record = records[person]
        revision_prefix = record.revision_prefix
        news = [
            record.apply(update.by, Direction.IN, update.kind, update.timestamp_us) for update in reciprocal_updates
        ]
        if any(news):
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
