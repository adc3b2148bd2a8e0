"""The ways to a response. They differ in where the candidates come from; service.ranking.pipeline does the rest."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from models.errors import CorruptRecordError
from models.schema.vocabulary import Row
from models.version.candidate_block import Block
from service.ranking.cached_list import CachedList, CachedRecord
from service.ranking.page import Page, PageRequest, Shown
from service.ranking.ranked_list import AnyExposed
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend.query import Query
from service.recommend.question import question
from service.recommend.reserved_places import NOBODY, ReservedPlaces, reserved_places, with_reserved
from service.recommend.viewer_loader import Degrade
from service.state.served_version import NO_ARMS, ServedVersion

RANKED, CACHE, STALE, COLD_START, EMPTY, UNAVAILABLE = "ranked", "cache", "stale", "cold_start", "empty", "unavailable"
"""how a list came about, as answers say it"""

Head = tuple[ServedVersion, Viewer, ReservedPlaces]
"""who ranks, for whom, and the contacts at the head of a page"""


class Answer(NamedTuple):
    """A list as it is shown: `entries` is the JSON of its people, separated by commas."""

    served: str
    version: str
    entries: bytes
    cacheable: CachedList | None = None
    """the list to cache, if one was asked for"""
    next: str | None = None
    """the cursor of the next page, if the query has one and more follow"""
    exposed: AnyExposed | None = None
    """the people of the list as the exposure log records them"""
    arms: Mapping[str, str] = NO_ARMS
    """by experiment, the arm that the viewer is in"""
    ask: str | None = None
    """the profile column whose value would help the viewer most"""
    head: int = 0
    """contacts above the first of the exposed people; of further pages, contacts and newcomers of the first"""
    unexposed: int = 0
    """contacts and newcomers on the page"""


def empty(version: ServedVersion) -> Answer:
    """The answer for a viewer who is deactivated or erased."""
    return Answer(EMPTY, version.version, b"", arms=version.arms)


def from_cache(
    query: Query, version: ServedVersion, viewer: Viewer, row: Row, record: bytes, trace: Trace, degrade: Degrade
) -> Answer | None:
    """The answer from a record of a list that was ranked before with this version, for the viewer of `row`.

    Returns None if the record does not read back, the viewer's friends changed since, a rule was lifted, or people who
    are not in the list may have come up.
    """
    try:
        cached = CachedRecord.open(record, row)
        places = _reserved(query, version, viewer)
        page = version.ranking.cached_page(cached, _page_request(query, version, places), viewer, trace)
    except CorruptRecordError as error:
        degrade("corrupt_list", error)
        return None
    if page is None:
        trace.drops, trace.moved = {}, {}
        return None
    return _answer(query, version, CACHE, page, question(version, viewer), (version, viewer, places))


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
    block = read_block(version, viewer, block, degrade)
    if block is None:
        return None
    page_of = version.ranking.page_to_cache if cacheable else version.ranking.page
    try:
        places = _reserved(query, version, viewer)
        page = page_of(block, _page_request(query, version, places), viewer, trace)
    except CorruptRecordError as error:
        degrade("corrupt_block", error)
        return None
    if page is None:
        return None
    return _answer(query, version, RANKED, page, question(version, viewer), (version, viewer, places))


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
    block = read_block(previous, before, block, degrade)
    if block is None:
        return None
    request = _page_request(query, previous)
    try:
        page = previous.ranking.stale_page(block, request, before, trace, version.ranking, viewer)
    except CorruptRecordError as error:
        degrade("corrupt_block", error)
        return None
    if page is None:
        trace.drops = {}
        return None
    return _answer(query, previous, STALE, page, question(version, viewer))


def from_cold_start(query: Query, version: ServedVersion, viewer: Viewer, trace: Trace) -> Answer:
    """The answer with the popular people of the viewer's groups and of the network."""
    places = _reserved(query, version, viewer)
    page = version.ranking.page(None, _page_request(query, version, places), viewer, trace)
    if page is None:
        raise ValueError("no one is missing from the candidates of a cold start")
    ask = question(version, viewer, always=True)
    return _answer(query, version, COLD_START, page, ask, (version, viewer, places))


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


def _reserved(query: Query, version: ServedVersion, viewer: Viewer) -> ReservedPlaces:
    """The places of a page that are not ranked; most viewers have nobody for them."""
    return reserved_places(query, version, viewer) if viewer.contacts or viewer.newcomers else NOBODY


def _page_request(query: Query, version: ServedVersion, places: ReservedPlaces = NOBODY) -> PageRequest:
    """What a query asks for, in the rows of a version."""
    cursor = query.cursor
    if not query.excluded and cursor is None and places is NOBODY:
        return PageRequest(query.context, query.limit)
    rows = version.tables.vocabulary.rows(query.excluded)
    is_first = cursor is None or not len(cursor.shown)
    limit = max(query.limit - (0 if places is NOBODY else places.taken), 1) if is_first else query.limit
    before = None if cursor is None else Shown(cursor.shown, cursor.ceiling(version.version))
    return PageRequest(query.context, limit, np.concatenate([rows[rows >= 0], places.rows]), before)


def _answer(
    query: Query, version: ServedVersion, served: str, page: Page, ask: str | None, head: Head | None = None
) -> Answer:
    """The answer of a page; a list of candidates none of whom passes the hard rules is called empty."""
    text, above, unexposed = page.text, 0, 0
    is_first = query.cursor is None or not len(query.cursor.shown)
    if head is not None and head[2] is not NOBODY and is_first:
        version_now, viewer, places = head
        above, unexposed = len(places.chosen), places.taken
        text = with_reserved(places, text, query.limit, version_now, viewer)
    elif not page.passed and (served == RANKED or (served == CACHE and not query.excluded)):
        served = EMPTY
    if head is not None and not is_first:
        above = head[2].taken
    following = None
    if query.cursor is not None and page.shown is not None:
        following = query.cursor.after(version.version, *page.shown)
    cursor = following.pack() if following else None
    return Answer(
        served, version.version, text, page.cacheable, cursor, page.exposed, version.arms, ask, above, unexposed
    )
