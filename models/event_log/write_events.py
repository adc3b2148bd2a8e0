"""Writes a batch of events: the log with the viewer's record, then the other user's record; then they are acknowledged.

No record is read before: the store takes each event in one step, whatever others write at the same time. After a crash
between the two writes the log has the event, and the worker writes the other user's record
(models.event_log.log_consumer).
"""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import structlog

from models.errors import CorruptRecordError, StoreUnavailableError
from models.event_log.deduplication import current_generation, has_identities, once
from models.event_log.event import Entry, Event
from models.event_log.reciprocal_update import ReciprocalUpdate, extend_record, in_index
from models.live_state.edges import PAIR_KINDS, PROTECTING, TWO_SIDED, Direction, edge_event
from models.live_state.journal import JournalEntry
from models.live_state.record_excerpt import read_excerpt
from models.live_state.timestamps import take_timestamps
from models.store.keys import Keys, shard_of
from models.store.protocol import AsyncStore
from models.store.transaction import Append, Commit, Fence, Outcome
from models.system.clock import clamped, now_us

EVENTS_AT_ONCE = 200
"""of a batch: between two slices the store and the event loop serve others"""
ATTEMPTS = 4
"""how often a slice is sent: once, and again with later timestamps after a night has fenced the log off meanwhile"""
MOST_SIGNALS_BYTES = 4 << 20
"""of a viewer's record to which impressions, clicks and views are added"""
MOST_BYTES = 8 << 20
"""the same for what changes a pair: about 350,000 edges"""
MOST_PROTECTING_BYTES = 32 << 20
"""the same for what keeps two people apart"""


class Result(StrEnum):
    """What became of one event."""

    ACCEPTED = "accepted"
    CLAMPED = "clamped"
    """accepted; its `at` was in the future or too long ago"""
    DUPLICATE = "duplicate"
    """it was acknowledged before, and has no further effect"""
    GONE = "gone"
    """it names an erased user, and has no effect"""
    FULL = "full"
    """a live record has no room for it: if that is the user's own it has no effect, if it is the other's it is in
    effect for the user alone, and for the other after the next night"""


@dataclass(slots=True)
class Written:
    """The outcome of a batch so far; accepted events are in the log and, once the batch is written, in effect."""

    results: list[Result] = field(default_factory=list)
    """by event, in the order of the batch"""
    changed: set[str] = field(default_factory=set)
    """users whose lists may change"""

    def count(self, *results: Result) -> int:
        """How many events had one of these results."""
        return sum(map(self.results.count, results))

    def add(self, events: Sequence[Event], results: Sequence[Result], gone: Container[str]) -> None:
        """Adds events of the batch; `results` are those of the events that name nobody `gone`."""
        following = iter(results)
        for event in events:
            is_gone = event.user_id in gone or event.other_id in gone
            result = Result.GONE if is_gone else next(following)
            self.results.append(result)
            if result in (Result.ACCEPTED, Result.CLAMPED) and event.kind in PAIR_KINDS:
                self.changed |= {event.user_id, event.other_id} if event.kind in TWO_SIDED else {event.user_id}

    @property
    def accepted(self) -> int:
        """Events that were new and are in effect."""
        return self.count(Result.ACCEPTED, Result.CLAMPED)


async def write_events(
    store: AsyncStore,
    keys: Keys,
    events: Sequence[Event],
    *,
    after: int = 0,
    gone: Container[str] = frozenset(),
    clock: Callable[[], int] = now_us,
    written: Written | None = None,
) -> Written:
    """Writes checked events and returns once all of them are written. Their timestamps rise in their order.

    `after` is a timestamp that theirs must be later than, such as the cut of the served version, microseconds. `gone`
    are erased users who have not returned. `written` has what is in the log so far. It does so too if this raises
    StoreRefusedError or StoreUnavailableError: then the same events may be sent again.
    """
    written = Written() if written is None else written
    batch, before = _Batch(store, keys, after, clock), len(written.results)
    for at in range(0, len(events), EVENTS_AT_ONCE):
        part = events[at : at + EVENTS_AT_ONCE]
        present = [place for place, one in enumerate(part, at) if one.user_id not in gone and one.other_id not in gone]
        results, updates = await batch.write_log([events[place] for place in present])
        written.add(part, results, gone)
        for place in await batch.write_reciprocal_updates(updates):
            written.results[before + present[place]] = Result.FULL
    return written


_Update = tuple[int, ReciprocalUpdate]
"""the place of an event among those that are written together, and what it changes in the record of the other user"""


