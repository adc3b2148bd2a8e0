"""How many friendships lists find in the order of a score that heads of outcomes join."""

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from offline.evaluation import metrics
from offline.evaluation.bootstrap import RESAMPLES, Interval, ratio_interval, resampled_means
from offline.evaluation.report import RATIO_LIMIT, hits_of


def recall_ratio(
    held_out: Graph, users: NDArray[np.int64], lists: NDArray[np.int32], others: NDArray[np.int32], seed: int = 0
) -> Interval | None:
    """Recall at 20 positions of lists (U, k) over that of others, paired by user; None if the others find nothing."""
    judged = held_out.degrees[users] > 0
    if not judged.any():
        return None
    made = held_out.degrees[users[judged]].astype(np.int64)
    found = [
        metrics.recall(hits_of(held_out, users[judged], one[judged]), made, RATIO_LIMIT) for one in (lists, others)
    ]
    table = np.stack(found, axis=1)
    means, resampled = table.mean(axis=0), resampled_means(table, RESAMPLES, seed)
    return ratio_interval(float(means[0]), float(means[1]), resampled[:, 0], resampled[:, 1])
