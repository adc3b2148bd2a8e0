"""Writes a batch of events: the log with the viewer's record, then the other user's record; then they are acknowledged.

After a crash between the two writes the log has the event, and the worker writes the other user's record
(models.event_log.log_consumer).
"""

import asyncio
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace

from models.errors import StoreUnavailableError
from models.event_log.deduplication import KEPT_S, RecentEvents
from models.event_log.event import Entry, Event
from models.event_log.reciprocal_update import (
    ReciprocalUpdate,
    by_person,
    commit_of,
    commits_of,
)
from models.live_state.edges import (
    PAIR_KINDS,
    TWO_SIDED,
    Direction,
    edge_event,
)
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.protocol import AsyncStore
from models.store.transaction import Append, Commit, Write
from models.system.clock import (
    MICROSECONDS,
    clamped,
    next_timestamp_us,
    now_us,
)

ATTEMPTS = 12
"""how often a record is read again because of concurrent writes"""
PAUSE_S = 0.002
"""how much longer the pause before each further attempt is"""
EVENTS_AT_ONCE = 500
"""of a batch, so that the event loop serves other requests in between"""
CROWDED = "Concurrent writes keep changing the live records of these people; try again."


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a batch; accepted events are in the log and in effect."""

    accepted: int
    duplicates: int
    """events that had been acknowledged before; they have no further effect"""
    clamped: int
    """accepted events whose `at` was in the future or too long ago"""
    dropped: int
    """events that name an erased user; they have no effect"""
    changed: frozenset[str]
    """users whose lists may change"""


@dataclass(slots=True)
class ViewerBatch:
    """A viewer's events in one attempt, ready to commit."""

    commit: Commit
    reciprocal_updates: list[ReciprocalUpdate] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    accepted: int = 0
    duplicates: int = 0
    clamped: int = 0


async def write_events(
    store: AsyncStore,
    keys: Keys,
    events: Sequence[Event],
    *,
    watermark: int = 0,
    gone: Container[str] = frozenset(),
    clock: Callable[[], int] = now_us,
) -> Written:
    """Writes checked events in their order and returns once all of it is written.

    `watermark` is the cut of the oldest version that can still be activated, microseconds; older entries of the records
    are dropped. `gone` are erased users who have not returned. Timestamps rise within the batch; concurrent batches are
    ordered by their commits. Raises StoreRefusedError or StoreUnavailableError: then no event is acknowledged, but some
    may have been written, and the same events may be sent again.
    """
    present = [event for event in events if event.user_id not in gone and event.other_id not in gone]
    batch = _Batch(store, keys, watermark, clock)
    batches: list[ViewerBatch] = []
    for at in range(0, len(present), EVENTS_AT_ONCE):
        batches += await batch.write(present[at : at + EVENTS_AT_ONCE])
    return Written(
        accepted=sum(batch.accepted for batch in batches),
        duplicates=sum(batch.duplicates for batch in batches),
        clamped=sum(batch.clamped for batch in batches),
        dropped=len(events) - len(present),
        changed=frozenset().union(*(batch.changed for batch in batches)),
    )


async def read_records(store: AsyncStore, keys: Keys, people: Iterable[str]) -> dict[str, LiveRecord]:
    """The live records of users, empty for those who have none. Raises CorruptRecordError."""
    unique = list(dict.fromkeys(people))
    packed = await store.get_many([keys.live(person) for person in unique])
    return {person: LiveRecord.unpack(record) for person, record in zip(unique, packed, strict=True)}


