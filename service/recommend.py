"""`pymk recommend`: lists for many people at once, through the ranking and the rules that answer requests."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import time

import orjson
import structlog

from models import publishing
from models.block import Block
from models.columns import user_id_fault
from models.errors import CorruptRecordError, PymkError, UsageError, VersionError
from models.keys import Keys
from models.store.protocol import SyncStore
from models.versions import Versions
from service import lists
from service.lists import Answer
from service.query import Query
from service.ranking import Diversity, Trace
from service.served_version import OpenScorer, ServedVersion, VersionOpener

BATCH = 256
"""people whose blocks are read in one trip"""


class BatchRecommender:
    """Makes lists from the active version, without the kept ones and without keeping any.

    Raises VersionError where no version is active.
    """

    def __init__(
        self, store: SyncStore, versions: Versions, keys: Keys, open_scorer: OpenScorer, diversity: Diversity
    ) -> None:
        pointer = publishing.active(store, keys=keys)
        if pointer is None:
            raise VersionError("no version is active; pymk nightly DATA publishes one")
        opener = VersionOpener(store, versions, keys, open_scorer, diversity)
        self._store = store
        self._keys = keys
        self._version = opener.open(pointer.version)
        self._opener = opener
        self._before = pointer.before[:1]
        self._previous: ServedVersion | None = None

    @property
    def everybody(self) -> Iterator[str]:
        """The ids of all users of the version who are active."""
        version = self._version
        rows = (row for row in range(version.tables.n) if lists.inactive(version, row) is None)
        return (version.tables.vocabulary.user_id(row) for row in rows)

    def answers(self, user_ids: Iterable[str], context: str, limit: int) -> Iterator[bytes]:
        """One JSON document per person, in the order given."""
        upcoming = iter(user_ids)
        while batch := [Query(user_id, limit, context) for user_id in islice(upcoming, BATCH)]:
            yield from map(_document, batch, self._batch(batch))

    def _batch(self, queries: Sequence[Query]) -> list[Answer]:
        """The answers to a batch: one trip for the blocks, one more for those of the version before."""
        version = self._version
        found = self._records(version, queries)
        answers: dict[int, Answer] = {}
        missing: list[int] = []
        for at, query in enumerate(queries):
            row = version.tables.vocabulary.row(query.user_id)
            if row is None:
                answers[at] = lists.cold(query, version, None, Trace())
            elif (nothing := lists.inactive(version, row)) is not None:
                answers[at] = nothing
            elif (block := _block(found[at], row)) is not None:
                answers[at], _ = lists.ranked(query, version, block, Trace(), kept=False)
            else:
                missing.append(at)
        if missing:
            waiting = [queries[at] for at in missing]
            self._store.queue_add(self._keys.refresh, [query.user_id.encode() for query in waiting], time())
            answers |= dict(zip(missing, self._without_block(waiting), strict=True))
        return [answers[at] for at in range(len(queries))]

    def _without_block(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Lists of the version before where it has a block, cold ones where not."""
        previous = self._opened_previous()
        records = self._records(previous, queries) if previous is not None else [None] * len(queries)
        for query, record in zip(queries, records, strict=True):
            stale = None
            if previous is not None and (row := previous.tables.vocabulary.row(query.user_id)) is not None:
                block = _block(record, row)
                stale = lists.stale(query, self._version, previous, block, Trace()) if block is not None else None
            yield stale or lists.cold(query, self._version, self._version.tables.vocabulary.row(query.user_id), Trace())

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
            except PymkError as error:
                structlog.get_logger().warning("previous_version_not_opened", version=version, error=str(error))
        return self._previous


def _block(record: bytes | None, row: int) -> Block | None:
    try:
        return lists.read_block(record, row) if record is not None else None
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
