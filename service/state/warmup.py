"""Lists made when a version is opened, so that no request waits for kernels to be compiled or loaded."""

from dataclasses import replace
from time import perf_counter

import numpy as np
import structlog

from models.schema.event_kinds import EventKind
from models.schema.pair_features import KEPT_FEATURES
from models.schema.relationship import Relationship
from models.schema.vocabulary import Row
from models.version.candidate_block import Block
from models.version.tables import Tables
from service.ranking.cached_list import CachedList, CacheKey
from service.ranking.kernels.sorting import order_ties
from service.ranking.list_json import NO_ENTRIES
from service.ranking.page import DEEPEST, PageRequest
from service.ranking.pipeline import Ranking
from service.ranking.ranked_list import RankedList
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.ranking.viewer_state import EdgeEvents, ViewerState

MOST_LOOKED_AT = 10_000
"""users among whom one is looked for whom the first does not know"""
LOGGED_S = 1.0
"""a warm-up that takes longer compiled kernels, and is logged"""


def warm_up(ranking: Ranking) -> None:
    """Makes lists in every way, of the first users of the version.

    A kernel is compiled for each combination of types that it meets, and read-only arrays are a type of their own. So
    there are viewers with live state and without, and lists from records as well as made here.
    """
    tables, trace, started = ranking.tables, Trace(), perf_counter()
    n = min(tables.n, 2)
    if not n:
        return
    block, cached, places = Block.unpack(_block(n).pack()), _cached(n), np.arange(n, dtype=np.int32)
    for view in (None, _view(tables), _with_a_new_friend(tables)):
        viewer = Viewer(tables.vocabulary.user_id(0), Row(0), view)
        scored = ranking.score(ranking.reader.read(block, viewer), "", trace)
        listed, _ = ranking.filter(scored, viewer, trace)
        for candidates in (scored, ranking.cold_start(viewer, trace), listed, cached, cached.at(places)):
            ranking.page(candidates, PageRequest("", DEEPEST), viewer, trace)
        for whole in (cached, cached.at(places)):  # the others may be empty, and this way has no filter before it
            placed = ranking.rerank(whole, "", n, viewer, trace)
            if placed is not None:
                ranking.encode(placed, viewer, ranking.friends(viewer))
    order_ties(np.zeros(n, np.float32), places, places.astype(np.uint32), np.zeros(tables.n, np.uint32), 0)
    if (seconds := perf_counter() - started) > LOGGED_S:
        structlog.get_logger().info("kernels_compiled", seconds=round(seconds, 1))


def _block(n: int) -> Block:
    """A block of the first users, without features."""
    features = len(KEPT_FEATURES)
    nothing = np.zeros(features, dtype=np.float32)
    rows, bits = np.arange(n, dtype=np.uint32), np.zeros(n, dtype=np.uint8)
    return Block(0, rows, bits, np.zeros((features, n), dtype=np.uint8), nothing, nothing)


def _view(tables: Tables) -> ViewerState:
    """The live state of a viewer to whom nothing happened."""
    no_rows = np.zeros(0, dtype=np.int32)
    friends = tables.graph.neighbours(0).copy()
    return ViewerState((0, 0), 0, no_rows, np.zeros(0, np.uint8), friends, no_rows, np.zeros(0, np.float32))


def _with_a_new_friend(tables: Tables) -> ViewerState:
    """The live state of a viewer who made a friend since the version, if there is anybody whom the viewer lacks."""
    strangers = np.setdiff1d(np.arange(1, min(tables.n, MOST_LOOKED_AT), dtype=np.int32), tables.graph.neighbours(0))
    new = strangers[:1]
    event = EdgeEvents(new, np.full(len(new), EventKind.CONNECT, np.uint8), np.ones(len(new), np.int64))
    bits = np.full(len(new), Relationship.CONNECTED, np.uint8)
    friends = np.union1d(tables.graph.neighbours(0), new).astype(np.int32)
    made = replace(_view(tables), others=new, bits=bits, friends=friends)
    return replace(made, events=event, graph_changed_at=len(new))


def _cached(n: int) -> RankedList:
    """A list of the first users, unpacked from a record."""
    listed = RankedList(Row(0), np.arange(n, dtype=np.uint32), np.ones(n, np.float32), np.zeros(n, np.uint8))
    return CachedList.unpack(CachedList(listed, CacheKey(), (), (), NO_ENTRIES).pack(n), Row(0)).listed
