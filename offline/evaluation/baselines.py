"""Baselines of friend suggestion, each by full ranking over all suggestible users."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.arrays import Float64s
from models.graph import Graph
from models.kernels.candidate_arrays import new_work_buffers
from models.kernels.graph_walks import RANK, spread_walks
from models.system import memory_budget
from offline.evaluation.full_ranking import FullRanking

RESTART = 0.15
STEPS = 12
BATCH_CELLS = 1 << 22
"""(user, candidate) scores held at once"""
_BYTES_OF_CELL = 16
"""a score, its copy for the ranking, and a row"""
MOST_AT_ONCE = 256
"""most users of one batch"""

POPULARITY = "popularity"
COMMON_NEIGHBOURS = "common_neighbours"
ADAMIC_ADAR = "adamic_adar"
RESOURCE_ALLOCATION = "resource_allocation"
JACCARD = "jaccard"
PAGERANK = "personalised_pagerank"
BASELINES = (POPULARITY, COMMON_NEIGHBOURS, ADAMIC_ADAR, RESOURCE_ALLOCATION, JACCARD, PAGERANK)
POPULARITY_OF_LATE = "popularity_of_late"
RESOURCE_ALLOCATION_OF_LATE = "resource_allocation_of_late"
PAGERANK_OF_LATE = "personalised_pagerank_of_late"
DATED_BASELINES = (POPULARITY_OF_LATE, RESOURCE_ALLOCATION_OF_LATE, PAGERANK_OF_LATE)
"""where friendships have dates: friendships made of late, and two others times ln(1 + friendships made of late)"""
OF_LATE = {RESOURCE_ALLOCATION_OF_LATE: RESOURCE_ALLOCATION, PAGERANK_OF_LATE: PAGERANK}
PUSHED_ABOVE = 500_000
"""friendships above which PageRank is that of forward push, whose cost does not grow with them"""
TOLERANCE = 3e-6
"""what is not pushed of a row, for each of its friends: some hundredths of what the first fifty have"""

Lists = NDArray[np.int32]
Scored = Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]
"""for each user of a batch the rows that have a score, and their scores"""


def baseline_lists(
    graph: Graph,
    users: NDArray[np.int64],
    limit: int,
    *,
    known: Graph | None = None,
    suggestible: NDArray[np.bool_] | None = None,
    methods: Sequence[str] = BASELINES,
    late: NDArray[np.float32] | None = None,
    given: Mapping[str, Lists] = MappingProxyType({}),
) -> dict[str, Lists]:
    """For each method the best `limit` rows for each of `users` (U,): (U, limit) int32, -1 past the last.

    Lists that are `given` were made elsewhere, and come back among the others. With `late` (n,), ln(1 + friendships
    made of late) of everybody, DATED_BASELINES come after the methods. FullRanking says which rows are excluded and how
    ties break. Rows with score 0 are not ranked, except by popularity. Holds BATCH_CELLS scores at once, whatever the
    number of users.
    """
    ranking = FullRanking(graph, known, suggestible, limit)
    if late is not None:
        methods = (*methods, *DATED_BASELINES)
    lists = {method: given.get(method, np.full((len(users), limit), -1, np.int32)) for method in methods}
    methods = [method for method in methods if method not in given]
    scorers = _scorers(graph, late)
    for start, batch in batches(users, graph.n):
        made: dict[str, list[tuple[NDArray[np.int32], Float64s]]] = {}
        for method in methods:
            if method == POPULARITY:
                best = (ranking.popular(int(user)) for user in batch)
            elif late is not None and method in OF_LATE and OF_LATE[method] in made:
                scored = ((rows, found * late[rows]) for rows, found in made[OF_LATE[method]])
                best = (ranking.best(int(user), *row) for user, row in zip(batch, scored, strict=True))
            else:
                made[method] = list(scorers[method](batch))
                best = (ranking.best(int(user), *row) for user, row in zip(batch, made[method], strict=True))
            for at, rows in enumerate(best, start):
                lists[method][at, : len(rows)] = rows
    return lists


def popular_of_group(
    graph: Graph,
    users: NDArray[np.int64],
    limit: int,
    groups: NDArray[np.int32],
    *,
    known: Graph | None = None,
    suggestible: NDArray[np.bool_] | None = None,
) -> Lists:
    """The rows with the most friends in each user's own group: (U, limit) int32, -1 past the last.

    `groups` (n,) are codes from 0, -1 for no group. Rows without a friend are not ranked.
    """
    ranking = FullRanking(graph, known, suggestible, limit)
    order = np.argsort(groups, kind="stable").astype(np.int32)
    starts = np.searchsorted(groups[order], np.arange(groups.max(initial=-1) + 2))
    lists = np.full((len(users), limit), -1, np.int32)
    for at, user in enumerate(users):
        group = groups[user]
        if group >= 0:
            members = order[starts[group] : starts[group + 1]]
            best = ranking.best(int(user), members, graph.degrees[members].astype(np.float64))
            lists[at, : len(best)] = best
    return lists


def baseline_scores(
    graph: Graph,
    users: NDArray[np.int64],
    others: NDArray[np.int32],
    method: str,
    late: NDArray[np.float32] | None = None,
) -> Float64s:
    """Scores (U, c) of the pairs of each user (U,) and their `others` (U, c), by a method other than popularity; 0 for
    row -1. `late` as in `baseline_lists`.
    """
    scores, scorer = np.zeros(others.shape), _scorers(graph, late)[method]
    of_row = np.zeros(graph.n + 1)
    for start, batch in batches(users, graph.n):
        for at, (rows, found) in enumerate(scorer(batch), start):
            of_row[rows] = found
            scores[at] = of_row[others[at]]  # row -1 reads the spare last cell
            of_row[rows] = 0
    return scores


def batches(users: NDArray[np.int64], n: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yields (start, users) batches whose scores fit into BATCH_CELLS, or into the budget of memory if that is less."""
    size = int(np.clip(memory_budget.at_once(BATCH_CELLS, _BYTES_OF_CELL) // max(n, 1), 1, MOST_AT_ONCE))
    for start in range(0, len(users), size):
        yield start, users[start : start + size]


def _scorers(graph: Graph, late: NDArray[np.float32] | None = None) -> dict[str, Callable[[NDArray[np.int64]], Scored]]:
    """For each method, a function that scores all rows for a batch of users.

    Common neighbours; Adamic–Adar (2003); resource allocation (Zhou, Lu, Zhang 2009); Jaccard; personalised PageRank by
    power iteration (Page and others 1999; Haveliwala 2002), above PUSHED_ABOVE friendships by forward push.
    """
    degrees = graph.degrees.astype(np.float64)
    friends = sparse.csr_array((np.ones(len(graph.indices)), graph.indices, graph.indptr), shape=(graph.n, graph.n))
    # a friend of degree 1 is no mutual friend, so its weight is never used; 2 keeps the formulas finite
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
    scorers: dict[str, Callable[[NDArray[np.int64]], Scored]] = {
        COMMON_NEIGHBOURS: common,
        ADAMIC_ADAR: through(1 / np.log(connected)),
        RESOURCE_ALLOCATION: through(1 / connected),
        JACCARD: jaccard,
        PAGERANK: lambda users: (
            _pushed(graph, users) if len(graph.indices) > 2 * PUSHED_ABOVE else _pageranks(walk, users)
        ),
    }
    if late is None:
        return scorers
    active = np.flatnonzero(late).astype(np.int32)
    scores = late[active].astype(np.float64)

    def of_late(method: str) -> Callable[[NDArray[np.int64]], Scored]:
        base = scorers[OF_LATE[method]]
        return lambda users: ((rows, found * late[rows]) for rows, found in base(users))

    return scorers | {
        POPULARITY_OF_LATE: lambda users: ((active, scores) for _ in users),
        **{method: of_late(method) for method in OF_LATE},
    }


def _rows_of(scores: sparse.csr_array) -> Scored:
    for start, end in zip(scores.indptr[:-1], scores.indptr[1:], strict=True):
        yield scores.indices[start:end], scores.data[start:end]


def _pageranks(walk: sparse.csr_array, users: NDArray[np.int64]) -> Scored:
    """Yields all rows and the distribution of a walk from each user after STEPS steps that restarts with chance
    RESTART.
    """
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


def _pushed(graph: Graph, users: NDArray[np.int64]) -> Scored:
    """Yields, for each user, the rows that a walk that restarts with chance RESTART reaches, and its distribution.

    Forward push (Andersen, Chung, Lang 2006) leaves less than TOLERANCE of each friendship.
    """
    work = new_work_buffers(graph.indptr, np.ones(graph.n, np.bool_))
    for user in users.tolist():
        reached = spread_walks(
            graph.indptr, graph.indices, user, TOLERANCE, 1 << 40, work.walk, work.queue, work.walked
        )
        rows = work.walked[:reached].copy()
        scores = work.walk[rows, RANK].astype(np.float64)
        work.walk[rows, RANK] = 0
        yield rows, scores
