"""Whether a score of 0.2 comes true one time in five."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

BINS = 15


class Calibration(BaseModel):
    """Probabilities against what came about."""

    model_config = ConfigDict(frozen=True)

    pairs: int
    """judged"""

    base_rate: float
    """share of them that came about"""

    error: float
    """expected calibration error: mean distance of told and true share, over BINS bins of equal mass"""

    brier: float
    """mean squared distance of probability and outcome"""

    base_brier: float
    """what telling the base rate of every pair would get"""


def calibration(
    probabilities: NDArray[np.floating], outcomes: NDArray[np.bool_], bins: int = BINS
) -> Calibration | None:
    """The calibration of (m,) probabilities 0-1 against (m,) outcomes; None where there is no pair.

    Bins hold as many pairs each, give or take one (Nguyen, O'Connor 2015). Pairs of equal probability share their
    outcomes, so that the order of the input changes nothing. Brier (1950).
    """
    m = len(probabilities)
    if not m:
        return None
    told, place, times = np.unique(probabilities, return_inverse=True, return_counts=True)
    share = np.bincount(place, weights=outcomes)[place] / times[place]
    order = np.argsort(place, kind="stable")
    edges = np.linspace(0, m, min(bins, m) + 1).round().astype(np.int64)[:-1]
    gap = np.add.reduceat((told[place] - share)[order].astype(np.float64), edges)
    base = float(outcomes.mean())
    return Calibration(
        pairs=m,
        base_rate=base,
        error=float(np.abs(gap).sum() / m),
        brier=float(np.square(probabilities - outcomes).mean()),
        base_brier=base * (1 - base),
    )
