"""A block brought up to date with friends whom its viewer has made since, before the worker makes another.

All pair features but the profile's are sums or means over the viewer's friends, so that new friends alone tell what
changes: mutual friends, resource allocation and paths of length three exactly, personalised PageRank by the first two
steps of the new friends' walks. The embedding's cosine stays. Candidates are those of the block, in the order of the
pre-ranking score of what they are then.
"""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.graph import Graph
from models.kernels.fresh_friends import spread_from_friends
from models.kernels.graph_walks import RESTART
from models.kernels.tower_product import tower_products
from models.schema.pair_features import (
    ALLOCATION,
    ALLOCATION_SCALE,
    COMMON,
    DEFAULT_PRERANK_WEIGHTS,
    PAGERANK,
    PAGERANK_SCALE,
    PAIR_FEATURES,
    PRODUCT,
    THREE_HOPS,
    THREE_HOPS_SCALE,
)
from models.version.candidate_block import Block, quantise
from models.version.towers import Towers

MOST_FRIENDS = 64
"""new friends that are followed"""
MOST_EDGES = 100_000
"""edges that the paths from all of them cross: a third of a millisecond"""
NOBODY = -1
"""the row of a viewer without one"""


class FreshBlocks:
    """Brings blocks of one version up to date. One thread at a time."""

    def __init__(self, graph: Graph, towers: Towers) -> None:
        self._graph, self._towers = graph, towers
        self._places = np.zeros(0, np.int32)

    def block(self, block: Block, friends: NDArray[np.int32], known: int, query: Float32s, row: int = NOBODY) -> Block:
        """The block with all pair features, for a viewer at `row` whose `known` friends it was made of, and `friends`
        (f,), whom it does not know; `query` (d,) is that of all of them.
        """
        # what comes through the new friends
        graph, m, friends = self._graph, len(block), friends[:MOST_FRIENDS]
        if len(self._places) != graph.n:
            self._places = np.full(graph.n, -1, np.int32)
        common, allocation, paths, walks = (np.zeros(m, np.float32) for _ in range(4))
        self._places[block.rows] = np.arange(m, dtype=np.int32)
        spread_from_friends(
            graph.indptr,
            graph.indices,
            friends,
            row,
            block.rows,
            self._places,
            MOST_EDGES,
            common,
            allocation,
            paths,
            walks,
        )
        self._places[block.rows] = -1

        # the features with it
        degrees = (graph.indptr[block.rows + np.uint32(1)] - graph.indptr[block.rows]).astype(np.float32)
        before, now = np.float32(max(known, 1)), np.float32(max(known, 0) + len(friends))
        values = np.empty((len(PAIR_FEATURES), m), np.float32)
        values[:PRODUCT] = block.values()[:PRODUCT]
        values[COMMON] = np.log1p(np.expm1(values[COMMON]) + common)
        values[ALLOCATION] = np.log1p(np.expm1(values[ALLOCATION]) + np.float32(ALLOCATION_SCALE) * allocation)
        further = np.float32(THREE_HOPS_SCALE) * paths / np.sqrt(now * np.maximum(degrees, 1))
        values[THREE_HOPS] = np.log1p(np.expm1(values[THREE_HOPS]) * np.sqrt(before / now) + further)
        mass = np.expm1(values[PAGERANK]) * max(known, 0) + np.float32(PAGERANK_SCALE * (1 - RESTART)) * walks
        values[PAGERANK] = np.log1p(mass / now)
        products, sizes = np.empty(m, np.float32), np.empty(m, np.float32)
        tower_products(block.rows, self._towers.codes, query, self._towers.scales, products, sizes)
        values[PRODUCT] = np.copysign(np.log1p(sizes), products)

        # their order
        weights = DEFAULT_PRERANK_WEIGHTS
        order = np.argsort(-(weights[:-1] @ values + weights[-1] * np.log1p(degrees)), kind="stable")
        sources = block.sources[order]
        sources.setflags(write=False)  # as in a record: kernels are compiled for either
        return quantise(block.viewer, block.rows[order], sources, values[:, order])
