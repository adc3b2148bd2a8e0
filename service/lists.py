"""The ways a list comes about, each from what the caller has read of the store: kept, ranked, stale, cold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.block import Block
from models.columns import Flag
from models.errors import CorruptRecordError
from service.query import DEFAULT_LIMIT, Query
from service.ranked_list import RankedList
from service.ranking import DEEPEST, KEPT, Trace
from service.reasons import nameable_friends
from service.served_version import ServedVersion

RANKED, CACHE, STALE, COLD_START, EMPTY, UNAVAILABLE = "ranked", "cache", "stale", "cold_start", "empty", "unavailable"
"""how a list came about, as answers say it"""

_NOBODY: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
_ACTIVE = int(Flag.ACTIVE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A list as it is shown: `entries` is the JSON of its people, separated by commas."""

    served: str
    version: str
    entries: bytes


def is_deep(query: Query) -> bool:
    """Whether a kept list may be too short for the query."""
    return query.limit + len(query.excluded) > KEPT


def read_block(record: bytes, row: int) -> Block:
    """The block of a record. Raises CorruptRecordError where it does not read back or is another viewer's."""
    block = Block.unpack(record)
    if block.viewer != row:
        raise CorruptRecordError(f"a block of row {block.viewer} stands where row {row}'s is due")
    return block


def kept(query: Query, version: ServedVersion, listed: RankedList, trace: Trace) -> Answer:
    """The answer from a list that was ranked before with this version."""
    entries = version.ranking.cut(listed, _excluded(query, version), query.limit, trace)
    trace.stage("encode")
    return Answer(CACHE if len(listed) else EMPTY, version.version, entries)


def ranked(
    query: Query, version: ServedVersion, block: Block, trace: Trace, *, kept: bool = True
) -> tuple[Answer, RankedList]:
    """The answer ranked from a block, and the list, with more people encoded where it is to be kept."""
    ranking = version.ranking
    listed = ranking.ranked(block, query.context, DEEPEST if is_deep(query) else KEPT, trace)
    listed = ranking.encoded(listed, max(query.limit, DEFAULT_LIMIT) if kept else query.limit, trace)
    entries = ranking.cut(listed, _excluded(query, version), query.limit, trace)
    trace.stage("encode")
    return Answer(RANKED if len(listed) else EMPTY, version.version, entries), listed


def stale(query: Query, version: ServedVersion, previous: ServedVersion, block: Block, trace: Trace) -> Answer | None:
    """The answer from a block of the version before, served with that version; None where it shows nobody.

    Whom the active version forbids, hides or no longer knows is left out, of the list and of its reasons.
    """
    viewer = version.tables.vocabulary.row(query.user_id)
    listed = previous.ranking.ranked(block, query.context, DEEPEST, trace)
    verdicts = version.ranking.verdicts
    allowed = _passing(listed.rows, previous, version, lambda rows: verdicts.of(viewer, rows) == 0)
    if not allowed.any():
        return None
    listed = RankedList(block.viewer, listed.rows[allowed], listed.scores[allowed], listed.sources[allowed])
    friends = nameable_friends(previous.tables, block.viewer)
    named = nameable_friends(version.tables, viewer) if viewer is not None else _NOBODY
    friends = friends[_passing(friends, previous, version, lambda rows: np.isin(rows, named))]
    entries = previous.ranking.cut(listed, _excluded(query, previous), query.limit, trace, friends)
    trace.stage("encode")
    return Answer(STALE, previous.version, entries)


def cold(query: Query, version: ServedVersion, row: int | None, trace: Trace) -> Answer:
    """The popular of the viewer's groups and of the network; without a row, of the network alone."""
    listed = version.ranking.cold(row, query.user_id, query.limit + len(query.excluded), trace)
    entries = version.ranking.cut(listed, _excluded(query, version), query.limit, trace)
    trace.stage("encode")
    return Answer(COLD_START, version.version, entries)


def inactive(version: ServedVersion, row: int) -> Answer | None:
    """The empty answer for a viewer who is deactivated, None for anybody else."""
    return None if int(version.tables.flags[row]) & _ACTIVE else Answer(EMPTY, version.version, b"")


def _excluded(query: Query, version: ServedVersion) -> NDArray[np.int32]:
    """The rows of the people whom the query leaves out, unknown ones left away."""
    if not query.excluded:
        return _NOBODY
    rows = version.tables.vocabulary.rows(query.excluded)
    return rows[rows >= 0]


def _passing(
    rows: NDArray[np.uint32] | NDArray[np.int32],
    older: ServedVersion,
    newer: ServedVersion,
    test: Callable[[NDArray[np.intp]], NDArray[np.bool_]],
) -> NDArray[np.bool_]:
    """(k,) whether each person of the older version is in the newer too and passes a test of the rows there."""
    ids = [older.tables.vocabulary.user_id(row) for row in rows.tolist()]
    there = newer.tables.vocabulary.rows(ids)
    passed = there >= 0
    passed[passed] = test(there[passed].astype(np.intp))
    return passed
