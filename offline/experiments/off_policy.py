"""What another policy would have earned, estimated from lists that were logged with their probabilities.

A slate is one list that was given out. A policy decides which candidate stands in which of its positions; the logging
policy is the one that decided. Outcomes are summed over the positions of a slate, and an outcome is taken to depend on
the candidate and the position alone, not on who stands around it: the item-position model of Li, Abbasi-Yadkori,
Kveton, Muthukrishnan, Vinay, Wen (KDD 2018). Under it each position has a weight of its own, the probability of the
logged candidate there under the target policy over that under the logging policy.

    IPS    mean over slates of the sum over positions of w r                  (Horvitz, Thompson 1952)
    SNIPS  sum over positions of (sum of w r) / (sum of w)                    (Swaminathan, Joachims 2015)
    DR     mean over slates of the sum over positions of  q + w (r - q of the logged candidate)
                                                                              (Dudik, Langford, Li 2011)

q is a model of the outcome. DR is unbiased if the weights are right or the model is, and varies less than IPS.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.arrays import Float64s
from offline.evaluation.bootstrap import RESAMPLES, Interval, interval

LEAST_EFFECTIVE = 100.0
"""draws of a position that the weighted ones must be worth"""
LEAST_VIEWERS = 20
"""viewers that the weighted slates of a position must be worth: intervals of fewer are not to be trusted"""
LEAST_MEAN_WEIGHT = 0.9
"""mean weight of a position, which is 1 where the logging policy shows whatever the target policy does"""
MOST_MEAN_WEIGHT = 1.1
_DRAWS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Slates:
    """Logged lists (s,) with k positions each; a position that shows no one has a `logged` probability of 0."""

    viewers: NDArray[np.int64]
    """(s,) numbers of the viewers, from 0"""
    outcomes: Float64s
    """(s, k) what came of each position, such as 1 for an accepted invitation"""
    logged: Float64s
    """(s, k) probability with which the logging policy put the candidate there, above 0 to 1"""
    target: Float64s
    """(s, k) probability with which the target policy puts the same candidate there"""
    predicted: Float64s
    """(s, k) the model's outcome of the logged candidate in that position; zeros without a model"""
    expected: Float64s
    """(s, k) the model's outcome of that position under the target policy: its mean over all candidates"""
    draws: NDArray[np.int64] | None = None
    """(s,) numbers of the draws, from 0: a list that was loaded again is of the same draw. None: each is a draw"""
    whole: NDArray[np.bool_] | None = None
    """(s,) whether the outcomes of all positions are known. None: of all slates"""

    @property
    def weights(self) -> Float64s:
        """(s, k) importance weights; 0 where a position shows no one."""
        return np.divide(self.target, self.logged, out=np.zeros_like(self.target), where=self.logged > 0)


class Overlap(BaseModel):
    """How much of what the target policy shows was shown by the logging policy."""

    model_config = ConfigDict(frozen=True)

    slates: int
    draws: int
    viewers: int
    effective: float
    """draws of an unweighted log that would say as much, of the position with the fewest (Kish 1965)"""
    effective_viewers: float
    """the same, of viewers"""
    mean_weight: float
    """the mean weight that is farthest from 1, of all positions"""
    largest_weight: float
    refusal: str | None = None
    """why no estimate can be given; None: one can"""


class Estimate(BaseModel):
    """What a policy earns per slate, by several estimators; without figures if the overlap is too thin."""

    model_config = ConfigDict(frozen=True)

    overlap: Overlap
    logged: Interval
    """what the logging policy earned"""
    ips: Interval | None = None
    snips: Interval | None = None
    dr: Interval | None = None
    """the one to read: the others say how far it leans on the model"""