class _Batch:
    """Writes the slices of one batch."""

    def __init__(self, store: AsyncStore, keys: Keys, after: int, clock: Callable[[], int]) -> None:
        self._store, self._keys, self._after, self._clock = store, keys, after, clock
        self._generation: int | None = None
        """in which identities of events are written; None: not read yet"""

    async def write_log(self, events: Sequence[Event]) -> tuple[list[Result], list[_Update]]:
        """Writes events in the log and in the records of their viewers.

        Returns the results, and the updates that the records of the other users need.
        """
        results: dict[int, Result] = {}
        updates: list[_Update] = []
        pending = [_Pending(place, event) for place, event in enumerate(events)]
        for _ in range(ATTEMPTS):
            if not pending:
                break
            now, count = self._clock(), len(pending)
            taking = take_timestamps(self._store, self._keys, count, now=now, after=self._after)
            if self._generation is None and has_identities(events):
                reading = current_generation(self._store, self._keys, now)
                first, self._generation = await asyncio.gather(taking, reading)
            else:
                first = await taking
            commits = [self._commit(one, first + at, now) for at, one in enumerate(pending)]
            outcomes = await self._store.commit(commits)
            for at, (one, outcome) in enumerate(zip(pending, outcomes, strict=True)):
                if outcome is not Outcome.CONFLICT:
                    results.setdefault(one.place, _result(one.event, outcome, now))
                if outcome is Outcome.APPLIED and one.event.kind in TWO_SIDED:
                    updates.append((one.place, _update(one.event, first + at)))
            pending = _refused(pending, outcomes)
        if pending:
            raise StoreUnavailableError("A night keeps fencing the event log off; try again.")
        repeated = {place: event for place, event in enumerate(events) if results[place] is Result.DUPLICATE}
        return [results[place] for place in range(len(events))], [*updates, *await self._repeated(repeated)]

    def _commit(self, pending: "_Pending", timestamp_us: int, now: int) -> Commit:
        """The log entry, and the change of the viewer's record."""
        keys, event = self._keys, pending.event
        viewer, kind = event.user_id, event.kind
        most_bytes = MOST_BYTES if kind in PAIR_KINDS else MOST_SIGNALS_BYTES
        most_bytes = MOST_PROTECTING_BYTES if kind in PROTECTING else most_bytes
        added = JournalEntry(edge_event(Direction.OUT, kind), timestamp_us, event.other_id)
        entry = Entry.of(event, timestamp_us, clamped(event.at, now)[0])
        shard = shard_of(viewer)
        return Commit(
            fences=[Fence(keys.fence(shard), timestamp_us)],
            once=() if pending.is_again or self._generation is None else once(keys, event, self._generation),
            extends=[extend_record(keys, viewer, [added], most_bytes=most_bytes)],
            adds=[in_index(keys, viewer)],
            appends=[Append(keys.log(shard), entry.encode())],
        )

    async def _repeated(self, events: Mapping[int, Event]) -> list[_Update]:
        """The updates of repeated events, whose first writer may have died before it wrote the other users' records."""
        events = {place: event for place, event in events.items() if event.kind in TWO_SIDED}
        if not events:
            return []
        named = {(event.user_id, event.other_id) for event in events.values()}
        edges, updates = await self._edges(named), []
        for place, event in events.items():
            edge_events = edges.get((event.user_id, event.other_id), {})
            if timestamp_us := edge_events.get(edge_event(Direction.OUT, event.kind), 0):
                updates.append((place, _update(event, timestamp_us)))
        return updates

    async def _edges(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Mapping[int, int]]:
        """The edge events of pairs, owner of the record and other, without those whose record does not read back."""
        others: dict[str, list[str]] = {}
        for owner, other in pairs:
            others.setdefault(owner, []).append(other)
        edges: dict[tuple[str, str], Mapping[int, int]] = {}
        records = await self._store.get_many([self._keys.live(owner) for owner in others])
        for (owner, named), packed in zip(others.items(), records, strict=True):
            try:
                record = await read_excerpt(packed, named)
            except CorruptRecordError as error:  # the worker writes what is missing, from the log
                structlog.get_logger().error("live_record_damaged", error=str(error))
                continue
            edges |= {(owner, other): edge_events for other, edge_events in record.edges.items()}
        return edges

    async def write_reciprocal_updates(self, updates: Sequence[_Update]) -> set[int]:
        """Writes the records of the other users; returns the places of the events that found no room in one."""
        commits = [update.commit(self._keys) for _, update in updates]
        outcomes = await self._store.commit(commits)
        if Outcome.FULL not in outcomes:
            return set()
        full = [one for one, outcome in zip(updates, outcomes, strict=True) if outcome is Outcome.FULL]
        # a repeated event may have been written when there was room
        edges = await self._edges({(update.owner_id, update.viewer_id) for _, update in full})
        lacking = {place for place, update in full if not update.is_among(edges)}
        structlog.get_logger().error("live_record_full", events=len(lacking))
        return lacking


class _Pending(NamedTuple):
    """An event to write."""

    place: int
    event: Event
    is_again: bool = False
    """it is in the log, but an event before it in the batch is not yet"""


def _refused(pending: Sequence[_Pending], outcomes: Sequence[Outcome]) -> list[_Pending]:
    """What has to be written with later timestamps, since a night fenced a shard off: the refused events and, so that
    the order of the batch stays, what changed a pair after the first of them.
    """
    if Outcome.CONFLICT not in outcomes:
        return []
    first = outcomes.index(Outcome.CONFLICT)
    return [
        one if outcome is Outcome.CONFLICT else one._replace(is_again=True)
        for one, outcome in zip(pending[first:], outcomes[first:], strict=True)
        if outcome is Outcome.CONFLICT or (outcome is Outcome.APPLIED and one.event.kind in PAIR_KINDS)
    ]


def _update(event: Event, timestamp_us: int) -> ReciprocalUpdate:
    return ReciprocalUpdate(event.other_id, event.user_id, event.kind, timestamp_us)


def _result(event: Event, outcome: Outcome, now: int) -> Result:
    if outcome is Outcome.APPLIED:
        return Result.CLAMPED if clamped(event.at, now)[1] else Result.ACCEPTED
    return Result.DUPLICATE if outcome is Outcome.REPEATED else Result.FULL
