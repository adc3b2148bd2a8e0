"""The best connected people of each group: of one value of a column, or of two values of two columns together.

A person's share in a group is the probability that somebody of the group is connected with her, estimated from her
connections within it and shrunk by PRIOR_MEMBERS towards what is known without it: for one column her share in the
whole network, for two columns the larger of her shares among those who are in the group of either, but not of both. So
the few members of a small group say little, many say all, and a column that repeats another adds nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.cold_start.network import Network

MOST_PER_GROUP = 200
"""people kept of a group of one column"""
MOST_PER_JOINT_GROUP = 100
"""people kept of a group of two columns"""
LEAST_JOINT_MEMBERS = 5
"""members below which a group of two columns is not kept"""
PRIOR_MEMBERS = 5.0
"""a share is shrunk as if so many more members connected as is known without the group"""
_EDGES_AT_ONCE = 1 << 22

Columns = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one or two columns, by rising key.

    People of the group `keys[g]` are at `starts[g]` to `starts[g + 1]`, best first: `rows` int32 and `shares` float32.
    A key is the code of a value, or code of the first column x `width` + code of the second.
    """

    columns: Columns
    width: int
    keys: NDArray[np.int64]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    shares: NDArray[np.float32]

    def members(self, codes: NDArray[np.int32]) -> slice:
        """Where the people are of the group that a profile (C,) belongs to; empty if it belongs to none."""
        first = int(codes[self.columns[0]])
        key = first if len(self.columns) == 1 else first * self.width + int(codes[self.columns[1]])
        if first < 0 or int(codes[self.columns[-1]]) < 0:
            return slice(0, 0)
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return slice(0, 0)
        return slice(int(self.starts[at]), int(self.starts[at + 1]))

    def keys_of(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """(n,) the key of each profile (n, C); -1 for one that lacks a value."""
        return keys_of(self.columns, self.width, codes)


def single_groups(network: Network, among: NDArray[np.bool_] | None = None) -> list[Groups]:
    """The groups of each column; `among` (n,) are the people whom members are counted by, default all."""
    everywhere = network.shares()
    return [
        _best(network, one, one.shares(everywhere), MOST_PER_GROUP, 1)
        for one in _belongings(network, [(column,) for column in range(len(network.columns))], among)
    ]


def joint_groups(network: Network, columns: Sequence[int], among: NDArray[np.bool_] | None = None) -> Iterator[Groups]:
    """The groups of each two of some columns; `among` as in `single_groups`."""
    everywhere = network.shares()
    alone = {one.columns[0]: one for one in _belongings(network, [(column,) for column in columns], among)}
    for both in _belongings(network, list(combinations(sorted(columns), 2)), among):
        # the shares among those of either group who are not in both: nobody's connections count twice
        first, second = (alone[column].without(both).shares(everywhere) for column in both.columns)
        shares = both.shares(np.maximum(first, second))
        yield _best(network, both, shares, MOST_PER_JOINT_GROUP, LEAST_JOINT_MEMBERS)


@dataclass(frozen=True, slots=True)
class _Belonging:
    """Everybody's own group of some columns."""

    columns: Columns
    width: int
    keys: NDArray[np.int64]
    """of the groups that have a member, rising"""
    group: NDArray[np.int64]
    """(n,) the place of each person's group; 0 for those who belong to none"""
    belongs: NDArray[np.bool_]
    """(n,) who belongs to a group"""
    others: NDArray[np.int64]
    """(n,) members of the person's group beside her"""
    within: NDArray[np.int32]
    """(n,) the person's connections in the group"""

    def shares(self, prior: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) float32: everybody's share in the own group, shrunk towards a prior (n,); 0 outside of groups."""
        shares = (self.within + PRIOR_MEMBERS * prior) / (self.others + PRIOR_MEMBERS)
        return np.where(self.belongs, shares, 0).astype(np.float32)

    def without(self, part: "_Belonging") -> "_Belonging":
        """The same without the members of a part of each person's group."""
        others = np.where(part.belongs, np.maximum(self.others - part.others, 0), self.others)
        within = np.where(part.belongs, np.maximum(self.within - part.within, 0), self.within)
        return replace(self, others=others, within=within)


def _belongings(network: Network, sets: Sequence[Columns], among: NDArray[np.bool_] | None) -> Iterator[_Belonging]:
    """Everybody's groups of each set of columns."""
    for columns, within in connections_within(network, sets):
        width = network.sizes[columns[-1]]
        own = keys_of(columns, width, network.codes)
        counted = own if among is None else np.where(among, own, -1)
        keys, sizes = np.unique(counted[counted >= 0], return_counts=True)
        if not len(keys):
            nobody = np.zeros(len(own), np.int64)
            yield _Belonging(columns, width, keys, nobody, nobody.astype(np.bool_), nobody, within)
            continue
        group = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
        belongs = (own >= 0) & (keys[group] == own)
        others = np.where(belongs, np.maximum(sizes[group] - 1, 0), 0)
        yield _Belonging(columns, width, keys, np.where(belongs, group, 0), belongs, others, within)


def _best(network: Network, own: _Belonging, shares: NDArray[np.float32], most: int, least: int) -> Groups:
    """The best people of each group that has `least` members."""
    group = own.group
    kept = np.flatnonzero(own.belongs & network.suggestible & (own.within > 0) & (own.others + 1 >= least))
    kept = kept[np.lexsort((kept, -shares[kept], group[kept]))]
    starts = np.searchsorted(group[kept], np.arange(len(own.keys) + 1))
    kept = kept[np.arange(len(kept)) - starts[group[kept]] < most]
    starts = np.searchsorted(group[kept], np.arange(len(own.keys) + 1))
    has = np.diff(starts) > 0
    bounds = np.concatenate([starts[:-1][has], starts[-1:]]).astype(np.int64)
    return Groups(own.columns, own.width, own.keys[has], bounds, kept.astype(np.int32), shares[kept])


def keys_of(columns: Columns, width: int, codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) the key of the group of each profile (n, C), as in Groups; -1 for one that lacks a value."""
    own = codes[:, columns[0]].astype(np.int64)
    if len(columns) == 1:
        return own
    second = codes[:, columns[1]]
    return np.where((own >= 0) & (second >= 0), own * width + second, -1)


def connections_within(network: Network, sets: Sequence[Columns]) -> list[tuple[Columns, NDArray[np.int32]]]:
    """For each set of columns, how many of each person's connections (n,) int32 have the person's values of them."""
    graph, codes = network.graph, network.codes
    within = [np.zeros(graph.n, dtype=np.int32) for _ in sets]
    needed = sorted({column for columns in sets for column in columns})
    contiguous = {column: np.ascontiguousarray(codes[:, column]) for column in needed}
    first = 0
    while first < graph.n:
        last = int(np.searchsorted(graph.indptr, graph.indptr[first] + _EDGES_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), graph.n)
        person = np.repeat(np.arange(first, last), graph.degrees[first:last])
        others = graph.indices[graph.indptr[first] : graph.indptr[last]]
        same: dict[int, NDArray[np.bool_]] = {}
        for column, own in contiguous.items():
            mine = own[person]
            same[column] = (mine == own[others]) & (mine >= 0)
        for columns, counts in zip(sets, within, strict=True):
            alike = same[columns[0]] if len(columns) == 1 else same[columns[0]] & same[columns[1]]
            counts[first:last] = np.bincount(person[alike] - first, minlength=last - first)
        first = last
    return list(zip(sets, within, strict=True))
