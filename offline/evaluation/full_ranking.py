"""Full ranking: the best of all rows for one user, with a stated order of ties."""

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.kernels.numba_cache import compiled
from models.kernels.selection import mixed

Rows = NDArray[np.int32]


class FullRanking:
    """Ranks the rows that may be suggested to a user.

    Excludes the user, their friends, their pairs in `known` (directed), and rows that are not `suggestible` (n,).
    Scores that are equal as float32 rank by degree, higher first, then by a hash of the two rows. Works on one user at
    a time: threads must not share one.
    """

    def __init__(self, graph: Graph, known: Graph | None, suggestible: NDArray[np.bool_] | None, limit: int) -> None:
        self.graph, self.known, self.limit = graph, known, limit
        self.suggestible = np.ones(graph.n, bool) if suggestible is None else suggestible.copy()
        order = np.argsort(-graph.degrees, kind="stable").astype(np.int32)
        self.by_degree: Rows = order[self.suggestible[order]]
        self.negative_degrees = -graph.degrees[self.by_degree].astype(np.int64)

    def popular(self, user: int) -> Rows:
        """The rows with the most friends, for a user."""
        known = 0 if self.known is None else len(self.known.neighbours(user))
        excluded = 1 + len(self.graph.neighbours(user)) + known
        least = min(excluded + self.limit, len(self.by_degree))
        if not least:
            return self.by_degree[:0]
        # include every row that ties with the last one, so that the hash decides among them
        rows = self.by_degree[: np.searchsorted(self.negative_degrees, self.negative_degrees[least - 1], side="right")]
        return self.best(user, rows, (self.graph.degrees[rows] + 1).astype(np.float64))

    def best(self, user: int, rows: Rows, scores: NDArray[np.floating], above: float = 0.0) -> Rows:
        """At most `limit` of these rows for a user, best first, among those with a score (m,) above a bound."""
        rounded = scores.astype(np.float32)
        others = [np.array([user]), self.graph.neighbours(user)]
        if self.known is not None:
            others.append(self.known.neighbours(user))
        hidden = np.concatenate(others)
        before = self.suggestible[hidden]
        self.suggestible[hidden] = False
        usable = self.suggestible[rows] & (rounded > above)
        self.suggestible[hidden] = before
        rows, rounded = rows[usable], rounded[usable]
        if len(rows) > self.limit:
            worst = np.partition(rounded, -self.limit)[-self.limit]
            near = rounded >= worst
            rows, rounded = rows[near], rounded[near]
        order = np.lexsort((_hashes(user, rows), -self.graph.degrees[rows], -rounded))
        ranked: Rows = rows[order[: self.limit]]
        return ranked


@compiled()
def _hashes(user: int, rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """(m,) int64: the order of ties."""
    hashes = np.empty(len(rows), np.int64)
    for at in range(len(rows)):
        hashes[at] = mixed(user, rows[at])
    return hashes
