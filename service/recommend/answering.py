"""How one list is made, without reading the store: which records each step needs, and what follows from them."""

from collections.abc import Callable, Generator, Sequence

from models.errors import CorruptRecordError
from models.schema.vocabulary import Row, UserId
from models.store.keys import Keys
from models.system.clock import MICROSECONDS, now_us
from service.ranking.page import CACHED
from service.ranking.trace import Trace
from service.recommend import responses
from service.recommend.behind.cache_writer import CacheWriter
from service.recommend.query import Query
from service.recommend.responses import Answer
from service.recommend.viewer_loader import Loaded, ViewerLoader
from service.state.live_state import LiveState
from service.state.served_version import ServedVersion
from service.web.problems import damaged

SETTLING_US = 5 * MICROSECONDS
"""how long lists are not cached after the viewer's friends or profile changed: the worker is generating new candidates,
and if it dies it does not delete a list of the old ones"""

Steps = Generator[Sequence[str], Sequence[bytes | None], Answer]
"""yields the keys of records, is sent the records, and returns the answer"""


class Answering:
    """Makes lists in steps, so that the records of one viewer or of many are read in one trip. One loop at a time."""

    def __init__(
        self,
        keys: Keys,
        loader: ViewerLoader,
        cache_writer: CacheWriter,
        state: LiveState,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._keys = keys
        self._loader = loader
        self._cache_writer = cache_writer
        self._state = state
        self._clock = clock

    def steps(
        self, query: Query, version: ServedVersion, previous: ServedVersion | None, trace: Trace, *, fresh: bool
    ) -> Steps:
        """The list for a query, of `version` or, if that has no block of the viewer, of `previous`.

        Before it sends the first records, the caller sees to it that the process knows everyone hidden by then.

        `fresh` neither reads nor writes the cache: a store that syncs each write spends more on a write than is saved.
        Raises ProblemError 503 if the viewer's live record does not read back.
        """
        keys, user_id = self._keys, query.user_id
        # first: the live record, and the cached list or the block
        row = version.ranking.user_flags.row(user_id)
        depth = query.limit + len(query.excluded)
        if query.cursor is not None:
            depth += len(query.cursor.shown) + 1
        reads_cache = not (fresh or depth > CACHED)
        live, *found = yield keys.viewer_records(version.version, user_id, row, query.context if reads_cache else None)
        # the viewer, with more records if the profile or the whole viewer is not in the version
        record = found[0] if found else None
        loaded = yield from self._load(version, user_id, row, live)
        if not loaded.viewer.is_served:
            return responses.empty(version)
        if loaded.missing:
            loaded = self._loader.complete(version, loaded, (yield loaded.missing))
        viewer = loaded.viewer
        # from the cache
        if reads_cache and viewer.row is not None:
            if record is not None:
                answer = responses.from_cache(query, version, viewer, viewer.row, record, trace, self._loader.degrade)
                if answer is not None:
                    return answer
            (record,) = yield (keys.block(version.version, viewer.row),)
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
            answer = yield from self._from_previous(query, version, loaded, previous, live, trace)
        return answer or responses.from_cold_start(query, version, viewer, trace)

    def _from_previous(
        self,
        query: Query,
        version: ServedVersion,
        loaded: Loaded,
        previous: ServedVersion,
        live: bytes | None,
        trace: Trace,
    ) -> Generator[Sequence[str], Sequence[bytes | None], Answer | None]:
        """The answer of the previous version; None if it does not know the viewer or has no block that can be read."""
        row = previous.tables.vocabulary.row(query.user_id)
        if row is None:
            return None
        (record,) = yield (self._keys.block(previous.version, row),)
        before = yield from self._load(previous, query.user_id, row, live)
        if before.viewer.row is None:
            return None
        if before.missing:
            before = self._loader.complete(previous, before, (yield before.missing))
        return responses.from_previous_version(
            query, version, loaded.viewer, previous, before.viewer, record, trace, self._loader.degrade
        )

    def _load(
        self, version: ServedVersion, user_id: UserId, row: Row | None, live: bytes | None
    ) -> Generator[Sequence[str], Sequence[bytes | None], Loaded]:
        try:
            try:
                return self._loader.load(version, user_id, row, live)
            except LookupError:  # a large record was rewritten, or the process holds nothing of it in this version
                (live,) = yield (self._keys.live(user_id),)
                return self._loader.load(version, user_id, row, live)
        except CorruptRecordError as error:
            raise damaged(error, served=responses.UNAVAILABLE) from error
