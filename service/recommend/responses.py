"""The ways a list comes about, each from what the caller has read of the store: kept, ranked, stale, cold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.version.candidate_block import Block
from service.ranking.cached_list import CachedList
from service.ranking.pipeline import DEEPEST, KEPT, reasons_fingerprint
from service.ranking.ranked_list import RankedList
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend.query import DEFAULT_LIMIT, Query
from service.state.served_version import ServedVersion

RANKED, CACHE, STALE, COLD_START, EMPTY, UNAVAILABLE = "ranked", "cache", "stale", "cold_start", "empty", "unavailable"
"""how a list came about, as answers say it"""

_NOBODY: NDArray[np.int32] = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Answer:
    """A list as it is shown: `entries` is the JSON of its people, separated by commas."""

    served: str
    version: str
    entries: bytes


def is_deep(query: Query) -> bool:
    """Whether a kept list may be too short for the query."""
    return query.limit + len(query.excluded) > KEPT


def read_block(record: bytes, row: int, people: int) -> Block:
    """The block of a record, of a version with so many people.

    Raises CorruptRecordError where it does not read back or is another viewer's.
    """
    block = Block.unpack(record, people)
    if block.viewer != row:
        raise CorruptRecordError(f"a block of row {block.viewer} stands where row {row}'s is due")
    return block


def nothing(version: ServedVersion) -> Answer:
    """The answer for a viewer who is deactivated or erased."""
    return Answer(EMPTY, version.version, b"")


def kept(query: Query, version: ServedVersion, viewer: Viewer, found: CachedList, trace: Trace) -> Answer | None:
    """The answer from a list that was ranked before with this version, by what is live now.

    None where the viewer's friends changed since, something that forbade was lifted, or people who are not in it may
    have come up.
    """
    ranking = version.ranking
    state, entries = ranking.state(viewer), found.entries
    if found.state[:-1] == state[:-1] and not query.excluded:
        places = ranking.soft.places(query.context, query.limit)
        if places <= len(entries) or len(entries) < DEFAULT_LIMIT:  # fewer were made only where there are no more
            text = entries.first(min(places, len(entries)))
            return Answer(CACHE if text else EMPTY, version.version, text)
    if found.state.relation_version != state.relation_version:
        return None
    listed = ranking.allowed(found.listed, viewer, _excluded(query, version), trace)
    placed = ranking.placed(listed, query.context, query.limit, viewer, trace, found.listed.lowest)
    if placed is None:
        trace.drops, trace.moved = {}, {}
        return None
    trace.stage("rules")
    friends = ranking.friends(viewer)
    known = found if reasons_fingerprint(viewer, friends) == found.state.friends else None
    entries = ranking.encoded(placed, viewer, friends, known)
    trace.stage("encode")
    served = CACHE if len(listed) or query.excluded else EMPTY
    return Answer(served, version.version, entries.text)


def ranked(
    query: Query, version: ServedVersion, viewer: Viewer, block: Block, trace: Trace, *, kept: bool = True
) -> tuple[Answer, CachedList | None]:
    """The answer ranked from a block, and the list to be kept where it is, with more people encoded."""
    ranking = version.ranking
    if not kept:
        listed = ranking.ranked(block, query.context, viewer, trace)
        served = RANKED if len(listed) else EMPTY
        return Answer(served, version.version, _entries(query, version, viewer, listed, trace)), None
    listed, candidates = ranking.judged(block, query.context, viewer, trace)
    served = RANKED if len(listed) else EMPTY
    friends = ranking.friends(viewer)
    placed = _placed(listed, query, max(query.limit, DEFAULT_LIMIT), version, viewer, trace)
    entries = ranking.encoded(placed, viewer, friends)
    state = ranking.state(viewer)._replace(friends=reasons_fingerprint(viewer, friends))
    made = CachedList(candidates, state, placed.rows.tolist(), placed.scores.tolist(), entries)
    text = entries.first(min(query.limit, len(entries)))
    if query.excluded:
        text = _entries(query, version, viewer, listed, trace, made)
    trace.stage("encode")
    return Answer(served, version.version, text), made


def stale(
    query: Query,
    version: ServedVersion,
    viewer: Viewer,
    previous: ServedVersion,
    before: Viewer,
    block: Block,
    trace: Trace,
) -> Answer | None:
    """The answer from a block of the version before, served with that version; None where it shows nobody.

    `before` is the viewer there. Whom the active version forbids, hides or no longer knows is left out, of the list and
    of its reasons.
    """
    ranking = version.ranking
    listed = previous.ranking.ranked(block, query.context, before, trace).first(DEEPEST)
    allowed = _passing(listed.rows, previous, version, lambda rows: ranking.verdicts(viewer, rows) == 0)
    if not allowed.any():
        return None
    named = ranking.friends(viewer)
    friends = previous.ranking.friends(before)
    friends = friends[_passing(friends, previous, version, lambda rows: np.isin(rows, named))]
    entries = _entries(query, previous, before, listed.only(allowed), trace, friends=friends)
    return Answer(STALE, previous.version, entries)


def cold(query: Query, version: ServedVersion, viewer: Viewer, trace: Trace) -> Answer:
    """The popular of the viewer's groups and of the network; without a profile, of the network alone."""
    listed = version.ranking.cold(viewer, trace)
    return Answer(COLD_START, version.version, _entries(query, version, viewer, listed, trace))


def _entries(
    query: Query,
    version: ServedVersion,
    viewer: Viewer,
    listed: RankedList,
    trace: Trace,
    known: CachedList | None = None,
    friends: NDArray[np.int32] | None = None,
) -> bytes:
    """JSON of the people for a query, of a whole list that hard rules have been applied to."""
    ranking = version.ranking
    if query.excluded:
        listed = ranking.allowed(listed, viewer, _excluded(query, version), trace)
    placed = _placed(listed, query, query.limit, version, viewer, trace)
    friends = ranking.friends(viewer) if friends is None else friends
    entries = ranking.encoded(placed, viewer, friends, known)
    trace.stage("encode")
    return entries.text


def _placed(
    listed: RankedList, query: Query, places: int, version: ServedVersion, viewer: Viewer, trace: Trace
) -> RankedList:
    placed = version.ranking.placed(listed, query.context, places, viewer, trace)
    trace.stage("rules")
    if placed is None:
        raise ValueError("nobody is missing from a whole list")
    return placed


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
    test: Callable[[NDArray[np.uint32]], NDArray[np.bool_]],
) -> NDArray[np.bool_]:
    """(k,) whether each person of the older version is in the newer too and passes a test of the rows there."""
    ids = [older.tables.vocabulary.user_id(row) for row in rows.tolist()]
    there = newer.tables.vocabulary.rows(ids)
    passed = there >= 0
    passed[passed] = test(there[passed].astype(np.uint32))
    return passed
