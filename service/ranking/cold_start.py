"""Candidates of a viewer who has no block: the well connected of the viewer's groups, then of the whole network."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.schema.candidate_sources import Source
from models.schema.columns import Flag
from models.schema.vocabulary import Row
from models.version.new_user_record import ProfileCodes, codes_of
from models.version.tables import Tables
from service.ranking.ranked_list import Candidates

MOST_PER_GROUP = 100
_PRIOR_MEMBERS = 10.0
"""a group's share is shrunk towards the network's as if so many more members connected like the average user"""
_EDGES_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Group:
    """The best connected of each value of one column.

    People of value v are at `starts[v]` to `starts[v + 1]`, best first: `rows` int32 and `shares` float32, the
    probability that a user with this value is connected with them.
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    shares: NDArray[np.float32]


class ColdStart:
    """Candidates without a block, scored by the share of the viewer's groups that is connected with each of them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        graph = tables.graph
        self._popular = tables.popular.astype(np.uint32)
        self._popular_shares = _network_shares(graph, tables.popular)
        shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
        eligible = (tables.flags & shown) == shown
        self._groups = [
            _group(graph, np.ascontiguousarray(tables.categorical_codes[:, column]), len(values), eligible)
            for column, values in enumerate(tables.categorical_values)
        ]

    def candidates(self, viewer: Row | ProfileCodes | None) -> Candidates:
        """The candidates by ascending row.

        `viewer` is a row, or the profile of a viewer without one; None gets the popular of the whole network.
        """
        rows = [self._popular]
        scores = [self._popular_shares]
        bits = [np.full(len(self._popular), Source.POPULAR, dtype=np.uint8)]
        if viewer is not None:
            own = codes_of(viewer, self._tables).categorical.tolist()
            for group, code in zip(self._groups, own, strict=True):
                if code < 0:
                    continue
                members = slice(int(group.starts[code]), int(group.starts[code + 1]))
                rows.append(group.rows[members].astype(np.uint32))
                scores.append(group.shares[members])
                both = Source.POPULAR | Source.SAME_ATTRIBUTES
                bits.append(np.full(members.stop - members.start, both, dtype=np.uint8))
        people, score, bit = np.concatenate(rows), np.concatenate(scores), np.concatenate(bits)
        order = np.lexsort((-bit.astype(np.int16), -score, people))
        people, score, bit = people[order], score[order], bit[order]
        first = np.ones(len(people), dtype=np.bool_)
        first[1:] = people[1:] != people[:-1]
        return Candidates(people[first], score[first], bit[first])


def _network_shares(graph: Graph, rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """(k,) float32: the share of all other users that each person is connected with."""
    return (graph.degrees[rows] / max(graph.n - 1, 1)).astype(np.float32)


def _group(graph: Graph, codes: NDArray[np.int32], values: int, eligible: NDArray[np.bool_]) -> Group:
    """The best connected people of each value of a column (n,)."""
    within = _connections_within(graph, codes)
    sizes = np.bincount(codes[codes >= 0], minlength=values)
    rows = np.flatnonzero(eligible & (codes >= 0) & (within > 0)).astype(np.int32)
    rows = rows[np.lexsort((rows, -within[rows], codes[rows]))]
    starts = np.searchsorted(codes[rows], np.arange(values + 1))
    rows = rows[np.arange(len(rows)) - starts[codes[rows]] < MOST_PER_GROUP]
    own = codes[rows]
    everywhere = _network_shares(graph, rows)
    shares = (within[rows] + _PRIOR_MEMBERS * everywhere) / (sizes[own] - 1 + _PRIOR_MEMBERS)
    return Group(np.searchsorted(own, np.arange(values + 1)), rows, shares.astype(np.float32))


def _connections_within(graph: Graph, codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """(n,) int32: how many of each person's connections have the person's own value."""
    within = np.zeros(graph.n, dtype=np.int32)
    first = 0
    while first < graph.n:
        last = int(np.searchsorted(graph.indptr, graph.indptr[first] + _EDGES_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), graph.n)
        person = np.repeat(np.arange(first, last), graph.degrees[first:last])
        others = graph.indices[graph.indptr[first] : graph.indptr[last]]
        same = (codes[person] == codes[others]) & (codes[person] >= 0)
        within[first:last] = np.bincount(person[same] - first, minlength=last - first)
        first = last
    return within
