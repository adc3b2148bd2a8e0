"""One metric of a comparison, with its intervals."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from offline.experiments.differences import LEVEL, Difference, cuped, difference
from offline.experiments.looks import always_valid, daily_differences
from offline.experiments.significance import holm

Floats = NDArray[np.float64]


class Metric(BaseModel):
    """A metric of two groups of units: treatment minus control."""

    model_config = ConfigDict(frozen=True)

    name: str
    better: int
    """1: more is better, -1: less is, 0: neither"""
    control: float
    treatment: float
    difference: float
    relative: float | None
    """difference by control; None if that is 0"""
    low: float
    """the fixed-horizon interval: for one look, at a time chosen beforehand"""
    high: float
    p: float
    p_adjusted: float = 1.0
    """of all metrics of its side together (Holm)"""
    always_low: float | None = None
    """the always-valid interval: holds on all days and for all metrics at once; None: not computed for rates"""
    always_high: float | None = None
    variance_removed: float = 0.0
    """share that CUPED removed"""

    @property
    def is_gain(self) -> bool:
        """Better beyond chance."""
        return self.p_adjusted < 1 - LEVEL and self.better * self.difference > 0

    @property
    def is_loss(self) -> bool:
        """Worse beyond chance."""
        return self.p_adjusted < 1 - LEVEL and self.better * self.difference < 0


def metric(name: str, better: int, outcomes: Floats, before: Floats, treated: NDArray[np.bool_]) -> Metric:
    """The metric of (n,) outcomes, less what the same units' figures before (n,) explain.

    The means shown are those of the outcomes themselves.
    """
    plain = difference(outcomes, treated)
    adjusted = cuped(outcomes, before, treated)
    return _of(name, better, plain, difference(adjusted.outcomes, treated), adjusted.reduction)


def daily_metric(
    name: str,
    better: int,
    outcomes: Floats,
    before: Floats,
    arrived: NDArray[np.int64],
    treated: NDArray[np.bool_],
    level: float,
) -> Metric:
    """As `metric`, of (n, d) outcomes by day, with the always-valid interval of the last day at this level."""
    found = metric(name, better, outcomes.sum(axis=1), before, treated)
    looks = daily_differences(outcomes, arrived, treated, before)
    width = float(always_valid(looks.errors, level)[-1])
    if not np.isfinite(width):
        return found
    value = float(looks.values[-1])
    return found.model_copy(update={"always_low": value - width, "always_high": value + width})


def _of(name: str, better: int, plain: Difference, adjusted: Difference, reduction: float) -> Metric:
    width = adjusted.half_width()
    return Metric(
        name=name,
        better=better,
        control=plain.control,
        treatment=plain.treatment,
        difference=adjusted.value,
        relative=adjusted.value / plain.control if plain.control else None,
        low=adjusted.value - width,
        high=adjusted.value + width,
        p=adjusted.p,
        variance_removed=reduction,
    )


def corrected(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics with p-values that hold for all of them together."""
    adjusted = holm(np.array([one.p for one in metrics]))
    return [one.model_copy(update={"p_adjusted": float(p)}) for one, p in zip(metrics, adjusted, strict=True)]
