"""Quality of ranked lists against the friendships that came about."""

import numpy as np
from numpy.typing import NDArray


def ndcg_of_lists(
    scores: NDArray[np.float32], outcomes: NDArray[np.bool_], friends_made: NDArray[np.int64], limit: int = 20
) -> float:
    """Mean NDCG at `limit` of U scored lists (U, m), -inf where a place is empty.

    Binary gains; the ideal list holds all `friends_made` (U,), found or not, cut at the limit (Jarvelin, Kekalainen
    2002). Equal scores stay in the order of the list.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :limit]
    hits = np.take_along_axis(outcomes, best, axis=1)
    discount = 1 / np.log2(np.arange(limit) + 2)
    ideal = np.cumsum(discount)[np.minimum(friends_made, limit) - 1]
    return float(((hits * discount[: hits.shape[1]]).sum(axis=1) / ideal).mean())
