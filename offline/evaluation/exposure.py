"""Who is shown: how many people, how evenly, and how popular they are."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Exposure(BaseModel):
    """What one method's lists show of everybody who may be shown."""

    model_config = ConfigDict(frozen=True)

    coverage: float
    """share of the people who stand in some list"""

    gini: float
    """inequality of how often each is shown: 0 all as often, towards 1 a few alone"""

    mean_degree: float
    """friends that a shown person has, over all places of all lists"""


def exposure(lists: NDArray[np.int32], degrees: NDArray[np.int32], shown: NDArray[np.bool_] | None = None) -> Exposure:
    """The exposure that lists (U, k) give, -1 for an empty place; `shown` (n,) says who may be, default everybody."""
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
    """The Gini coefficient of (m,) amounts, none negative; 0 where there is nothing to share (Gini 1912)."""
    total, m = float(amounts.sum()), len(amounts)
    if not total:
        return 0.0
    rising = np.sort(amounts).astype(np.float64)
    return float((2 * np.arange(1, m + 1) - m - 1) @ rising / (m * total))
