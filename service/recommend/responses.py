"""The ways to a response. They differ in where the candidates come from; `respond` does the rest for all of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.version.candidate_block import Block
from service.ranking.cached_list import LEAST_ENCODED, CachedList
from service.ranking.pipeline import DEEPEST, Shown
from service.ranking.ranked_list import Candidates, RankedList
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend.query import Query
from service.recommend.viewer_loader import Degrade
from service.state.served_version import ServedVersion

RANKED, CACHE, STALE, COLD_START, EMPTY, UNAVAILABLE = "ranked", "cache", "stale", "cold_start", "empty", "unavailable"
"""how a list came about, as answers say it"""

_NO_ROWS: NDArray[np.int32] = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Answer:
    """A list as it is shown: `entries` is the JSON of its people, separated by commas."""

    served: str
    version: str
    entries: bytes
    cacheable: CachedList | None = None
    """the list to cache, if one was asked for"""
    next: str | None = None
    """the cursor of the next page, if the query has one and more follow"""


def empty(version: ServedVersion) -> Answer:
    """The answer for a viewer who is deactivated or erased."""
    return Answer(EMPTY, version.version, b"")


def from_cache(query: Query, version: ServedVersion, viewer: Viewer, cached: CachedList, trace: Trace) -> Answer | None:
    """The answer from a list that was ranked before with this version.

    Returns None if the viewer's friends changed since, a rule was lifted, or people who are not in it may have come up.
    """
    key, entries = version.ranking.cache_key(viewer), cached.entries
    if cached.key[:-1] == key[:-1] and not query.excluded and query.cursor is None:
        places, encoded = version.ranking.reranker.places(query.context, query.limit), len(entries.ends)
        if places <= encoded or encoded < LEAST_ENCODED:  # fewer were encoded only if there are no more
            text = entries.first(min(places, encoded))
            return Answer(CACHE if text else EMPTY, version.version, text)
    if cached.key.relation_version != key.relation_version:
        return None
    answer = respond(query, version, viewer, cached.listed, CACHE, trace, cached=cached)
    if answer is None:
        trace.drops, trace.moved = {}, {}
    return answer


def from_block(
    query: Query,
    version: ServedVersion,
    viewer: Viewer,
    block: Block | bytes | None,
    trace: Trace,
    degrade: Degrade,
    *,
    cacheable: bool = False,
) -> Answer | None:
    """The answer ranked from a block, with `cacheable` also the list to cache.

    Returns None if there is no block, or none that the ranker can read, as of another release.
    """
    candidates = _scored(query, version, viewer, block, trace, degrade)
    if candidates is None:
        return None
    return respond(query, version, viewer, candidates, RANKED, trace, cacheable=cacheable)


def from_previous_version(
    query: Query,
    version: ServedVersion,
    viewer: Viewer,
    previous: ServedVersion,
    before: Viewer,
    block: Block | bytes | None,
    trace: Trace,
    degrade: Degrade,
) -> Answer | None:
    """The answer from a block of the previous version, of that version; None if it shows no one.

    `before` is the viewer in the previous version. People whom the active version drops or does not know are in neither
    the list nor its reasons.
    """
    candidates = _scored(query, previous, before, block, trace, degrade)
    if candidates is None:
        return None
    listed, _ = previous.ranking.filter(candidates, before, trace)
    if query.cursor is None:
        listed = listed.first(DEEPEST)
    allowed = _passing(listed.rows, previous, version, lambda rows: version.ranking.masks(viewer, rows) == 0)
    if not allowed.any():
        trace.drops = {}
        return None
    named, friends = version.ranking.friends(viewer), previous.ranking.friends(before)
    friends = friends[_passing(friends, previous, version, lambda rows: np.isin(rows, named))]
    return respond(query, previous, before, listed.only(allowed), STALE, trace, friends=friends)


def from_cold_start(query: Query, version: ServedVersion, viewer: Viewer, trace: Trace) -> Answer:
    """The answer with the popular people of the viewer's groups and of the network."""
    answer = respond(query, version, viewer, version.ranking.cold_start(viewer, trace), COLD_START, trace)
    if answer is None:
        raise ValueError("no one is missing from the candidates of a cold start")
    return answer


def respond(
    query: Query,
    version: ServedVersion,
    viewer: Viewer,
    candidates: Candidates | RankedList,
    served: str,
    trace: Trace,
    *,
    friends: NDArray[np.int32] | None = None,
    cached: CachedList | None = None,
    cacheable: bool = False,
) -> Answer | None:
    """Filters, re-ranks and encodes candidates, scored or ranked before: the one way to the people of an answer.

    `friends`, `cached` and `cacheable` as in Ranking.page. Returns None if a ranked list has too few people.
    """
    excluded, cursor = _NO_ROWS, query.cursor
    if query.excluded:
        rows = version.tables.vocabulary.rows(query.excluded)
        excluded = rows[rows >= 0]
    page = version.ranking.page(
        candidates,
        query.context,
        query.limit,
        viewer,
        trace,
        excluded=excluded,
        friends=friends,
        cached=cached,
        cacheable=cacheable,
        before=None if cursor is None else Shown(cursor.shown, cursor.ceiling(version.version)),
    )
    if page is None:
        return None
    if not page.passed and (served == RANKED or (served == CACHE and not query.excluded)):
        served = EMPTY
    following = None
    if cursor is not None and page.shown is not None:
        following = cursor.after(version.version, *page.shown)
    return Answer(served, version.version, page.text, page.cacheable, following.pack() if following else None)


def read_block(version: ServedVersion, viewer: Viewer, record: Block | bytes | None, degrade: Degrade) -> Block | None:
    """The viewer's block, of a record that may be packed.

    Returns None if there is none, it does not read back, or it is another viewer's.
    """
    if record is None or isinstance(record, Block):
        return record
    try:
        block = Block.unpack(record, version.tables.n)
        if block.viewer != viewer.row:
            raise CorruptRecordError(f"the record of row {viewer.row}'s block is row {block.viewer}'s")
    except CorruptRecordError as error:
        degrade("corrupt_block", error)
        return None
    return block


def _scored(
    query: Query,
    version: ServedVersion,
    viewer: Viewer,
    record: Block | bytes | None,
    trace: Trace,
    degrade: Degrade,
) -> Candidates | None:
    """The people of a block with their scores; a block that the ranker cannot read counts as none."""
    block = read_block(version, viewer, record, degrade)
    if block is None:
        return None
    try:
        return version.ranking.score(block, query.context, viewer, trace)
    except CorruptRecordError as error:
        degrade("corrupt_block", error)
        return None


def _passing(
    rows: NDArray[np.uint32] | NDArray[np.int32],
    older: ServedVersion,
    newer: ServedVersion,
    test: Callable[[NDArray[np.uint32]], NDArray[np.bool_]],
) -> NDArray[np.bool_]:
    """(k,) whether each person of the older version is in the newer one too and passes a test of the rows there."""
    ids = [older.tables.vocabulary.user_id(row) for row in rows.tolist()]
    found = newer.tables.vocabulary.rows(ids)
    passed = found >= 0
    passed[passed] = test(found[passed].astype(np.uint32))
    return passed
