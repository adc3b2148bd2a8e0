"""Exposure: how many users the lists show, how evenly, and how popular they are."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Exposure(BaseModel):
    """The exposure of one method's lists."""

    model_config = ConfigDict(frozen=True)

    coverage: float
    """share of the suggestible users that appear in a list"""

    gini: float
    """inequality of how often each is shown: 0 if all as often, towards 1 if a few alone"""

    mean_degree: float
    """mean friends of the shown users, over all positions of all lists"""


def exposure(lists: NDArray[np.int32], degrees: NDArray[np.int32], shown: NDArray[np.bool_] | None = None) -> Exposure:
    """The exposure of lists (U, k), -1 for an empty position; `shown` (n,) marks the suggestible users, default all."""
    n = len(degrees)
    listed = lists[lists >= 0]
    times = np.bincount(listed, minlength=n)
    possible = times if shown is None else times[shown]
    return Exposure(
        coverage=float((possible > 0).mean()) if len(possible) else 0.0,
        gini=gini(possible),
        mean_degree=float(degrees[listed].mean()) if len(listed) else 0.0,
    )


def gini(amounts: NDArray[np.integer]) -> float:
    """The Gini coefficient of (m,) amounts, none negative; 0 if all are 0 (Gini 1912)."""
    total, m = float(amounts.sum()), len(amounts)
    if not total:
        return 0.0
    rising = np.sort(amounts).astype(np.float64)
    return float((2 * np.arange(1, m + 1) - m - 1) @ rising / (m * total))