class _Batch:
    """The state of one batch while it is written."""

    def __init__(self, store: AsyncStore, keys: Keys, watermark: int, clock: Callable[[], int]) -> None:
        self._store, self._keys, self._watermark, self._clock = store, keys, watermark, clock
        self._latest = 0
        self._others: dict[str, LiveRecord] = {}
        """records of the other users as they were read, unless this batch has written them"""

    async def write(self, events: Sequence[Event]) -> list[ViewerBatch]:
        """Writes some of the events, in the records of both users of each."""
        pending: dict[UserId, list[Event]] = {}
        for event in events:
            pending.setdefault(event.user_id, []).append(event)
        batches: list[ViewerBatch] = []
        for attempt in range(ATTEMPTS):
            committed = await self.commit(pending)
            batches += committed.values()
            pending = {viewer: own for viewer, own in pending.items() if viewer not in committed}
            if not pending:
                await self.write_reciprocal_updates(
                    [update for batch in batches for update in batch.reciprocal_updates]
                )
                return batches
            await asyncio.sleep(attempt * PAUSE_S)
        raise StoreUnavailableError(CROWDED)

    async def commit(self, pending: dict[UserId, list[Event]]) -> dict[UserId, ViewerBatch]:
        """Writes the log and the viewers' records; returns the batches without a concurrent write, by viewer."""
        keys = self._keys
        hashed = [viewer for viewer, own in pending.items() if any(event.hash is not None for event in own)]
        others = {event.other_id for own in pending.values() for event in own if event.kind in TWO_SIDED}
        people = [*pending, *sorted(others - pending.keys())]
        values = await self._store.get_many([*map(keys.live, people), *map(keys.recent_events, hashed)])
        packed = dict(zip(people, values, strict=False))
        recent = dict(zip(hashed, values[len(people) :], strict=True))
        self._others = {person: LiveRecord.unpack(packed[person]) for person in others}
        lasts = {person: record.last for person, record in self._others.items()}
        now = self._clock()
        batches = {
            viewer: self._viewer_batch(viewer, own, LiveRecord.unpack(packed[viewer]), recent.get(viewer), lasts, now)
            for viewer, own in pending.items()
        }
        applied = await self._store.commit([batch.commit for batch in batches.values()])
        for viewer in pending:
            self._others.pop(viewer, None)
        return {viewer: batch for (viewer, batch), done in zip(batches.items(), applied, strict=True) if done}

    def _viewer_batch(
        self,
        viewer: UserId,
        events: Sequence[Event],
        record: LiveRecord,
        recent_before: bytes | None,
        lasts: dict[str, int],
        now: int,
    ) -> ViewerBatch:
        recent = RecentEvents.unpack(recent_before, now // MICROSECONDS)
        revision_prefix = record.revision_prefix
        batch = ViewerBatch(Commit())
        entries: list[Entry] = []
        hashes: set[bytes] = set()
        # each event in turn: skip a repeated one, else apply it to the record and collect its log entry
        for event in events:
            event_hash = event.hash
            if event_hash is not None and (event_hash in recent or event_hash in hashes):
                batch.duplicates += 1
                batch.reciprocal_updates += _repeated_update(event, record)
                continue
            timestamp_us = next_timestamp_us(now, (self._latest, record.last, lasts.get(event.other_id, 0)))
            at, was_clamped = clamped(event.at, now)
            _apply(record, event, timestamp_us)
            self._latest = timestamp_us
            if event_hash is not None:
                hashes.add(event_hash)
            batch.accepted += 1
            batch.clamped += was_clamped
            entries.append(Entry.of(event, timestamp_us, at))
            if event.kind in PAIR_KINDS:
                batch.changed.add(viewer)
            if event.kind in TWO_SIDED:
                batch.changed.add(event.other_id)
                batch.reciprocal_updates.append(ReciprocalUpdate(event.other_id, viewer, event.kind, timestamp_us))
        # one commit: the record, the hashes of recent events, and the log
        if entries:
            commit = commit_of(self._keys, viewer, record, revision_prefix, watermark=self._watermark, now=now)
            writes = list(commit.writes)
            if hashes:
                recent.add(sorted(hashes), now // MICROSECONDS)
                writes.append(Write(self._keys.recent_events(viewer), recent.pack(), KEPT_S))
            log = self._keys.log(shard_of(viewer))
            batch.commit = replace(commit, writes=writes, appends=[Append(log, entry.encode()) for entry in entries])
        return batch

    async def write_reciprocal_updates(self, reciprocal_updates: Sequence[ReciprocalUpdate]) -> None:
        """Writes the other users' records; after a concurrent write they are read again."""
        pending = by_person(reciprocal_updates)
        known = self._others
        for attempt in range(ATTEMPTS):
            unread = [person for person in pending if person not in known]
            records = known | (await read_records(self._store, self._keys, unread) if unread else {})
            commits = commits_of(self._keys, pending, records, watermark=self._watermark, now=self._clock())
            applied = await self._store.commit(list(commits.values()))
            conflicting = [person for person, done in zip(commits, applied, strict=True) if not done]
            if not conflicting:
                return
            pending, known = {person: pending[person] for person in conflicting}, {}
            await asyncio.sleep(attempt * PAUSE_S)
        raise StoreUnavailableError(CROWDED)


def _apply(record: LiveRecord, event: Event, timestamp_us: int) -> None:
    """Applies an event to the viewer's record."""
    if event.kind is EventKind.IMPRESSION:
        record.show(event.other_id, timestamp_us)
    else:
        record.act(event.other_id)
    if event.kind in PAIR_KINDS:
        record.apply(event.other_id, Direction.OUT, event.kind, timestamp_us)
    record.last = max(record.last, timestamp_us)


def _repeated_update(event: Event, record: LiveRecord) -> list[ReciprocalUpdate]:
    """The update of a repeated event, whose first writer may have died before it wrote the other user's record."""
    timestamp_us = record.edges.get(event.other_id, {}).get(edge_event(Direction.OUT, event.kind), 0)
    return (
        [ReciprocalUpdate(event.other_id, event.user_id, event.kind, timestamp_us)]
        if timestamp_us and event.kind in TWO_SIDED
        else []
    )
