"""Calibration of predicted probabilities."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

BINS = 15


class Calibration(BaseModel):
    """Predicted probabilities compared with outcomes."""

    model_config = ConfigDict(frozen=True)

    pairs: int
    """evaluated pairs"""

    base_rate: float
    """share of the pairs with a positive outcome"""

    error: float
    """expected calibration error: mean distance of predicted and observed share, over BINS bins of equal mass"""

    brier: float
    """mean squared distance of probability and outcome"""

    base_brier: float
    """Brier score of predicting the base rate for every pair"""


def calibration(
    probabilities: NDArray[np.floating], outcomes: NDArray[np.bool_], bins: int = BINS
) -> Calibration | None:
    """The calibration of (m,) probabilities 0-1 against (m,) outcomes; None if there is no pair.

    Bins hold equally many pairs, give or take one (Nguyen, O'Connor 2015). Pairs of equal probability share their
    outcomes, so the order of the input changes nothing. Brier (1950).
    """
    m = len(probabilities)
    if not m:
        return None
    distinct, index, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    share = np.bincount(index, weights=outcomes)[index] / counts[index]
    order = np.argsort(index, kind="stable")
    edges = np.linspace(0, m, min(bins, m) + 1).round().astype(np.int64)[:-1]
    gap = np.add.reduceat((distinct[index] - share)[order].astype(np.float64), edges)
    base = float(outcomes.mean())
    return Calibration(
        pairs=m,
        base_rate=base,
        error=float(np.abs(gap).sum() / m),
        brier=float(np.square(probabilities - outcomes).mean()),
        base_brier=base * (1 - base),
    )
