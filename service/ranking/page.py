"""A page of a list: what is asked for, and what is shown."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.ranking.cached_list import CachedList
from service.ranking.ranked_list import AnyExposed

CACHED = 150
"""people of a cached list, whatever the limit"""
DEEPEST = 200
"""people ranked for the deepest page: limit 100 and 100 excluded"""

NO_ROWS: NDArray[np.int32] = np.zeros(0, dtype=np.int32)


class Shown(NamedTuple):
    """People of pages before or after another."""

    hashes: NDArray[np.uint32]
    """(k,) hashes of their ids (service.ranking.tie_break.id_hashes)"""
    lowest: np.float32 = np.float32(1)
    """the lowest of their scores, which no later one exceeds"""


class PageRequest(NamedTuple):
    """Which page of a list is asked for."""

    context: str
    limit: int
    """people at most"""
    excluded: NDArray[np.int32] = NO_ROWS
    """(k,) rows that the page leaves out"""
    before: Shown | None = None
    """the people of the pages before, whom the page leaves out too"""


class Page(NamedTuple):
    """The people of one response."""

    text: bytes
    """JSON of their entries, separated by commas"""
    passed: int
    """candidates that no hard rule drops, those excluded by the request included"""
    cacheable: CachedList | None = None
    """the list to cache, if one was asked for"""
    shown: Shown | None = None
    """the people of the page; only if more follow, and pages before were named"""
    exposed: AnyExposed | None = None
    """the people of the page as the exposure log records them"""
