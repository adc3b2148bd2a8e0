"""The friendship graph as compressed sparse rows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Graph:
    """Neighbours of every row: `indices[indptr[row] : indptr[row + 1]]`, ascending, without duplicates or self.

    `indptr` is (n + 1,) int64, `indices` (edges,) int32; an undirected friendship is in both its rows.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    @classmethod
    def from_pairs(cls, n: int, a: ArrayLike, b: ArrayLike) -> "Graph":
        """The undirected graph on n rows of the pairs (a, b), each (m,) of int, in any order, duplicates allowed."""
        first, second = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
        return cls.from_directed(n, np.concatenate([first, second]), np.concatenate([second, first]))

    @classmethod
    def from_directed(cls, n: int, source: ArrayLike, target: ArrayLike) -> "Graph":
        """The directed graph on n rows of the pairs source → target; drops self-pairs and duplicates.

        Raises ValueError for a row outside 0 to n-1.
        """
        start, end = np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64)
        for rows in (start, end):
            if len(rows) and not 0 <= rows.min() <= rows.max() < n:
                raise ValueError(f"rows {rows.min()} to {rows.max()} in a graph of {n}: all must be 0 to n-1")
        keys = np.sort((start * n + end)[start != end])
        # np.unique hashes integers, fifteen times slower for ten million of them
        keys = keys[np.diff(keys, prepend=-1) > 0]
        indptr = np.zeros(n + 1, dtype=np.int64)
        if n:
            np.cumsum(np.bincount(keys // n, minlength=n), out=indptr[1:])
        return cls(indptr, (keys % max(n, 1)).astype(np.int32))

    @property
    def n(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def degrees(self) -> NDArray[np.int32]:
        """(n,) int32"""
        return np.diff(self.indptr).astype(np.int32)

    def neighbours(self, row: int) -> NDArray[np.int32]:
        """(degree,) int32, ascending; a view."""
        return self.indices[self.indptr[row] : self.indptr[row + 1]]

    def degrees_of(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """(k,) int64, of these rows alone"""
        return np.asarray(self.indptr[rows + 1] - self.indptr[rows])

    def pairs(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Each undirected pair once as (a, b) with a < b, two (m,) int32, sorted by a and then b."""
        source = np.repeat(np.arange(self.n, dtype=np.int32), self.degrees)
        once = source < self.indices
        return source[once], self.indices[once]

    def contains(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.bool_]:
        """Whether each a → b is an edge, (m,) bool; False for a row outside 0 to n-1, such as -1."""
        start, end = np.broadcast_arrays(np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64))
        keys = self._keys
        if not len(keys):
            return np.zeros(start.shape, dtype=bool)
        wanted = start * self.n + end
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.asarray((keys[at] == wanted) & (end >= 0) & (end < self.n))

    def without(self, a: ArrayLike, b: ArrayLike) -> "Graph":
        """This undirected graph without the pairs (a, b)."""
        return self.less(np.concatenate([a, b]), np.concatenate([b, a]))

    def less(self, source: ArrayLike, target: ArrayLike) -> "Graph":
        """This directed graph without the pairs source → target."""
        removed = Graph.from_directed(self.n, source, target)
        own = np.repeat(np.arange(self.n, dtype=np.int32), self.degrees)
        kept = ~removed.contains(own, self.indices)
        return Graph.from_directed(self.n, own[kept], self.indices[kept])

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.n, dtype=np.int64), self.degrees) * self.n + self.indices
