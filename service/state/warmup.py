"""Lists made for nobody, so that no request is the first: kernels are compiled, or loaded from where they are kept."""

from time import perf_counter

import numpy as np
import structlog

from models.schema.pair_features import PAIR_FEATURES
from models.version.candidate_block import Block
from models.version.tables import Tables
from service.ranking.cached_list import CachedList, CacheKey
from service.ranking.kernels.sorting import settle
from service.ranking.list_json import NO_ENTRIES
from service.ranking.pipeline import Ranking
from service.ranking.ranked_list import RankedList
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.ranking.viewer_state import ViewerState

WORTH_TELLING_S = 1.0
"""what takes longer was compiled, not loaded"""


def warm_up(ranking: Ranking) -> None:
    """Goes the ways that a list comes about, with the first people of the version as everybody in it.

    A kernel is compiled for each combination of types that it meets, read-only arrays apart from others; so viewers
    come with live state and without, and lists out of records as well as made here.
    """
    tables, trace, began = ranking.tables, Trace(), perf_counter()
    n = min(tables.n, 2)
    if not n:
        return
    block, kept, everybody = Block.unpack(_block(n).pack()), _kept(n), np.arange(n, dtype=np.int32)
    for view in (None, _view(tables)):
        viewer = Viewer(tables.vocabulary.user_id(0), 0, view)
        _, made = ranking.judged(block, "", viewer, trace)
        for listed in (made, kept, kept.at(everybody), ranking.cold(viewer, trace)):  # the first and last may be empty
            ranking.verdicts(viewer, listed.rows)
            placed = ranking.placed(listed, "", n, viewer, trace)
            if placed is not None:
                ranking.encoded(placed, viewer, ranking.friends(viewer))
    settle(np.zeros(n, np.float32), everybody, everybody.astype(np.uint32), np.zeros(tables.n, np.uint32), 0)
    if (seconds := perf_counter() - began) > WORTH_TELLING_S:
        structlog.get_logger().info("kernels_compiled", seconds=round(seconds, 1))


def _block(n: int) -> Block:
    """Candidates of whom nothing is known."""
    features = len(PAIR_FEATURES)
    nothing = np.zeros(features, dtype=np.float32)
    rows, bits = np.arange(n, dtype=np.uint32), np.zeros(n, dtype=np.uint8)
    return Block(0, rows, bits, np.zeros((features, n), dtype=np.uint8), nothing, nothing)


def _view(tables: Tables) -> ViewerState:
    """The live state of somebody to whom nothing happened."""
    nobody = np.zeros(0, dtype=np.int32)
    friends = tables.graph.neighbours(0).copy()
    return ViewerState(0, 0, nobody, np.zeros(0, np.uint8), friends, nobody, np.zeros(0, np.float32))


def _kept(n: int) -> RankedList:
    """A list as a record gives it back."""
    listed = RankedList(0, np.arange(n, dtype=np.uint32), np.ones(n, np.float32), np.zeros(n, np.uint8))
    return CachedList.unpack(CachedList(listed, CacheKey(), (), (), NO_ENTRIES).pack(n), 0).listed
