"""Records the lists that were given out, behind the answers, for the worker to file (models.outcomes).

A list is recorded after its answer was sent, and no request waits for the log. What does not fit the buffer or the
store, or what a store that is away may not have taken, is lost and counted. Nothing is written twice: a write whose
answer did not come is not repeated.
"""

import asyncio
import random
import time
from collections.abc import Callable
from secrets import randbits
from typing import NamedTuple

import structlog

from models.errors import StoreError
from models.outcomes.exposure_record import DRAWS, ENTRY_BYTES, NO_PEOPLE, Batch, ListHead, batches, pack_list
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from models.system.clock import now_us
from service.metrics import Metrics
from service.recommend.behind.write_behind import WriteBehind
from service.recommend.query import Query
from service.recommend.responses import EMPTY, Answer

PAUSE_S = 0.5
"""how long lists are gathered, so that one trip carries those of many requests"""
AGAIN_S = 1.0
"""pause after the store did not take a write"""
OLDEST_S = 3.0
"""a list that has waited for so long is lost: an erasure waits until the log has all lists from before it
(models.outcomes.settled)"""
MOST_BYTES = 8 << 20
"""lists that wait for the store at most"""
TTL_S = 86_400.0
"""after the last list the log expires: it may be evicted before what must not be lost is refused"""
BATCHES_AT_ONCE = 32
"""written in one trip, for which the store keeps others waiting"""

LOGGED, NOT_DRAWN = "logged", "not_drawn"
LOST_HERE, LOST_STORE, LOST_FULL = "buffer_full", "store_away", "store_full"
"""outcomes of a list: the last three are losses"""


class _Waiting(NamedTuple):
    record: bytes
    since: float
    """seconds of a monotonic clock"""


class ExposureLog:
    """Gathers what a task writes for all requests; lives from `start` to `aclose`, which writes the rest."""

    def __init__(
        self,
        store: AsyncStore,
        keys: Keys,
        metrics: Metrics,
        *,
        share: float,
        most_mb: int,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """`share` of the lists is recorded; `most_mb` megabytes of the store are used at most."""
        self._store, self._key, self._clock = store, keys.exposure_log, clock
        self._outcomes = metrics.exposures
        self._share, self._most = share, most_batches(most_mb)
        self._process = randbits(64)
        self._recorded = 0
        self._shown: list[tuple[str, Query, Answer]] = []
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._behind = WriteBehind("exposure-log", self.flush, pause_s=PAUSE_S, again_s=AGAIN_S)

    def start(self) -> None:
        """Starts the task."""
        self._behind.start()

    def add(self, request_id: str, query: Query, answer: Answer) -> None:
        """Records the list of an answer that was sent, if `record_of` has one."""
        if answer.exposed is None or not self._share:
            return
        if not self._shown:
            asyncio.get_running_loop().call_soon(self._pack)
        self._shown.append((request_id, query, answer))

    def _pack(self) -> None:
        """Packs the lists of the answers that were sent in this turn of the loop."""
        shown, self._shown = self._shown, []
        if self._share < 1:
            drawn = [one for one in shown if random.random() < self._share]  # noqa: S311  # a sample, not a secret
            self._outcomes.labels(NOT_DRAWN).inc(len(shown) - len(drawn))
            shown = drawn
        at, since = self._clock(), time.monotonic()
        for request_id, query, answer in shown:
            record = record_of(request_id, query, answer, at)
            if record is None:
                continue
            self._recorded += 1
            if self._bytes + len(record) > MOST_BYTES:
                self._outcomes.labels(LOST_HERE).inc()
                continue
            self._waiting.append(_Waiting(record, since))
            self._bytes += len(record)
        if self._waiting:
            self._behind.gathered()

    async def aclose(self) -> None:
        """Stops the task, and writes what is left."""
        await self._behind.aclose()

    async def flush(self) -> bool:
        """Writes what was gathered; returns whether the store answered. What it does not take is lost and counted."""
        self._pack()
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        before = self._recorded - len(waiting)
        oldest = time.monotonic() - OLDEST_S
        records = [one.record for one in waiting if one.since >= oldest]
        if len(records) < len(waiting):
            self._outcomes.labels(LOST_STORE).inc(len(waiting) - len(records))
        made = list(batches(self._process, before + len(waiting) - len(records), records))
        for start in range(0, len(made), BATCHES_AT_ONCE):
            some = made[start : start + BATCHES_AT_ONCE]
            try:
                taken = await self._store.stream_offer(self._key, [one.pack() for one in some], self._most, TTL_S)
            except StoreError as error:
                self._outcomes.labels(LOST_STORE).inc(_lists(made[start:]))
                structlog.get_logger().warning("exposures_lost", lists=_lists(made[start:]), error=str(error))
                return False
            self._outcomes.labels(LOGGED).inc(_lists(some[:taken]))
            if taken < len(some):
                self._outcomes.labels(LOST_FULL).inc(_lists(some[taken:]))
        return True


def most_batches(most_mb: int) -> int:
    """Entries of the exposure log that take at most so many megabytes."""
    return max(1, (most_mb << 20) // ENTRY_BYTES)


def record_of(request_id: str, query: Query, answer: Answer, at: int) -> bytes | None:
    """The record of an answer's list, made at `at` (microseconds).

    None if it has no people, unless all it has are not named, or it is empty: a first page of which no candidate
    passed. Whoever may get no list, deactivated or erased, has no record. Of those who follow from the viewer's
    contacts it has the places alone, and of a list of a block in which contacts count nothing that the ranker read.
    """
    exposed = answer.exposed
    if exposed is None:
        return None
    people = exposed.pack()
    unrecorded = answer.unexposed + people.unnamed
    offset = answer.head + len(query.excluded) + (0 if query.cursor is None else len(query.cursor.shown))
    if not people.n and not unrecorded and (answer.served != EMPTY or offset):
        return None
    people, drawn = (people, exposed.drawn) if people.n else (NO_PEOPLE, None)
    head = ListHead(
        at,
        request_id,
        answer.version,
        query.context,
        query.user_id,
        answer.served,
        answer.arms,
        min(offset, 65535),
        DRAWS[0] if drawn is None else drawn.draw.how,
        min(unrecorded, 255),
    )
    statistics = b"" if exposed.statistics is None else exposed.statistics.astype("<f4", copy=False).tobytes()
    return pack_list(head, people, statistics, b"" if drawn is None else drawn.pack())


def _lists(made: list[Batch]) -> int:
    return sum(len(batch.records) for batch in made)