def overlap_of(slates: Slates) -> Overlap:
    """The overlap of two policies in a log, and whether it is too thin for an estimate.

    A position that few slates fill is judged by those that fill it. The bounds are LEAST_EFFECTIVE and
    LEAST_MEAN_WEIGHT to MOST_MEAN_WEIGHT, the latter only beyond what chance explains (3 standard errors).
    """
    filled, weights = slates.logged > 0, slates.weights
    draws = np.arange(len(weights)) if slates.draws is None else slates.draws
    count = filled.sum(axis=0)
    used = np.flatnonzero(count)
    sizes = {"slates": len(weights), "draws": len(np.unique(draws)), "viewers": len(np.unique(slates.viewers))}
    if not len(used):
        return Overlap(
            **sizes,
            effective=0.0,
            effective_viewers=0.0,
            mean_weight=0.0,
            largest_weight=0.0,
            refusal="no list in the log shows anybody",
        )
    # per position: the effective sample sizes, and the mean weight with its standard error
    of_draws, of_viewers = _sums(weights, draws)[:, used], _sums(weights, slates.viewers)[:, used]
    effective, effective_viewers = _effective(of_draws), _effective(of_viewers)
    mean = weights.sum(axis=0)[used] / count[used]
    left = of_draws - mean * _sums(filled.astype(np.float64), draws)[:, used]
    error = np.sqrt((left**2).sum(axis=0)) / count[used]
    worst = int(np.argmax(np.abs(mean - 1)))
    thinnest, fewest = int(np.argmin(effective)), int(np.argmin(effective_viewers))
    # what forbids an estimate
    refusal = None
    outside = (mean < LEAST_MEAN_WEIGHT) & (mean + 3 * error < 1) | (mean > MOST_MEAN_WEIGHT) & (mean - 3 * error > 1)
    if effective[thinnest] < LEAST_EFFECTIVE:
        refusal = (
            f"at position {used[thinnest] + 1} the {sizes['draws']} draws of {count[used][thinnest]} logged lists are "
            f"worth {effective[thinnest]:.0f} for the other policy, and {LEAST_EFFECTIVE:.0f} are needed: "
            "it shows people whom the log hardly ever shows there"
        )
    elif effective_viewers[fewest] < LEAST_VIEWERS:
        refusal = (
            f"at position {used[fewest] + 1} the {sizes['viewers']} viewers are worth {effective_viewers[fewest]:.0f} "
            f"for the other policy, and {LEAST_VIEWERS} are needed: what a few do says little of all"
        )
    elif outside.any():
        at = int(np.flatnonzero(outside)[np.argmax(np.abs(mean[outside] - 1))])
        refusal = (
            f"at position {used[at] + 1} the weights have a mean of {mean[at]:.2f} and not 1: "
            "the other policy shows people whom the log never shows there, or the logged probabilities are wrong"
        )
    return Overlap(
        **sizes,
        effective=float(effective[thinnest]),
        effective_viewers=float(effective_viewers[fewest]),
        mean_weight=float(mean[worst]),
        largest_weight=float(weights.max()),
        refusal=refusal,
    )


def estimate(slates: Slates, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """What the target policy earns per slate, with percentile bootstrap intervals over viewers (Efron 1993), widened as
    Student's t is where viewers are few.

    Without figures of the target policy if the overlap is too thin. Raises ValueError if there is no slate.
    """
    if not len(slates.outcomes):
        raise ValueError("no slate was logged")
    # sums of each viewer, by which the bootstrap draws: slates of one viewer are not independent
    weights = slates.weights
    corrected = slates.expected + weights * (slates.outcomes - slates.predicted)
    k = weights.shape[1]
    whole = np.ones(len(weights)) if slates.whole is None or not slates.whole.any() else slates.whole.astype(np.float64)
    columns = np.column_stack(
        [
            np.ones(len(weights)),
            whole,
            slates.outcomes.sum(axis=1) * whole,
            (weights * slates.outcomes).sum(axis=1),
            corrected.sum(axis=1),
            weights * slates.outcomes,
            weights,
            slates.logged > 0,
        ]
    )
    sums = _sums(columns, slates.viewers)
    # the figures of the log, and of its resamples
    total, drawn = _figures(sums.sum(axis=0)[None, :], k)[0], _figures(resampled_sums(sums, resamples, seed), k)
    overlap = overlap_of(slates)
    logged = interval(float(total[0]), drawn[:, 0], float(_effective(sums[:, :1])[0]))
    if overlap.refusal is not None:
        return Estimate(overlap=overlap, logged=logged)
    others = (interval(float(total[at]), drawn[:, at], overlap.effective_viewers) for at in range(1, 4))
    return Estimate(overlap=overlap, logged=logged, **dict(zip(("ips", "dr", "snips"), others, strict=True)))


def _sums(values: Float64s, numbers: NDArray[np.integer]) -> Float64s:
    """(g, c) sums of values (s, c) by number (s,)."""
    known, at = np.unique(numbers, return_inverse=True)
    sums = np.zeros((len(known), values.shape[1]))
    np.add.at(sums, at, values)
    return sums


def _effective(weights: Float64s) -> Float64s:
    """(k,) how many equal weights would say as much as (n, k) weights (Kish 1965)."""
    total, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    return np.asarray(np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0))


def resampled_sums(sums: Float64s, resamples: int, seed: int) -> Float64s:
    """(resamples, c) sums of (v, c) figures over viewers drawn with replacement."""
    random, viewers = np.random.default_rng(seed), len(sums)
    drawn = np.empty((resamples, sums.shape[1]))
    step = max(_DRAWS_AT_ONCE // viewers, 1)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        cells = random.integers(viewers, size=(count, viewers)) + np.arange(count)[:, None] * viewers
        times = np.bincount(cells.ravel(), minlength=count * viewers).reshape(count, viewers)
        drawn[start : start + count] = times @ sums
    return drawn


def _figures(sums: Float64s, k: int) -> Float64s:
    """(m, 4): logged outcome, IPS, DR and SNIPS per slate, of (m, 5 + 3k) sums."""
    slates, whole = sums[:, :1], np.maximum(sums[:, 1:2], 1)
    weighted, weights, filled = (sums[:, 5 + at * k : 5 + (at + 1) * k] for at in range(3))
    means = np.divide(weighted, weights, out=np.zeros_like(weighted), where=weights > 0)
    normalised = (means * filled / slates).sum(axis=1)  # a position counts as often as it is filled
    return np.column_stack([sums[:, 2:3] / whole, sums[:, 3:5] / slates, normalised])
