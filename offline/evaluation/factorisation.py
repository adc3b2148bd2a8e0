"""Alternating least squares on the friendships, with the library `implicit`."""

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.graph import Graph
from offline.evaluation.baselines import batches
from offline.evaluation.full_ranking import FullRanking

ALS = "als_128"
FACTORS = 128
REGULARISATION = 0.1
CONFIDENCE = 20.0
"""weight of a friendship against a pair that is none; the library's default of 1 finds a quarter to a half less if
users have few friends"""
MISSING = "needs the package implicit: install the extra dev"


def is_installed() -> bool:
    """Whether `implicit` can be imported."""
    return find_spec("implicit") is not None


def als_lists(
    graph: Graph,
    users: NDArray[np.int64],
    limit: int,
    *,
    known: Graph | None = None,
    suggestible: NDArray[np.bool_] | None = None,
    threads: int = 0,
) -> NDArray[np.int32]:
    """The best `limit` rows for each of `users` (U,) by full ranking, (U, limit) int32, -1 past the last.

    Implicit-feedback matrix factorisation (Hu, Koren, Volinsky 2008) of the adjacency. `threads` 0 uses all cores.
    Raises ImportError if the library is missing.
    """
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    lists = np.full((len(users), limit), -1, np.int32)
    if not len(graph.indices):
        return lists
    ones = np.ones(len(graph.indices), np.float32)
    friends = sparse.csr_matrix((ones, graph.indices, graph.indptr.astype(np.int32)), shape=(graph.n, graph.n))
    with threadpool_limits(1, "blas"):  # the library runs its own threads; those of BLAS slow it down
        model = AlternatingLeastSquares(
            factors=FACTORS, regularization=REGULARISATION, alpha=CONFIDENCE, random_state=0, num_threads=threads
        )
        model.fit(friends, show_progress=False)
    ranking = FullRanking(graph, known, suggestible, limit)
    every_row = np.arange(graph.n, dtype=np.int32)
    for start, batch in batches(users, graph.n):
        scores = model.user_factors[batch] @ model.item_factors.T
        for at, user in enumerate(batch):
            # a user without friends has no factors: all scores are 0, and none is ranked
            rows = ranking.best(int(user), every_row, scores[at], -np.inf if graph.degrees[user] else 0)
            lists[start + at, : len(rows)] = rows
    return lists
