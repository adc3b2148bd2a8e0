"""Quality of ranked lists against the friendships that came about.

Every metric takes `hits` (U, k) bool, whether each place of a user's list holds one of her friendships, best place
first, and `friends_made` (U,), how many friendships she made in all, found or not; it gives (U,) float64 at `limit`
places. Who made no friendship gets 0: there was nothing to find. A list shorter than `limit` finds nothing more.
"""

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
PerUser = NDArray[np.float64]


def recall(hits: Hits, friends_made: NDArray[np.integer], limit: int) -> PerUser:
    """Share of all friendships made that stand in the first `limit` places."""
    share: PerUser = hits[:, :limit].sum(axis=1) / np.maximum(friends_made, 1)
    return share


def ndcg(hits: Hits, friends_made: NDArray[np.integer], limit: int) -> PerUser:
    """Discounted gain over that of the ideal list, which holds all friendships made, cut at `limit`.

    Binary gains, discounted by log2(place + 1) (Jarvelin, Kekalainen 2002).
    """
    discount = 1 / np.log2(np.arange(limit) + 2)
    ideal = np.cumsum(discount)[np.clip(friends_made, 1, limit) - 1]
    gain: PerUser = (hits[:, :limit] @ discount[: min(limit, hits.shape[1])]) / ideal
    return gain


def mrr(hits: Hits, friends_made: NDArray[np.integer], limit: int) -> PerUser:
    """One over the first place that holds a friendship; 0 where none does."""
    first = hits[:, :limit]
    if not first.shape[1]:
        return np.zeros(len(hits))
    reciprocal: PerUser = hit_rate(hits, friends_made, limit) / (first.argmax(axis=1) + 1)
    return reciprocal


def hit_rate(hits: Hits, friends_made: NDArray[np.integer], limit: int) -> PerUser:
    """1 where any of the first `limit` places holds a friendship."""
    return np.asarray(hits[:, :limit].any(axis=1), dtype=np.float64)


def ndcg_of_lists(
    scores: NDArray[np.float32], outcomes: NDArray[np.bool_], friends_made: NDArray[np.int64], limit: int = 20
) -> NDArray[np.float64]:
    """NDCG at `limit` of each of U scored lists (U, m), -inf where a place is empty; (U,).

    Equal scores stay in the order of the list.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :limit]
    return ndcg(np.take_along_axis(outcomes, best, axis=1), friends_made, limit)
