"""The classic ways of suggesting friends, each by full ranking over everybody who may be suggested."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from models.graph import Graph
from models.kernels.pool import mixed

RESTART = 0.15
STEPS = 12
BATCH_CELLS = 1 << 22
"""scores of (users, everybody) held at once"""
MOST_AT_ONCE = 256
"""users of one batch at most"""

POPULARITY = "popularity"
COMMON_NEIGHBOURS = "common_neighbours"
ADAMIC_ADAR = "adamic_adar"
RESOURCE_ALLOCATION = "resource_allocation"
JACCARD = "jaccard"
PAGERANK = "personalised_pagerank"
BASELINES = (POPULARITY, COMMON_NEIGHBOURS, ADAMIC_ADAR, RESOURCE_ALLOCATION, JACCARD, PAGERANK)

Lists = NDArray[np.int32]
Scored = Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]
"""for each user of a batch the rows that have a score, and the scores"""


def baseline_lists(
    graph: Graph,
    users: NDArray[np.int64],
    limit: int,
    *,
    known: Graph | None = None,
    suggestible: NDArray[np.bool_] | None = None,
    methods: Sequence[str] = BASELINES,
) -> dict[str, Lists]:
    """By method the best `limit` rows for each of `users` (U,): (U, limit) int32, -1 where there are fewer.

    Never the user, her friends, her pairs in `known` (directed), nor who is not `suggestible` (n,). Rows whose score
    is 0 are not ranked, except by popularity. Scores equal as float32 stand by degree, higher first, then by a hash of
    the two rows. Holds BATCH_CELLS scores at once, whatever the number of users.
    """
    field = _Field(graph, known, suggestible, limit)
    lists = {method: np.full((len(users), limit), -1, np.int32) for method in methods}
    size = int(np.clip(BATCH_CELLS // max(graph.n, 1), 1, MOST_AT_ONCE))
    scorers = _scorers(graph)
    for start in range(0, len(users), size):
        batch = users[start : start + size]
        for method in methods:
            if method == POPULARITY:
                best = (field.popular(int(user)) for user in batch)
            else:
                scored = scorers[method](batch)
                best = (field.best(int(user), *row) for user, row in zip(batch, scored, strict=True))
            for at, rows in enumerate(best, start):
                lists[method][at, : len(rows)] = rows
    return lists


class _Field:
    """Who may be suggested to whom, and the order of equal scores. Works on one user at a time."""

    def __init__(self, graph: Graph, known: Graph | None, suggestible: NDArray[np.bool_] | None, limit: int) -> None:
        self.graph, self.known, self.limit = graph, known, limit
        self.shown = np.ones(graph.n, bool) if suggestible is None else suggestible.copy()
        order = np.argsort(-graph.degrees, kind="stable").astype(np.int32)
        self.by_degree: Lists = order[self.shown[order]]
        self.falling = -graph.degrees[self.by_degree].astype(np.int64)

    def popular(self, user: int) -> Lists:
        """The best connected rows for a user."""
        taken = 1 + len(self.graph.neighbours(user)) + (0 if self.known is None else len(self.known.neighbours(user)))
        least = min(taken + self.limit, len(self.by_degree))
        if not least:
            return self.by_degree[:0]
        # all who tie with the last one needed take part, so that the hash decides among them
        rows = self.by_degree[: np.searchsorted(self.falling, self.falling[least - 1], side="right")]
        return self.best(user, rows, (self.graph.degrees[rows] + 1).astype(np.float64))

    def best(self, user: int, rows: NDArray[np.int32], scores: NDArray[np.float64]) -> Lists:
        """The best of these rows, at most `limit`, for a user."""
        rounded = scores.astype(np.float32)
        others = [np.array([user]), self.graph.neighbours(user)]
        if self.known is not None:
            others.append(self.known.neighbours(user))
        hidden = np.concatenate(others)
        before = self.shown[hidden]
        self.shown[hidden] = False
        usable = self.shown[rows] & (rounded > 0)
        self.shown[hidden] = before
        rows, rounded = rows[usable], rounded[usable]
        if len(rows) > self.limit:
            worst = np.partition(rounded, -self.limit)[-self.limit]
            near = rounded >= worst
            rows, rounded = rows[near], rounded[near]
        order = np.lexsort((_hashes(user, rows), -self.graph.degrees[rows], -rounded))
        ranked: Lists = rows[order[: self.limit]]
        return ranked


@njit(cache=True)
def _hashes(user: int, rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """(m,) int64: the order of equals."""
    hashes = np.empty(len(rows), np.int64)
    for at in range(len(rows)):
        hashes[at] = mixed(user, rows[at])
    return hashes


def _scorers(graph: Graph) -> dict[str, Callable[[NDArray[np.int64]], Scored]]:
    """By method, what scores everybody for a batch of users.

    Common neighbours; Adamic–Adar (2003); resource allocation (Zhou, Lu, Zhang 2009); Jaccard; personalised PageRank
    by power iteration (Page and others 1999; Haveliwala 2002).
    """
    degrees = graph.degrees.astype(np.float64)
    friends = sparse.csr_array((np.ones(len(graph.indices)), graph.indices, graph.indptr), shape=(graph.n, graph.n))
    # a friend with no other friend is nobody's mutual friend, so her weight is of no account
    connected = np.maximum(degrees, 2)

    def through(weights: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], Scored]:
        def scored(users: NDArray[np.int64]) -> Scored:
            weighted = friends[users]
            weighted.data = weights[weighted.indices]
            return _rows_of(weighted @ friends)

        return scored

    common = through(np.ones(graph.n))

    def jaccard(users: NDArray[np.int64]) -> Scored:
        for user, (rows, shared) in zip(users, common(users), strict=True):
            yield rows, shared / (degrees[user] + degrees[rows] - shared)

    walk = friends.astype(np.float32)
    walk.data = (1 / degrees[graph.indices]).astype(np.float32)
    return {
        COMMON_NEIGHBOURS: common,
        ADAMIC_ADAR: through(1 / np.log(connected)),
        RESOURCE_ALLOCATION: through(1 / connected),
        JACCARD: jaccard,
        PAGERANK: lambda users: _pageranks(walk, users),
    }


def _rows_of(scores: sparse.csr_array) -> Scored:
    for start, end in zip(scores.indptr[:-1], scores.indptr[1:], strict=True):
        yield scores.indices[start:end], scores.data[start:end]


def _pageranks(walk: sparse.csr_array, users: NDArray[np.int64]) -> Scored:
    """Where a walker from each user is after STEPS steps, who starts again with probability RESTART at each."""
    start = np.zeros((walk.shape[0], len(users)), np.float32)
    start[users, np.arange(len(users))] = 1
    place = start
    for _ in range(STEPS):
        place = walk @ place
        place *= 1 - RESTART
        place += RESTART * start
    rows = np.arange(walk.shape[0], dtype=np.int32)
    for column in range(len(users)):
        yield rows, place[:, column].astype(np.float64)
