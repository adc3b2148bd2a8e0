"""One metric of a comparison, with its intervals."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.arrays import Float64s
from offline.experiments.differences import LEVEL, cuped, difference, less_past, per_event, ratio_of
from offline.experiments.looks import always_valid, daily_differences
from offline.experiments.randomisation import are_few, randomised
from offline.experiments.significance import holm


class Metric(BaseModel):
    """A metric of two groups of units: treatment minus control."""

    model_config = ConfigDict(frozen=True)

    name: str
    better: int
    """1: more is better, -1: less is, 0: neither"""
    control: float | None
    """None: a rate of nothing, such as acceptances where nobody was invited"""
    treatment: float | None
    difference: float | None
    """None without one of these"""
    relative: float | None
    """difference by control; None if that is 0"""
    low: float | None
    """the fixed-horizon interval: for one look, at a time chosen beforehand; None: nothing varies"""
    high: float | None
    p: float
    """1 without a difference"""
    few_events: bool = False
    """p and interval are of groups drawn anew: events are few, or most of them of few units"""
    p_adjusted: float = 1.0
    """of all metrics of its side and of all arms together (Holm)"""
    always_low: float | None = None
    """the always-valid interval: holds on all days and for all metrics and arms at once; None: not for rates, nor with
    few events"""
    always_high: float | None = None
    variance_removed: float = 0.0
    """share that CUPED removed"""

    @property
    def is_gain(self) -> bool:
        """Better beyond chance."""
        return self._is_beyond_chance and self.better * (self.difference or 0) > 0

    @property
    def is_loss(self) -> bool:
        """Worse beyond chance."""
        return self._is_beyond_chance and self.better * (self.difference or 0) < 0

    @property
    def _is_beyond_chance(self) -> bool:
        return self.p_adjusted < 1 - LEVEL


def metric(name: str, better: int, outcomes: Float64s, before: Float64s, treated: NDArray[np.bool_]) -> Metric:
    """The metric of (n,) outcomes, less what the same units' figures before (n,) explain.

    The means shown are those of the outcomes themselves.
    """
    without_past = less_past(outcomes, before)
    if not are_few(without_past.outcomes, treated):
        return _of_many(name, better, outcomes, before, treated)
    found = _of_few(name, better, without_past.outcomes, np.ones(len(outcomes)), treated)
    control, treatment = (float(outcomes[arm].mean()) for arm in (~treated, treated))
    relative = (found.difference or 0.0) / control if control else None
    shown = {"control": control, "treatment": treatment, "relative": relative}
    return found.model_copy(update=shown | {"variance_removed": without_past.reduction})


def rate_metric(
    name: str, better: int, numerator: Float64s, denominator: Float64s, before: Float64s, treated: NDArray[np.bool_]
) -> Metric:
    """As `metric`, of the ratio of the sums of (n,) numbers. A group without a denominator has no ratio, and the metric
    then no difference.
    """
    ratio = ratio_of(numerator, denominator)
    arms = [ratio_of(numerator[arm], denominator[arm]) for arm in (~treated, treated)]
    if ratio is None or None in arms:
        return Metric(
            name=name,
            better=better,
            control=arms[0],
            treatment=arms[1],
            difference=None,
            relative=None,
            low=None,
            high=None,
            p=1.0,
            few_events=True,
        )
    if are_few(numerator - ratio * denominator, treated, denominator > 0):
        return _of_few(name, better, numerator, denominator, treated)
    return _of_many(name, better, per_event(numerator, denominator, treated), before, treated)


def daily_metric(
    name: str,
    better: int,
    outcomes: Float64s,
    before: Float64s,
    arrived: NDArray[np.int64],
    treated: NDArray[np.bool_],
    level: float,
) -> Metric:
    """As `metric`, of (n, d) outcomes by day, with the always-valid interval of the last day at this level."""
    found = metric(name, better, outcomes.sum(axis=1), before, treated)
    if found.few_events:
        return found
    looks = daily_differences(outcomes, arrived, treated, before)
    width = float(always_valid(looks.errors, level)[-1])
    if not np.isfinite(width):
        return found
    value = float(looks.values[-1])
    return found.model_copy(update={"always_low": value - width, "always_high": value + width})


def _of_many(name: str, better: int, outcomes: Float64s, before: Float64s, treated: NDArray[np.bool_]) -> Metric:
    """The metric by Welch's test, after CUPED."""
    plain, without_past = difference(outcomes, treated), cuped(outcomes, before, treated)
    adjusted = difference(without_past.outcomes, treated)
    width = adjusted.half_width() if adjusted.error else None
    return Metric(
        name=name,
        better=better,
        control=plain.control,
        treatment=plain.treatment,
        difference=adjusted.value,
        relative=adjusted.value / plain.control if plain.control else None,
        low=None if width is None else adjusted.value - width,
        high=None if width is None else adjusted.value + width,
        p=adjusted.p,
        variance_removed=without_past.reduction,
    )


def _of_few(name: str, better: int, numerator: Float64s, denominator: Float64s, treated: NDArray[np.bool_]) -> Metric:
    """The metric of groups that both have a denominator, by groups drawn anew."""
    control, treatment = (float(numerator[arm].sum() / denominator[arm].sum()) for arm in (~treated, treated))
    found, value = randomised(numerator, denominator, treated), treatment - control
    return Metric(
        name=name,
        better=better,
        control=control,
        treatment=treatment,
        difference=value,
        relative=value / control if control else None,
        low=found.low,
        high=found.high,
        p=found.p,
        few_events=True,
    )


def corrected(sides: Sequence[Sequence[Metric]]) -> list[list[Metric]]:
    """The metrics of all arms with p-values that hold for all of them together, arm by arm."""
    adjusted = iter(holm(np.array([one.p for side in sides for one in side])).tolist())
    return [[one.model_copy(update={"p_adjusted": next(adjusted)}) for one in side] for side in sides]
