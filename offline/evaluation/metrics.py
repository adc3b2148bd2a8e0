"""Metrics of ranked lists against held-out friendships.

Every metric takes `hits` (U, k) bool, best position first: does the position of the user's list hold one of their
held-out friends? `friends_made` (U,) counts all held-out friends of the user. It returns (U,) float64 at `limit`
positions; a user without held-out friends scores 0. Positions past the end of a list count as misses.
"""

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
PerUser = NDArray[np.float64]


def recall(hits: Hits, friends_made: NDArray[np.integer], limit: int) -> PerUser:
    """Share of the held-out friends in the first `limit` positions."""
    share: PerUser = hits[:, :limit].sum(axis=1) / np.maximum(friends_made, 1)
    return share


def ndcg(hits: Hits, friends_made: NDArray[np.integer], limit: int) -> PerUser:
    """Discounted gain over that of the ideal list, which holds all held-out friends, cut at `limit`.

    Binary gains, discounted by log2(position + 1) (Jarvelin, Kekalainen 2002).
    """
    discount = 1 / np.log2(np.arange(limit) + 2)
    ideal = np.cumsum(discount)[np.clip(friends_made, 1, limit) - 1]
    gain: PerUser = (hits[:, :limit] @ discount[: min(limit, hits.shape[1])]) / ideal
    return gain


def mrr(hits: Hits, friends_made: NDArray[np.integer], limit: int) -> PerUser:
    """One over the first position that holds a held-out friend; 0 if none does."""
    first = hits[:, :limit]
    if not first.shape[1]:
        return np.zeros(len(hits))
    reciprocal: PerUser = hit_rate(hits, friends_made, limit) / (first.argmax(axis=1) + 1)
    return reciprocal


def hit_rate(hits: Hits, friends_made: NDArray[np.integer], limit: int) -> PerUser:
    """1 if any of the first `limit` positions holds a held-out friend."""
    return np.asarray(hits[:, :limit].any(axis=1), dtype=np.float64)


def ndcg_of_lists(
    scores: NDArray[np.float32], outcomes: NDArray[np.bool_], friends_made: NDArray[np.int64], limit: int = 20
) -> NDArray[np.float64]:
    """NDCG at `limit` of each of U scored lists (U, m), -inf for an empty position; (U,).

    Equal scores keep the order of the list.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :limit]
    return ndcg(np.take_along_axis(outcomes, best, axis=1), friends_made, limit)
