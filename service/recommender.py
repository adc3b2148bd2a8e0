"""One list for one viewer: from the store where it was kept, else ranked from the candidate block."""

from models.block import Block
from models.errors import CorruptRecordError
from models.keys import Keys
from models.store.protocol import AsyncStore
from service import lists
from service.lists import Answer
from service.metrics import Metrics
from service.query import Query
from service.ranked_list import RankedList
from service.ranking import KEPT, Trace
from service.served_version import ServedVersion
from service.write_behind import WriteBehind


class Recommender:
    """Answers queries with the version it is given; every trip to the store is one await."""

    def __init__(self, store: AsyncStore, keys: Keys, behind: WriteBehind, metrics: Metrics) -> None:
        self._store = store
        self._keys = keys
        self._behind = behind
        self._metrics = metrics

    async def answer(
        self, query: Query, version: ServedVersion, previous: ServedVersion | None, trace: Trace, *, fresh: bool
    ) -> Answer:
        """The list for a query, of `version` throughout or, where that holds no block for her, of `previous`.

        `fresh` neither reads nor keeps a ranked list: a store that syncs each write spends more on keeping one.
        Raises StoreUnavailableError where the store does not answer in time.
        """
        row = version.tables.vocabulary.row(query.user_id)
        if row is None:
            return lists.cold(query, version, None, trace)
        if (nothing := lists.inactive(version, row)) is not None:
            return nothing
        if not (fresh or lists.is_deep(query)):
            found = await self._kept(query, version, row, trace)
            if found is not None:
                return lists.kept(query, version, found, trace)
        block = await self._block(version, row, trace)
        if block is not None:
            answer, listed = lists.ranked(query, version, block, trace, kept=not fresh)
            if not fresh:
                self._behind.keep(self._keys.ranked(version.version, row, query.context), listed.pack(KEPT))
            return answer
        self._behind.queue(query.user_id)
        if previous is not None and (older := previous.tables.vocabulary.row(query.user_id)) is not None:
            block = await self._block(previous, older, trace)
            if block is not None and (stale := lists.stale(query, version, previous, block, trace)) is not None:
                return stale
        return lists.cold(query, version, row, trace)

    async def _kept(self, query: Query, version: ServedVersion, row: int, trace: Trace) -> RankedList | None:
        """The ranked list that the store keeps, or None."""
        (record,) = await self._store.get_many((self._keys.ranked(version.version, row, query.context),))
        trace.stage("store")
        if record is None:
            return None
        try:
            return RankedList.unpack(record, row)
        except CorruptRecordError:
            self._metrics.degraded.labels("corrupt_list").inc()
            return None

    async def _block(self, version: ServedVersion, row: int, trace: Trace) -> Block | None:
        """The candidate block of a version's row, or None; one that does not read back counts as none."""
        record = await self._store.get(self._keys.block(version.version, row))
        trace.stage("store")
        if record is None:
            return None
        try:
            return lists.read_block(record, row)
        except CorruptRecordError:
            self._metrics.degraded.labels("corrupt_block").inc()
            return None
