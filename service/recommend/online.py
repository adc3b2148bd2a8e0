"""Lists for one viewer or for many over HTTP: reads in the store what service.recommend.answering asks for."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from itertools import chain, islice
from time import perf_counter
from typing import TypeVar

from models.errors import StoreError, StoreUnavailableError
from models.live_state.record_excerpt import LARGE_BYTES
from models.live_state.user_record import PREFIX_BYTES
from models.store.deadline import Deadline
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.ranking.trace import Trace
from service.recommend.answering import Answering, Steps
from service.recommend.query import Query
from service.recommend.responses import Answer
from service.recommend.viewer_loader import ViewerLoader
from service.state.experiments import ArmsOfViewers
from service.state.live_state import Tail
from service.state.live_sync import LiveSync
from service.state.served_version import ServedVersion

WAIT = "wait"
"""the stage in which a list waits for others of the same request"""

_Read = TypeVar("_Read")


class OnlineRecommender:
    """Answers queries with the version it is given; every trip to the store is one await.

    The first trip, mostly the only one, has the store's own deadline. All further trips of a request share a deadline
    of the same length: a slow store costs a request at most twice that, however many trips it makes.
    """

    def __init__(
        self,
        store: AsyncStore,
        keys: Keys,
        live_sync: LiveSync,
        loader: ViewerLoader,
        answering: Answering,
        deadline_s: float,
        arms: ArmsOfViewers,
    ) -> None:
        """`deadline_s` is how long the store may take for all trips but the first."""
        self._arms = arms
        self._store = store
        self._keys = keys
        self._epoch = keys.hidden_epoch
        self._state = live_sync.state
        self._loader = loader
        self._live_sync = live_sync
        self._answering = answering
        self._deadline_s = deadline_s

    async def answer(
        self, query: Query, version: ServedVersion, previous: ServedVersion | None, trace: Trace, *, fresh: bool
    ) -> Answer:
        """The list for a query, by the rules of the viewer's arms; arguments and errors as in Answering.steps.

        Raises StoreUnavailableError if the store does not answer in time.
        """
        if self._arms.is_running:
            version, previous = self._arms.versions(query.user_id, version, previous)
        steps = self._answering.steps(query, version, previous, trace, fresh=fresh)
        needed, deadline = next(steps), Deadline(self._deadline_s)
        records: list[bytes | None]
        if query.user_id in self._state.large:
            records, epoch = await self._added(version, query, needed)
        else:
            *records, epoch = await self._store.get_many([*needed, self._epoch])
        if not self._live_sync.knows(epoch):
            await within(deadline, self._live_sync.hidden(epoch))
        try:
            while True:
                trace.marks.append(("store", perf_counter()))
                if records[0] is not None and len(records[0]) > LARGE_BYTES:
                    await self._prepare(version, query, needed, records)
                needed = steps.send(records)
                records = await within(deadline, self._store.get_many(needed))
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    async def _added(
        self, version: ServedVersion, query: Query, needed: Sequence[str]
    ) -> tuple[list[bytes | None], bytes | None]:
        """The records of the first trip and the epoch of the hidden set.

        Of a large live record that this process has resolved before, only what was added since is read.
        """
        row = version.ranking.user_flags.row(query.user_id)
        known = self._state.known_length(version, query.user_id, row)
        if not known:
            *records, epoch = await self._store.get_many([*needed, self._epoch])
            return records, epoch
        (prefix, data), (*others, epoch) = await asyncio.gather(
            self._store.tail(needed[0], known, PREFIX_BYTES), self._store.get_many([*needed[1:], self._epoch])
        )
        return [Tail.of(data, prefix, known) if prefix else None, *others], epoch

    async def _prepare(
        self, version: ServedVersion, query: Query, needed: Sequence[str], records: Sequence[bytes | None]
    ) -> None:
        """Has a large live record resolved in a thread, so that others do not wait for it."""
        record = records[0]
        if record is None or len(record) <= LARGE_BYTES or isinstance(record, Tail):
            return
        if needed[0] == self._keys.live(query.user_id):
            await self._loader.prepare(version, query.user_id, version.ranking.user_flags.row(query.user_id), record)

    async def answers(
        self,
        queries: Sequence[Query],
        versions: Sequence[tuple[ServedVersion, ServedVersion | None]],
        traces: Sequence[Trace],
        *,
        fresh: bool,
    ) -> list[Answer | Exception]:
        """The list for each query, or why there is none; the records of all are read in the same trips.

        `versions` are the version of each list and the one that stands in where that has no candidates.
        Other requests are answered between two lists. Whatever goes wrong with one list is no other's: it stands in the
        place of the list. A list whose first records were read in time and whose others were not is a StoreError;
        raises StoreError if none could be made because of that, or the first trip fails.
        """
        made: list[Answer | Exception | None]
        pairs = zip(queries, versions, strict=True)
        served = [self._arms.versions(query.user_id, *own) for query, own in pairs]
        lists = [
            self._answering.steps(query, *own, trace, fresh=fresh)
            for query, own, trace in zip(queries, served, traces, strict=True)
        ]
        # the first trip, and who is hidden by then
        deadline, waiting = Deadline(self._deadline_s), dict[int, Sequence[str]]()
        made = [_advanced(steps, None, at, waiting) for at, steps in enumerate(lists)]
        *flat, epoch = await self._store.get_many([*chain.from_iterable(waiting.values()), self._epoch])
        if not self._live_sync.knows(epoch):
            await within(deadline, self._live_sync.hidden(epoch))
        # lists whose records are there, then one trip for those that need more
        while waiting:
            _mark(traces, waiting, "store")
            records = iter(flat)
            upcoming: dict[int, Sequence[str]] = {}
            for at, needed in waiting.items():
                await asyncio.sleep(0)
                traces[at].marks.append((WAIT, perf_counter()))
                own = list(islice(records, len(needed)))
                try:
                    await self._prepare(served[at][0], queries[at], needed, own)
                except Exception as error:
                    made[at] = error
                else:
                    made[at] = _advanced(lists[at], own, at, upcoming)
            waiting = upcoming
            _mark(traces, waiting, WAIT)
            try:
                if waiting:
                    flat = await within(deadline, self._store.get_many(list(chain.from_iterable(waiting.values()))))
            except StoreError as error:
                if len(waiting) == len(queries):
                    raise
                made = [error if one is None else one for one in made]
                break
        return [one for one in made if one is not None]


def _advanced(
    steps: Steps, records: Sequence[bytes | None] | None, at: int, upcoming: dict[int, Sequence[str]]
) -> Answer | Exception | None:
    """What a list came to with these records; None if it needs more, whose keys are noted in `upcoming`.

    It begins without records.
    """
    try:
        upcoming[at] = next(steps) if records is None else steps.send(records)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    except Exception as error:  # whoever asked is told
        return error
    return None


def _mark(traces: Sequence[Trace], lists: Iterable[int], stage: str) -> None:
    """Ends a stage of these lists."""
    now = perf_counter()
    for at in lists:
        traces[at].marks.append((stage, now))


async def within(deadline: Deadline, trip: Awaitable[_Read]) -> _Read:
    """What a trip returns, within what is left of the deadline. Raises StoreUnavailableError if it takes longer."""
    try:
        async with deadline:
            return await trip
    except TimeoutError as error:
        raise StoreUnavailableError("The store does not answer in time.") from error
