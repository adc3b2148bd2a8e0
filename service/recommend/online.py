"""One list for one viewer over HTTP: from the cache if it is there, else ranked from the candidate block."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import TypeVar

from models.errors import CorruptRecordError, StoreUnavailableError
from models.live_state.user_record import PREFIX_BYTES
from models.schema.vocabulary import Row, UserId
from models.store.deadline import Deadline
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from models.system.clock import MICROSECONDS, now_us
from service.ranking.cached_list import CachedList
from service.ranking.pipeline import CACHED
from service.ranking.trace import Trace
from service.recommend import responses
from service.recommend.cache_writer import CacheWriter
from service.recommend.query import Query
from service.recommend.responses import Answer
from service.recommend.viewer_loader import Loaded, ViewerLoader
from service.state.live_state import LARGE_BYTES, Record, Tail
from service.state.live_sync import LiveSync
from service.state.served_version import ServedVersion
from service.web.problems import unavailable

SETTLING_US = 5 * MICROSECONDS
"""how long lists are not cached after the viewer's friends or profile changed: the worker is generating new candidates,
and if it dies it does not delete a list of the old ones"""

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
        cache_writer: CacheWriter,
        deadline_s: float,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """`deadline_s` is how long the store may take for all trips but the first."""
        self._store = store
        self._keys = keys
        self._live_sync = live_sync
        self._loader = loader
        self._cache_writer = cache_writer
        self._deadline_s = deadline_s
        self._state = live_sync.state
        self._clock = clock

    async def answer(
        self, query: Query, version: ServedVersion, previous: ServedVersion | None, trace: Trace, *, fresh: bool
    ) -> Answer:
        """The list for a query, of `version` or, if that has no block of the viewer, of `previous`.

        `fresh` neither reads nor writes the cache: a store that syncs each write spends more on a write than is saved.
        Raises StoreUnavailableError if the store does not answer in time, ProblemError 503 if the viewer's live record
        does not read back.
        """
        keys, user_id, deadline = self._keys, query.user_id, Deadline(self._deadline_s)
        # first trip: live record, epoch of the hidden set, and the cached list or the block
        row = version.ranking.user_flags.row(user_id)
        reads_cache = not (fresh or query.limit + len(query.excluded) > CACHED)
        first = keys.viewer_records(version.version, user_id, row, query.context if reads_cache else None)
        live, found, epoch = await self._first_trip(version, user_id, row, first)
        if not self._live_sync.knows(epoch):
            await _within(deadline, self._live_sync.hidden(epoch))
        trace.marks.append(("store", perf_counter()))
        # the viewer, with a second trip if the profile or the whole viewer is not in the version
        record = found[0] if found else None
        loaded = await self._load(version, user_id, row, live)
        if not loaded.viewer.is_served:
            return responses.empty(version)
        if loaded.missing:
            loaded = await self._complete(version, loaded, trace, deadline)
        viewer = loaded.viewer
        # from the cache
        if reads_cache and viewer.row is not None:
            cached = self._cached(version, viewer.row, record)
            if cached is not None:
                answer = responses.from_cache(query, version, viewer, cached, trace)
                if answer is not None:
                    return answer
            record = await _within(deadline, self._store.get(keys.block(version.version, viewer.row)))
            trace.marks.append(("store", perf_counter()))
        # from the block
        is_settled = max(self._clock(), self._state.latest) - viewer.graph_changed_at > SETTLING_US
        cacheable = viewer.row is not None and not fresh and is_settled
        block = loaded.block if viewer.row is None else record
        answer = responses.from_block(query, version, viewer, block, trace, self._loader.degrade, cacheable=cacheable)
        if answer is not None:
            if viewer.row is not None and answer.cacheable is not None:
                key = keys.ranked(version.version, viewer.row, query.context)
                self._cache_writer.write(key, answer.cacheable.pack(CACHED))
            return answer
        # without a block: from the previous version, else from a cold start
        if viewer.row is not None or viewer.can_have_candidates:
            self._cache_writer.queue(user_id)
        answer = None
        if viewer.row is not None and previous is not None:
            answer = await self._from_previous(query, version, loaded, previous, live, trace, deadline)
        return answer or responses.from_cold_start(query, version, viewer, trace)

    async def _from_previous(
        self,
        query: Query,
        version: ServedVersion,
        loaded: Loaded,
        previous: ServedVersion,
        live: Record,
        trace: Trace,
        deadline: Deadline,
    ) -> Answer | None:
        """The answer of the previous version; None if it does not know the viewer or has no block that can be read."""
        row = previous.tables.vocabulary.row(query.user_id)
        if row is None:
            return None
        record = await _within(deadline, self._store.get(self._keys.block(previous.version, row)))
        trace.marks.append(("store", perf_counter()))
        before = await self._load(previous, query.user_id, row, live)
        if before.viewer.row is None:
            return None
        if before.missing:
            before = await self._complete(previous, before, trace, deadline)
        return responses.from_previous_version(
            query, version, loaded.viewer, previous, before.viewer, record, trace, self._loader.degrade
        )

    async def _first_trip(
        self, version: ServedVersion, user_id: UserId, row: Row | None, keys: Sequence[str]
    ) -> tuple[Record, list[bytes | None], bytes | None]:
        """The live record, the values of the other keys, and the epoch of the hidden set.

        Of a large record that this process has resolved before, only what was added is read.
        """
        known = self._state.known_length(version, user_id, row) if user_id in self._state.large else 0
        if not known:
            live, *found, epoch = await self._store.get_many([*keys, self._keys.hidden_epoch])
            return live, found, epoch
        (prefix, data), (*found, epoch) = await asyncio.gather(
            self._store.tail(keys[0], known, PREFIX_BYTES),
            self._store.get_many([*keys[1:], self._keys.hidden_epoch]),
        )
        return Tail(prefix, known, data) if prefix else None, found, epoch

    async def _load(self, version: ServedVersion, user_id: UserId, row: Row | None, live: Record) -> Loaded:
        try:
            try:
                return await self._load_record(version, user_id, row, live)
            except LookupError:  # a large record was rewritten, or the process holds nothing of it in this version
                live = await self._store.get(self._keys.live(user_id))
                return await self._load_record(version, user_id, row, live)
        except CorruptRecordError as error:
            raise unavailable("the record of this user does not read back", served=responses.UNAVAILABLE) from error

    async def _load_record(self, version: ServedVersion, user_id: UserId, row: Row | None, live: Record) -> Loaded:
        if isinstance(live, bytes) and len(live) > LARGE_BYTES:
            await self._loader.prepare(version, user_id, row, live)
        return self._loader.load(version, user_id, row, live)

    async def _complete(self, version: ServedVersion, loaded: Loaded, trace: Trace, deadline: Deadline) -> Loaded:
        """The viewer with the records that were missing, in one trip."""
        records = await _within(deadline, self._store.get_many(loaded.missing))
        trace.marks.append(("store", perf_counter()))
        return self._loader.complete(version, loaded, records)

    def _cached(self, version: ServedVersion, row: Row, record: bytes | None) -> CachedList | None:
        """The cached list of a record; None if there is none or it does not read back."""
        try:
            return CachedList.unpack(record, row, version.tables.n) if record is not None else None
        except CorruptRecordError as error:
            self._loader.degrade("corrupt_list", error)
            return None


async def _within(deadline: Deadline, trip: Awaitable[_Read]) -> _Read:
    """What a trip returns, within what is left of the deadline. Raises StoreUnavailableError if it takes longer."""
    try:
        async with deadline:
            return await trip
    except TimeoutError as error:
        raise StoreUnavailableError("The store does not answer in time.") from error
