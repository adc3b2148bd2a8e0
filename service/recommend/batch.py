"""`pymk recommend`: lists for many people at once, through the ranking and the rules that answer requests."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from time import time
from typing import Any

import numpy as np
import structlog

from models.errors import CorruptRecordError, VersionError
from models.live_state.compaction import note_damaged
from models.live_state.exposure import Exposed
from models.live_state.seldom_shown import SeldomShown
from models.live_state.visibility import follow_blocking
from models.publishing.pointer import read_pointer
from models.schema.columns import Flag
from models.schema.event_kinds import FORBIDDEN_DAYS
from models.schema.vocabulary import Row, UserId
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from service.ranking.rerank import RerankSettings
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend import responses
from service.recommend.bulk_exposures import BulkExposures
from service.recommend.list_document import document
from service.recommend.query import Query
from service.recommend.responses import Answer
from service.recommend.viewer_loader import Loaded, ViewerLoader
from service.state.experiments import NO_EXPERIMENTS, ArmsOfViewers
from service.state.live_state import LiveState
from service.state.served_version import OpenScorer, ServedVersion, VersionOpener

BATCH = 256
"""people whose records are read in one trip"""


class BatchRecommender:
    """Makes lists from the active version and live state; neither reads nor writes the cache.

    Raises VersionError if no version is active.
    """

    def __init__(
        self,
        store: SyncStore,
        versions: Versions,
        keys: Keys,
        open_scorer: OpenScorer,
        settings: RerankSettings,
        forbidden_days: int = FORBIDDEN_DAYS,
        arms: ArmsOfViewers = NO_EXPERIMENTS,
        exposures: BulkExposures | None = None,
    ) -> None:
        """`arms` are those of the experiments that run; by default there is none.

        `exposures` records the lists; None: they are not recorded.
        """
        self._arms = arms
        pointer = read_pointer(store, keys=keys)
        if pointer is None:
            raise VersionError("no version is active; pymk nightly DATA publishes one")
        opener = VersionOpener(store, versions, keys, open_scorer, settings)
        self._store = store
        self._keys = keys
        self._exposures = exposures
        self._version = opener.open(pointer.version)
        self._opener = opener
        self._before = pointer.before[:1]
        self._previous: ServedVersion | None = None
        self._state = LiveState(forbidden_days)
        self._state.take_exposed(Exposed.unpack(store.get(keys.exposure)))
        self._state.take_seldom(SeldomShown.unpack(store.get(keys.seldom_shown)))
        self._loader = ViewerLoader(self._state, keys, _log_fault)
        self._follow()

    @property
    def active_users(self) -> Iterator[UserId]:
        """The ids of all active users of the version."""
        version = self._version
        rows = np.flatnonzero(version.ranking.user_flags.flags & np.uint8(Flag.ACTIVE)).tolist()
        return (version.tables.vocabulary.user_id(row) for row in rows)

    def answers(self, user_ids: Iterable[UserId], context: str, limit: int) -> Iterator[bytes]:
        """One JSON document per person, in the order given; recorded lists name the request that they count as."""
        upcoming = iter(user_ids)
        while batch := [Query(user_id, limit, context) for user_id in islice(upcoming, BATCH)]:
            answers = self._batch(batch)
            request_ids = None if self._exposures is None else self._exposures.write(batch, answers)
            for query, answer, request_id in zip(batch, answers, request_ids or repeat(None), strict=False):
                yield document(query.user_id, request_id, answer)

    def _follow(self) -> None:
        """Reads which users are hidden now."""
        self._state.take_hidden(follow_blocking(self._store, self._keys, self._state.hidden))
        self._state.catch_up(self._version)

    def _batch(self, queries: Sequence[Query]) -> list[Answer]:
        """The answers to a batch: a trip for all viewers, then one for what those not in the version need besides."""
        version = self._version
        # the viewers
        rows = [version.tables.vocabulary.row(query.user_id) for query in queries]
        keys = [
            self._keys.viewer_records(version.version, query.user_id, row)
            for query, row in zip(queries, rows, strict=True)
        ]
        records = self._read(keys)
        self._follow()
        people = [(query.user_id, row, read[0]) for query, row, read in zip(queries, rows, records, strict=True)]
        viewers = self._load(version, people)
        # from their blocks, by the rules of their arms
        served = [self._arms.versions(query.user_id, version, None)[0] for query in queries]
        answers = [
            responses.from_block(
                query, own, viewer, block if viewer.row is None else read[1], Trace(), self._loader.degrade
            )
            if viewer.is_served
            else responses.empty(own)
            for query, own, (viewer, block, _), read in zip(queries, served, viewers, records, strict=True)
        ]
        # without a block: from the previous version, else from a cold start
        missing = [at for at, answer in enumerate(answers) if answer is None]
        if missing:
            self._queue([viewers[at].viewer for at in missing])
            self._from_previous(queries, viewers, [read[0] for read in records], answers)
        return [
            answer or responses.from_cold_start(query, own, viewer, Trace())
            for query, own, (viewer, _, _), answer in zip(queries, served, viewers, answers, strict=True)
        ]

    def _from_previous(
        self,
        queries: Sequence[Query],
        viewers: Sequence[Loaded],
        lives: Sequence[bytes | None],
        answers: list[Answer | None],
    ) -> None:
        """Fills in the answers of viewers whom the previous version has a block of; `lives` are their live records."""
        previous = self._open_previous()
        if previous is None:
            return
        rows = {
            at: row
            for at, (viewer, _, _) in enumerate(viewers)
            if answers[at] is None
            and viewer.row is not None
            and (row := previous.tables.vocabulary.row(viewer.user_id)) is not None
        }
        blocks = self._store.get_many([self._keys.block(previous.version, row) for row in rows.values()])
        people = [(queries[at].user_id, row, lives[at]) for at, row in rows.items()]
        for at, block, (before, _, _) in zip(rows, blocks, self._load(previous, people), strict=True):
            if before.row is not None:
                own, older = self._arms.versions(queries[at].user_id, self._version, previous)
                answers[at] = responses.from_previous_version(
                    queries[at],
                    self._version,
                    viewers[at].viewer,
                    older or own,
                    before,
                    block,
                    Trace(),
                    self._loader.degrade,
                )

    def _load(self, version: ServedVersion, people: Iterable[tuple[Any, ...]]) -> list[Loaded]:
        """The viewers of (user id, row, live record) in a version; one trip for what is missing of them."""
        loaded = [self._loaded(version, *person) for person in people]
        records = self._read([item.missing if item.viewer.is_served else () for item in loaded])
        return [
            self._loader.complete(version, item, read) if read else item
            for item, read in zip(loaded, records, strict=True)
        ]

    def _loaded(self, version: ServedVersion, user_id: UserId, row: Row | None, live: bytes | None) -> Loaded:
        """A viewer; one whose live record does not read back is noted, and gets an empty list."""
        try:
            return self._loader.load(version, user_id, row, live)
        except CorruptRecordError as error:
            note_damaged(self._store, self._keys, user_id, error)
            return Loaded(Viewer(user_id, row, None, is_served=False))

    def _read(self, keys: Sequence[Sequence[str]]) -> list[list[bytes | None]]:
        """The records of several groups of keys in one trip, or in none if there are no keys."""
        flat = [key for group in keys for key in group]
        records = iter(self._store.get_many(flat) if flat else ())
        return [list(islice(records, len(group))) for group in keys]

    def _queue(self, viewers: Iterable[Viewer]) -> None:
        """Queues viewers for candidates, but for those that none can be generated for."""
        members = [
            viewer.user_id.encode() for viewer in viewers if viewer.row is not None or viewer.can_have_candidates
        ]
        if members:
            self._store.queue_add(self._keys.refresh, members, time())

    def _open_previous(self) -> ServedVersion | None:
        """The previous version, opened when it is first asked for; None if this host does not have it."""
        if self._previous is None and self._before and self._opener.on_disk(self._before[0]):
            version, self._before = self._before[0], ()
            try:
                self._previous = self._opener.open(version)
            except Exception as error:  # whatever is wrong with it, lists are made without it
                structlog.get_logger().warning("previous_version_not_opened", version=version, error=repr(error))
        return self._previous


def _log_fault(reason: str, error: CorruptRecordError) -> None:
    structlog.get_logger().warning("record_not_read", reason=reason, error=str(error))
