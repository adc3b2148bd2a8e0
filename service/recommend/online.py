"""One list for one viewer: from the store where it was kept, else ranked from the candidate block."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.errors import CorruptRecordError, StoreUnavailableError
from models.store.deadline import Deadline
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from models.system.clock import MICROSECONDS, now_us
from models.version.candidate_block import Block
from service.metrics import Metrics
from service.ranking.cached_list import CachedList
from service.ranking.pipeline import KEPT
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend import responses
from service.recommend.cache_writer import CacheWriter
from service.recommend.new_users import (
    changed,
    is_worth_making,
    met,
    newcomer_keys,
)
from service.recommend.query import Query
from service.recommend.responses import Answer
from service.state.live_sync import LiveSync
from service.state.served_version import ServedVersion
from service.web.problems import unavailable

SETTLING_US = 5 * MICROSECONDS
"""so long after somebody's friends or profile changed her lists are not kept: her candidates are being made anew, and
whoever takes away a list that came of the ones before may die before it does"""


_Read = TypeVar("_Read")


class OnlineRecommender:
    """Answers queries with the version it is given; every trip to the store is one await.

    The first trip, which is mostly the only one, has the store's own deadline. All that follow it together have as
    long once more, so that a slow store costs a request twice that at most, however many they are.
    """

    def __init__(
        self,
        store: AsyncStore,
        keys: Keys,
        following: LiveSync,
        behind: CacheWriter,
        metrics: Metrics,
        deadline_s: float,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """`deadline_s` is how long the store may take for all trips but the first."""
        self._store = store
        self._keys = keys
        self._following = following
        self._behind = behind
        self._metrics = metrics
        self._deadline_s = deadline_s
        self._clock = clock

    async def answer(
        self, query: Query, version: ServedVersion, previous: ServedVersion | None, trace: Trace, *, fresh: bool
    ) -> Answer:
        """The list for a query, of `version` throughout or, where that holds no block for her, of `previous`.

        `fresh` neither reads nor keeps a ranked list: a store that syncs each write spends more on keeping one.
        Raises StoreUnavailableError where the store does not answer in time, ProblemError 503 where what it says of the
        viewer does not read back.
        """
        keys, user_id, deadline = self._keys, query.user_id, Deadline(self._deadline_s)
        row = version.ranking.now.row(user_id)
        reads_kept = row is not None and not (fresh or responses.is_deep(query))
        wanted = [keys.live(user_id), keys.hidden_epoch]
        if row is not None:
            key = keys.ranked(version.version, row, query.context) if reads_kept else keys.block(version.version, row)
            wanted.append(key)
        live, epoch, *found = await self._store.get_many(wanted)
        if not self._following.knows(epoch):
            await _within(deadline, self._following.hidden(epoch))
        trace.stage("store")
        viewer = self._viewer(version, user_id, row, live)
        if not viewer.is_served:
            return responses.nothing(version)
        if row is None or viewer.row is None:
            return await self._newcomer(query, version, viewer, trace, deadline)
        viewer = await self._changed(version, viewer, trace, deadline)
        if reads_kept:
            listed = self._kept(found[0], row, version.tables.n)
            if listed is not None and (answer := responses.kept(query, version, viewer, listed, trace)) is not None:
                return answer
            found = [await _within(deadline, self._store.get(keys.block(version.version, row)))]
            trace.stage("store")
        block = self._block(found[0], row, version.tables.n)
        keep = not fresh and self._clock() - viewer.graph_changed_at > SETTLING_US
        ranked = self._readable(lambda one: responses.ranked(query, version, viewer, one, trace, kept=keep), block)
        if ranked is not None:
            answer, made = ranked
            if made is not None:
                self._behind.keep(keys.ranked(version.version, row, query.context), made.pack(KEPT))
            return answer
        self._behind.queue(user_id)
        if previous is not None and (older := previous.tables.vocabulary.row(user_id)) is not None:
            record = await _within(deadline, self._store.get(keys.block(previous.version, older)))
            block = self._block(record, older, previous.tables.n)
            trace.stage("store")
            before = await self._changed(previous, self._viewer(previous, user_id, older, live), trace, deadline)
            if before.row is not None:
                stale = self._readable(
                    lambda one: responses.stale(query, version, viewer, previous, before, one, trace), block
                )
                if stale is not None:
                    return stale
        return responses.cold(query, version, viewer, trace)

    async def _newcomer(
        self, query: Query, version: ServedVersion, viewer: Viewer, trace: Trace, deadline: Deadline
    ) -> Answer:
        """The list for somebody whom the version does not know; a stranger is asked nothing of the store."""
        block = None
        if viewer.view is not None:
            wanted = newcomer_keys(self._keys, version.version, query.user_id)
            record, profile = await _within(deadline, self._store.get_many(wanted))
            trace.stage("store")
            try:
                viewer, block = met(viewer, version.tables, record, profile)
            except CorruptRecordError:
                self._metrics.degraded.labels("corrupt_newcomer").inc()
        ranked = self._readable(lambda one: responses.ranked(query, version, viewer, one, trace, kept=False), block)
        if ranked is not None:
            return ranked[0]
        if is_worth_making(viewer):
            self._behind.queue(query.user_id)
        return responses.cold(query, version, viewer, trace)

    async def _changed(self, version: ServedVersion, viewer: Viewer, trace: Trace, deadline: Deadline) -> Viewer:
        """The viewer with her profile as it is now; who did not change it is asked nothing of the store."""
        if viewer.view is None or not viewer.view.profile_changed_at:
            return viewer
        profile = await _within(deadline, self._store.get(self._keys.live_profile(viewer.user_id)))
        trace.stage("store")
        try:
            return changed(viewer, version.tables, version.manifest.cut_us, profile)
        except CorruptRecordError:
            self._metrics.degraded.labels("corrupt_profile").inc()
            return viewer

    def _viewer(self, version: ServedVersion, user_id: str, row: int | None, live: bytes | None) -> Viewer:
        """The viewer by what is live."""
        self._following.state.catch_up(version)
        try:
            return self._following.state.viewer(version, user_id, row, live)
        except CorruptRecordError as error:
            self._metrics.degraded.labels("corrupt_record").inc()
            raise unavailable("what is known of this user does not read back", served=responses.UNAVAILABLE) from error

    def _kept(self, record: bytes | None, row: int, people: int) -> CachedList | None:
        """The ranked list of a record, or None."""
        try:
            return CachedList.unpack(record, row, people) if record is not None else None
        except CorruptRecordError:
            self._metrics.degraded.labels("corrupt_list").inc()
            return None

    def _block(self, record: bytes | None, row: int, people: int) -> Block | None:
        """The candidate block of a record, or None; one that does not read back counts as none."""
        try:
            return responses.read_block(record, row, people) if record is not None else None
        except CorruptRecordError:
            self._metrics.degraded.labels("corrupt_block").inc()
            return None

    def _readable(self, made_of: Callable[[Block], _Read | None], block: Block | None) -> _Read | None:
        """What is made of a block; one that the ranker cannot read, as of another release, counts as none."""
        try:
            return made_of(block) if block is not None else None
        except CorruptRecordError:
            self._metrics.degraded.labels("corrupt_block").inc()
            return None


async def _within(deadline: Deadline, trip: Awaitable[_Read]) -> _Read:
    """What a trip brings, within what is left of the patience. Raises StoreUnavailableError where it takes longer."""
    try:
        async with deadline:
            return await trip
    except TimeoutError as error:
        raise StoreUnavailableError("The store does not answer in time.") from error
