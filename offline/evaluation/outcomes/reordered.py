"""What the lists that were shown would have earned with their people in another order."""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s
from offline.evaluation.bootstrap import RESAMPLES, Interval, ratio_interval, resampled_means


def reordered_ratio(
    lists: NDArray[np.int64],
    viewers: NDArray[np.int64],
    earned: NDArray[np.bool_],
    looked: Float64s,
    places: NDArray[np.int64],
    scores: Float64s,
    others: Float64s,
    eta: float,
    *,
    seed: int = 0,
) -> Interval | None:
    """Outcomes to expect of lists in the order of `scores` (m,) over those in the order of `others` (m,), of rows (m,).

    Each outcome that was `earned` (m,) in a place looked at with probability `looked` (m,) counts with the probability
    that its new place is looked at over that of its old one (inverse propensities under a position-based model: Li and
    others, KDD 2018). A list's people stay those of its `places` (m,), in another order. The interval is over viewers.
    None if nothing was earned.
    """
    if not earned.any():
        return None
    worth = [np.where(earned, (ranked(lists, one, places) ** -eta) / looked, 0.0) for one in (scores, others)]
    number = int(viewers.max()) + 1
    of_viewers = np.stack([np.bincount(viewers, one, number).astype(np.float64) for one in worth], axis=1)
    of_viewers = of_viewers[np.bincount(viewers, minlength=number) > 0]
    means = of_viewers.mean(axis=0)
    resampled = resampled_means(of_viewers, RESAMPLES, seed)
    return ratio_interval(float(means[0]), float(means[1]), resampled[:, 0], resampled[:, 1])


def ranked(lists: NDArray[np.int64], scores: Float64s, places: NDArray[np.int64]) -> Float64s:
    """(m,) the place of each row if the people of its list stand in the order of their scores, in the list's places."""
    by_score, by_place = np.lexsort((places, -scores, lists)), np.lexsort((places, lists))
    found = np.empty(len(lists))
    found[by_score] = places[by_place]
    return found
