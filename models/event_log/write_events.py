"""Writing a batch of events: log and viewer's record together, then the other person's record, then the answer.

Whatever a crash leaves between the two, the log has the event, and the worker mends the rest
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
"""how often a record that others write meanwhile is read again"""
PAUSE_S = 0.002
"""longer by this before every further attempt"""
EVENTS_AT_ONCE = 500
"""of a batch, so that other requests get their turn in between"""
CROWDED = "The live records of these people are written too often at a time; try again."


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch; all that is accepted is in the log and in effect."""

    accepted: int
    duplicates: int
    """events that had been acknowledged before; they did nothing more"""
    clamped: int
    """accepted events whose `at` lay in the future or too far back"""
    dropped: int
    """events by or towards people who are gone; they did nothing"""
    changed: frozenset[str]
    """people whose lists are others than before"""


@dataclass(slots=True)
class ViewerBatch:
    """A viewer's events in one attempt, ready to be committed."""

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

    `watermark` is the cut of the oldest version that can still be activated, microseconds: what records keep from
    before it is dropped. `gone` are erased people who did not come back. Stamps rise over the batch; several batches at
    once are ordered as their commits are. Raises StoreRefusedError or StoreUnavailableError: nothing is acknowledged
    then, but a part may have been written, and the same events may be sent again.
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
    """The live records of people, empty for those who have none. Raises CorruptRecordError."""
    asked = list(dict.fromkeys(people))
    packed = await store.get_many([keys.live(person) for person in asked])
    return {person: LiveRecord.unpack(one) for person, one in zip(asked, packed, strict=True)}


class _Batch:
    """One batch being written."""

    def __init__(self, store: AsyncStore, keys: Keys, watermark: int, clock: Callable[[], int]) -> None:
        self._store, self._keys, self._watermark, self._clock = store, keys, watermark, clock
        self._latest = 0
        self._others: dict[str, LiveRecord] = {}
        """records of others as they were read and not written since"""

    async def write(self, events: Sequence[Event]) -> list[ViewerBatch]:
        """Writes some of the events, both halves of each."""
        waiting: dict[str, list[Event]] = {}
        for event in events:
            waiting.setdefault(event.user_id, []).append(event)
        batches: list[ViewerBatch] = []
        for attempt in range(ATTEMPTS):
            made = await self.commit(waiting)
            batches += made.values()
            waiting = {viewer: own for viewer, own in waiting.items() if viewer not in made}
            if not waiting:
                await self.write_reciprocal_updates(
                    [update for batch in batches for update in batch.reciprocal_updates]
                )
                return batches
            await asyncio.sleep(attempt * PAUSE_S)
        raise StoreUnavailableError(CROWDED)

    async def commit(self, waiting: dict[str, list[Event]]) -> dict[str, ViewerBatch]:
        """Writes log and viewers' records; by viewer those that nobody else wrote meanwhile."""
        keys = self._keys
        hashed = [viewer for viewer, own in waiting.items() if any(event.hash is not None for event in own)]
        others = {event.other_id for own in waiting.values() for event in own if event.kind in TWO_SIDED}
        people = [*waiting, *sorted(others - waiting.keys())]
        values = await self._store.get_many([*map(keys.live, people), *map(keys.seen, hashed)])
        packed = dict(zip(people, values, strict=False))
        recent = dict(zip(hashed, values[len(people) :], strict=True))
        self._others = {person: LiveRecord.unpack(packed[person]) for person in others}
        lasts = {person: record.last for person, record in self._others.items()}
        now = self._clock()
        batches = {
            viewer: self._viewer_batch(viewer, own, LiveRecord.unpack(packed[viewer]), recent.get(viewer), lasts, now)
            for viewer, own in waiting.items()
        }
        made = await self._store.commit([batch.commit for batch in batches.values()])
        for viewer in waiting:
            self._others.pop(viewer, None)
        return {viewer: batch for (viewer, batch), one in zip(batches.items(), made, strict=True) if one}

    def _viewer_batch(
        self,
        viewer: str,
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
        for event in events:
            event_hash = event.hash
            if event_hash is not None and (event_hash in recent or event_hash in hashes):
                batch.duplicates += 1
                batch.reciprocal_updates += _again(event, record)
                continue
            timestamp_us = next_timestamp_us(now, (self._latest, record.last, lasts.get(event.other_id, 0)))
            at, moved = clamped(event.at, now)
            _apply(record, event, timestamp_us)
            self._latest = timestamp_us
            if event_hash is not None:
                hashes.add(event_hash)
            batch.accepted += 1
            batch.clamped += moved
            entries.append(Entry.of(event, timestamp_us, at))
            if event.kind in PAIR_KINDS:
                batch.changed.add(viewer)
            if event.kind in TWO_SIDED:
                batch.changed.add(event.other_id)
                batch.reciprocal_updates.append(ReciprocalUpdate(event.other_id, viewer, event.kind, timestamp_us))
        if entries:
            commit = commit_of(self._keys, viewer, record, revision_prefix, watermark=self._watermark, now=now)
            writes = list(commit.writes)
            if hashes:
                recent.add(sorted(hashes), now // MICROSECONDS)
                writes.append(Write(self._keys.seen(viewer), recent.pack(), KEPT_S))
            log = self._keys.log(shard_of(viewer))
            batch.commit = replace(commit, writes=writes, appends=[Append(log, entry.encode()) for entry in entries])
        return batch

    async def write_reciprocal_updates(self, reciprocal_updates: Sequence[ReciprocalUpdate]) -> None:
        """Writes the other people's records, read again where somebody else wrote them meanwhile."""
        waiting = by_person(reciprocal_updates)
        known = self._others
        for attempt in range(ATTEMPTS):
            unread = [person for person in waiting if person not in known]
            records = known | (await read_records(self._store, self._keys, unread) if unread else {})
            commits = commits_of(self._keys, waiting, records, watermark=self._watermark, now=self._clock())
            made = await self._store.commit(list(commits.values()))
            conflicting = [person for person, one in zip(commits, made, strict=True) if not one]
            if not conflicting:
                return
            waiting, known = {person: waiting[person] for person in conflicting}, {}
            await asyncio.sleep(attempt * PAUSE_S)
        raise StoreUnavailableError(CROWDED)


def _apply(record: LiveRecord, event: Event, timestamp_us: int) -> None:
    """The viewer's half of an event."""
    if event.kind is EventKind.IMPRESSION:
        record.show(event.other_id, timestamp_us)
    else:
        record.act(event.other_id)
    if event.kind in PAIR_KINDS:
        record.apply(event.other_id, Direction.OUT, event.kind, timestamp_us)
    record.last = max(record.last, timestamp_us)


def _again(event: Event, record: LiveRecord) -> list[ReciprocalUpdate]:
    """The other half of an event that was written before, whose writer may have died before this half."""
    timestamp_us = record.edges.get(event.other_id, {}).get(edge_event(Direction.OUT, event.kind), 0)
    return (
        [ReciprocalUpdate(event.other_id, event.user_id, event.kind, timestamp_us)]
        if timestamp_us and event.kind in TWO_SIDED
        else []
    )
