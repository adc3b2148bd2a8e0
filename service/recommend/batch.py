"""`pymk recommend`: lists for many people at once, through the ranking and the rules that answer requests."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from time import time
from typing import TypeVar

import numpy as np
import orjson
import structlog

from models.errors import CorruptRecordError, UsageError, VersionError
from models.live_state.exposure import Exposed
from models.live_state.visibility import follow_blocking
from models.publishing.pointer import read_pointer
from models.schema.columns import Flag, user_id_fault
from models.schema.event_kinds import FORBIDDEN_DAYS
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from service.ranking.rerank import RerankSettings
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend import responses
from service.recommend.new_users import (
    changed,
    is_worth_making,
    met,
    newcomer_keys,
)
from service.recommend.query import Query
from service.recommend.responses import Answer
from service.state.live_state import LiveState
from service.state.served_version import OpenScorer, ServedVersion, VersionOpener

_Made = TypeVar("_Made")

BATCH = 256
"""people whose blocks are read in one trip"""


class BatchRecommender:
    """Makes lists from the active version and what is live, without the kept lists and without keeping any.

    Raises VersionError where no version is active.
    """

    def __init__(
        self,
        store: SyncStore,
        versions: Versions,
        keys: Keys,
        open_scorer: OpenScorer,
        rules: RerankSettings,
        forbidden_days: int = FORBIDDEN_DAYS,
    ) -> None:
        pointer = read_pointer(store, keys=keys)
        if pointer is None:
            raise VersionError("no version is active; pymk nightly DATA publishes one")
        opener = VersionOpener(store, versions, keys, open_scorer, rules)
        self._store = store
        self._keys = keys
        self._version = opener.open(pointer.version)
        self._opener = opener
        self._before = pointer.before[:1]
        self._previous: ServedVersion | None = None
        self._state = LiveState(forbidden_days)
        self._state.take_exposed(Exposed.unpack(store.get(keys.exposure)))
        self._follow()

    @property
    def everybody(self) -> Iterator[str]:
        """The ids of all users of the version who are active."""
        version = self._version
        rows = np.flatnonzero(version.ranking.now.flags & np.uint8(Flag.ACTIVE)).tolist()
        return (version.tables.vocabulary.user_id(row) for row in rows)

    def answers(self, user_ids: Iterable[str], context: str, limit: int) -> Iterator[bytes]:
        """One JSON document per person, in the order given."""
        upcoming = iter(user_ids)
        while batch := [Query(user_id, limit, context) for user_id in islice(upcoming, BATCH)]:
            yield from map(_document, batch, self._batch(batch))

    def _follow(self) -> None:
        """Learns who is hidden by now."""
        self._state.take_hidden(follow_blocking(self._store, self._keys, self._state.hidden))
        self._state.catch_up(self._version)

    def _batch(self, queries: Sequence[Query]) -> list[Answer]:
        """The answers to a batch: one trip for blocks and live records, one more for blocks of the version before."""
        version = self._version
        blocks, live = self._records(version, queries), self._live(queries)
        self._follow()
        answers: dict[int, Answer] = {}
        missing: dict[int, Viewer] = {}
        for at, query in enumerate(queries):
            row = version.tables.vocabulary.row(query.user_id)
            viewer = self._changed(version, self._state.viewer(version, query.user_id, row, live[at]))
            if not viewer.is_served:
                answers[at] = responses.nothing(version)
            elif viewer.row is None:
                answers[at] = self._newcomer(query, viewer)
            elif (answer := self._ranked(query, viewer, _block(blocks[at], viewer.row, version.tables.n))) is not None:
                answers[at] = answer
            else:
                missing[at] = viewer
        if missing:
            waiting = [queries[at] for at in missing]
            self._store.queue_add(self._keys.refresh, [query.user_id.encode() for query in waiting], time())
            found = self._without_block(waiting, list(missing.values()), [live[at] for at in missing])
            answers |= dict(zip(missing, found, strict=True))
        return [answers[at] for at in range(len(queries))]

    def _changed(self, version: ServedVersion, viewer: Viewer) -> Viewer:
        """The viewer with her profile as it is now."""
        if viewer.view is None or not viewer.view.profile_changed_at:
            return viewer
        profile = self._store.get(self._keys.live_profile(viewer.user_id))
        try:
            return changed(viewer, version.tables, version.manifest.cut_us, profile)
        except CorruptRecordError as error:
            structlog.get_logger().warning("profile_not_read", error=str(error))
            return viewer

    def _ranked(self, query: Query, viewer: Viewer, block: Block | None) -> Answer | None:
        """The list ranked from a block, None where there is none that the ranker can read."""
        made = _of_block(lambda one: responses.ranked(query, self._version, viewer, one, Trace(), kept=False), block)
        return None if made is None else made[0]

    def _newcomer(self, query: Query, viewer: Viewer) -> Answer:
        """The list for somebody whom the version does not know."""
        version, block = self._version, None
        if viewer.view is not None:
            record, profile = self._store.get_many(newcomer_keys(self._keys, version.version, query.user_id))
            try:
                viewer, block = met(viewer, version.tables, record, profile)
            except CorruptRecordError as error:
                structlog.get_logger().warning("newcomer_not_read", error=str(error))
        if (answer := self._ranked(query, viewer, block)) is not None:
            return answer
        if is_worth_making(viewer):
            self._store.queue_add(self._keys.refresh, [query.user_id.encode()], time())
        return responses.cold(query, version, viewer, Trace())

    def _without_block(
        self, queries: Sequence[Query], viewers: Sequence[Viewer], live: Sequence[bytes | None]
    ) -> Iterator[Answer]:
        """Lists of the version before where it has a block, cold ones where not."""
        previous = self._opened_previous()
        records = self._records(previous, queries) if previous is not None else [None] * len(queries)
        for query, viewer, record, packed in zip(queries, viewers, records, live, strict=True):
            stale = None
            if previous is not None and (row := previous.tables.vocabulary.row(query.user_id)) is not None:
                self._state.catch_up(previous)
                before = self._changed(previous, self._state.viewer(previous, query.user_id, row, packed))
                if before.row is not None:
                    make = partial(responses.stale, query, self._version, viewer, previous, before, trace=Trace())
                    stale = _of_block(make, _block(record, row, previous.tables.n))
            yield stale or responses.cold(query, self._version, viewer, Trace())

    def _live(self, queries: Sequence[Query]) -> list[bytes | None]:
        """The live records of the viewers in one trip."""
        return self._store.get_many([self._keys.live(query.user_id) for query in queries])

    def _records(self, version: ServedVersion, queries: Sequence[Query]) -> list[bytes | None]:
        """The packed blocks of the viewers in one trip, None where there is none."""
        rows = [version.tables.vocabulary.row(query.user_id) for query in queries]
        wanted = [self._keys.block(version.version, row) for row in rows if row is not None]
        records = iter(self._store.get_many(wanted))
        return [next(records) if row is not None else None for row in rows]

    def _opened_previous(self) -> ServedVersion | None:
        """The version before, opened when it is first asked for and where this host has it."""
        if self._previous is None and self._before and self._opener.on_disk(self._before[0]):
            version, self._before = self._before[0], ()
            try:
                self._previous = self._opener.open(version)
            except Exception as error:  # whatever is wrong with it, lists are made without it
                structlog.get_logger().warning("previous_version_not_opened", version=version, error=repr(error))
        return self._previous


def _block(record: bytes | None, row: int, people: int) -> Block | None:
    try:
        return responses.read_block(record, row, people) if record is not None else None
    except CorruptRecordError as error:
        structlog.get_logger().warning("block_not_read", error=str(error))
        return None


def _of_block(make: Callable[[Block], _Made | None], block: Block | None) -> _Made | None:
    """What is made of a block; one that the ranker cannot read, as of another release, counts as none."""
    try:
        return make(block) if block is not None else None
    except CorruptRecordError as error:
        structlog.get_logger().warning("block_not_read", error=str(error))
        return None


def _document(query: Query, answer: Answer) -> bytes:
    return b'{"user_id":%b,"version":"%b","served":"%b","recommendations":[%b]}' % (
        orjson.dumps(query.user_id),
        answer.version.encode(),
        answer.served.encode(),
        answer.entries,
    )


def read_user_ids(path: Path) -> list[str]:
    """The user ids of a file, one a line; blank lines are passed over.

    Raises UsageError where the file cannot be read, or for the first line that is no user id.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"--users {path} cannot be read: {error.strerror}") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            user_id = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}, line {number}: is not UTF-8") from error
        if not user_id.strip():
            continue
        if fault := user_id_fault(user_id):
            raise UsageError(f"{path}, line {number}: {user_id!r} {fault}")
        found.append(user_id)
    return found
