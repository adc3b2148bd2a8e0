"""Merges the journals of live records into their bases, and removes what every version includes.

Writers only add. So a record grows until it is merged: when its journal is longer than its base, and once after the
watermark has risen. What is added meanwhile stays behind the new base.

A large record keeps the end of its journal, behind a note of what was merged: a process that resolved the record before
goes on from there instead of resolving all of it again.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import structlog

from models.errors import CorruptRecordError
from models.live_state import journal
from models.live_state.journal import JournalEntry
from models.live_state.profile_changes import LiveProfile
from models.live_state.user_record import MOST_SHOWN, PREFIX_BYTES, SHOWN_S, LiveRecord, base_length, lasts
from models.store.keys import SHARDS, Keys, shard_of
from models.store.protocol import SyncStore
from models.store.transaction import Add, Commit, Guard, Outcome, Replace
from models.system.clock import MICROSECONDS

JOURNAL_BYTES = 4096
"""a journal up to this length is not merged"""
TAIL_BYTES = 16 << 10
"""the end of a journal that stays unmerged, some 800 entries, in a record of at least four times that"""
READ_AT_ONCE = 200


def is_long(packed: bytes) -> bool:
    """Whether the journal of a record is longer than its base. Raises CorruptRecordError."""
    base = base_length(packed)
    return len(packed) - base > max(JOURNAL_BYTES, base)


def compact(
    store: SyncStore, keys: Keys, people: Sequence[str], *, watermark: int, now: int, only_long: bool = True
) -> int:
    """Merges the live records and live profiles of users; returns how many records were rewritten or removed.

    `now` in microseconds. `only_long`: those with a long journal. A record that does not read back is left as it is and
    noted (Keys.damaged).
    """
    commits = []
    records = store.get_many([keys.live(person) for person in people])
    for person, packed in zip(people, records, strict=True):
        try:
            if packed is not None and (not only_long or is_long(packed)):
                commits.append(_compacted(keys, person, packed, watermark, now))
        except CorruptRecordError as error:
            note_damaged(store, keys, person, error)
    outcomes = store.commit([commit for commit in commits if commit is not None])
    _compact_profiles(store, keys, people, watermark)
    return outcomes.count(Outcome.APPLIED)


def sweep(store: SyncStore, keys: Keys, *, watermark: int, now: int) -> int:
    """Merges all records of a store, and removes the empty ones; returns how many were rewritten or removed."""
    changed = 0
    for shard in range(SHARDS):
        members = store.members_scan(keys.people(shard))
        while people := [member.decode() for member in islice(members, READ_AT_ONCE)]:
            changed += compact(store, keys, people, watermark=watermark, now=now, only_long=False)
    return changed


def people_with_records(store: SyncStore, keys: Keys) -> Iterator[str]:
    """Everybody who has a live record, some perhaps twice."""
    for shard in range(SHARDS):
        yield from (member.decode() for member in store.members_scan(keys.people(shard)))


def index_people(store: SyncStore, keys: Keys) -> None:
    """Notes who has a live record in a store of an earlier release, once: it walks all keys."""
    if store.get(keys.people_indexed) is not None:
        return
    for shard in range(SHARDS):
        prefix = f"{keys.shard(shard)}u:"
        names = store.scan(prefix)
        while people := [name.removeprefix(prefix).encode() for name in islice(names, READ_AT_ONCE)]:
            store.members_add(keys.people(shard), people)
    store.set(keys.people_indexed, b"1")


def note_damaged(store: SyncStore, keys: Keys, person: str, error: CorruptRecordError) -> None:
    """Notes that the live record or live profile of a user does not read back."""
    store.members_add(keys.damaged, [person.encode()])
    structlog.get_logger().error("live_record_damaged", error=str(error))


def _compacted(keys: Keys, person: str, packed: bytes, watermark: int, now: int) -> Commit | None:
    """The commit that replaces a record, or all but its end; None if it would stay as it is."""
    key, prefix = keys.live(person), packed[:PREFIX_BYTES]
    oldest = now // MICROSECONDS - SHOWN_S
    length = _followed_length(packed)
    record = LiveRecord.unpack(packed[:length])
    note = b""
    if length < len(packed):
        if _drops(record, watermark, oldest):  # what a process that resolved the record before would still have
            length, record = len(packed), LiveRecord.unpack(packed)
        else:
            note = JournalEntry.of_merge(record.revision, length).encode()
    record.drop_before(watermark)
    record.drop_shown_before(oldest)
    # an erasure raises the watermark of its record, but counts until versions are of after it: events may come late
    if record.is_empty and record.erased <= watermark and length == len(packed):
        index = Add(keys.people(shard_of(person)), person.encode())
        return Commit(guards=[Guard(key, prefix, length)], deletes=[key], removes=[index])
    merged = record.next_revision(now).pack() + note
    if len(merged) >= length:
        return None
    return Commit(guards=[Guard(key, prefix)], replaces=[Replace(key, length, merged)])


def _followed_length(packed: bytes) -> int:
    """How much of a record to merge so that a process can follow: all but the end of the journal if it is large."""
    start, end = base_length(packed), len(packed) - TAIL_BYTES
    return journal.boundary(packed, start, end) if start < end and end >= 3 * TAIL_BYTES else len(packed)


def _drops(record: LiveRecord, watermark: int, oldest: int) -> bool:
    """Whether merging drops any edge event or impressions of a record."""
    if len(record.shown) > MOST_SHOWN or any(shown.last < oldest for shown in record.shown.values()):
        return True
    return any(
        at <= watermark and not lasts(number, edge_events)
        for edge_events in record.edges.values()
        for number, at in edge_events.items()
    )


def _compact_profiles(store: SyncStore, keys: Keys, people: Iterable[str], watermark: int) -> None:
    """Merges the lines of live profiles. One that does not read back is left as it is and noted (Keys.damaged)."""
    names = {person: keys.live_profile(person) for person in people}
    commits = []
    for (person, key), packed in zip(names.items(), store.get_many(list(names.values())), strict=True):
        try:
            profile = LiveProfile.unpack(packed)
        except CorruptRecordError as error:
            note_damaged(store, keys, person, error)
            continue
        if packed is None:
            continue
        profile.drop_before(watermark)
        if not profile.columns:
            commits.append(Commit(guards=[Guard(key, packed, len(packed))], deletes=[key]))
        elif len(merged := profile.pack()) < len(packed):
            commits.append(Commit(guards=[Guard(key, packed)], replaces=[Replace(key, len(packed), merged)]))
    store.commit(commits)
