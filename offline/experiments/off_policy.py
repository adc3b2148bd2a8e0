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

from offline.evaluation.bootstrap import RESAMPLES, Interval, interval

LEAST_EFFECTIVE = 100.0
"""slates of a position that the weighted ones must be worth"""
LEAST_MEAN_WEIGHT = 0.9
"""mean weight of a position, which is 1 where the logging policy shows whatever the target policy does"""
MOST_MEAN_WEIGHT = 1.1
_DRAWS_AT_ONCE = 1 << 22

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slates:
    """Logged lists (s,) with k positions each; a position that shows no one has a `logged` probability of 0."""

    viewers: NDArray[np.int64]
    """(s,) numbers of the viewers, from 0"""
    outcomes: Floats
    """(s, k) what came of each position, such as 1 for an accepted invitation"""
    logged: Floats
    """(s, k) probability with which the logging policy put the candidate there, above 0 to 1"""
    target: Floats
    """(s, k) probability with which the target policy puts the same candidate there"""
    predicted: Floats
    """(s, k) the model's outcome of the logged candidate in that position; zeros without a model"""
    expected: Floats
    """(s, k) the model's outcome of that position under the target policy: its mean over all candidates"""

    @property
    def weights(self) -> Floats:
        """(s, k) importance weights; 0 where a position shows no one."""
        return np.divide(self.target, self.logged, out=np.zeros_like(self.target), where=self.logged > 0)


class Overlap(BaseModel):
    """How much of what the target policy shows was shown by the logging policy."""

    model_config = ConfigDict(frozen=True)

    slates: int
    viewers: int
    effective: float
    """slates of an unweighted log that would say as much, of the position with the fewest (Kish 1965)"""
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
    filled = slates.logged > 0
    weights = slates.weights
    count = filled.sum(axis=0)
    used = np.flatnonzero(count)
    viewers = len(np.unique(slates.viewers))
    if not len(used):
        return Overlap(
            slates=len(weights),
            viewers=viewers,
            effective=0.0,
            mean_weight=0.0,
            largest_weight=0.0,
            refusal="no list in the log shows anybody",
        )
    # per position: the effective sample size, and the mean weight with its standard error
    total, squares = weights.sum(axis=0)[used], (weights**2).sum(axis=0)[used]
    effective = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    mean = total / count[used]
    error = np.sqrt(np.maximum(squares / count[used] - mean**2, 0) / count[used])
    worst = int(np.argmax(np.abs(mean - 1)))
    thinnest = int(np.argmin(effective))
    # what forbids an estimate
    refusal = None
    outside = (mean < LEAST_MEAN_WEIGHT) & (mean + 3 * error < 1) | (mean > MOST_MEAN_WEIGHT) & (mean - 3 * error > 1)
    if effective[thinnest] < LEAST_EFFECTIVE:
        refusal = (
            f"at position {used[thinnest] + 1} the {count[used][thinnest]} logged lists are worth "
            f"{effective[thinnest]:.0f} for the other policy, and {LEAST_EFFECTIVE:.0f} are needed: "
            "it shows people whom the log hardly ever shows there"
        )
    elif outside.any():
        at = int(np.flatnonzero(outside)[np.argmax(np.abs(mean[outside] - 1))])
        refusal = (
            f"at position {used[at] + 1} the weights have a mean of {mean[at]:.2f} and not 1: "
            "the other policy shows people whom the log never shows there, or the logged probabilities are wrong"
        )
    return Overlap(
        slates=len(weights),
        viewers=viewers,
        effective=float(effective[thinnest]),
        mean_weight=float(mean[worst]),
        largest_weight=float(weights.max()),
        refusal=refusal,
    )


def estimate(slates: Slates, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """What the target policy earns per slate, with percentile bootstrap intervals over viewers (Efron 1993).

    Without figures of the target policy if the overlap is too thin. Raises ValueError if there is no slate.
    """
    if not len(slates.outcomes):
        raise ValueError("no slate was logged")
    # sums of each viewer, by which the bootstrap draws: slates of one viewer are not independent
    weights = slates.weights
    corrected = slates.expected + weights * (slates.outcomes - slates.predicted)
    k = weights.shape[1]
    columns = np.column_stack(
        [
            np.ones(len(weights)),
            slates.outcomes.sum(axis=1),
            (weights * slates.outcomes).sum(axis=1),
            corrected.sum(axis=1),
            weights * slates.outcomes,
            weights,
            slates.logged > 0,
        ]
    )
    known, numbers = np.unique(slates.viewers, return_inverse=True)
    sums = np.zeros((len(known), columns.shape[1]))
    np.add.at(sums, numbers, columns)
    # the figures of the log, and of its resamples
    whole = _figures(sums.sum(axis=0)[None, :], k)[0]
    drawn = _figures(resampled_sums(sums, resamples, seed), k)
    logged, *others = (interval(float(whole[at]), drawn[:, at]) for at in range(4))
    overlap = overlap_of(slates)
    if overlap.refusal is not None:
        return Estimate(overlap=overlap, logged=logged)
    return Estimate(overlap=overlap, logged=logged, ips=others[0], snips=others[2], dr=others[1])


def resampled_sums(sums: Floats, resamples: int, seed: int) -> Floats:
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


def _figures(sums: Floats, k: int) -> Floats:
    """(m, 4): logged outcome, IPS, DR and SNIPS per slate, of (m, 4 + 3k) sums."""
    slates = sums[:, :1]
    weighted, weights, filled = (sums[:, 4 + at * k : 4 + (at + 1) * k] for at in range(3))
    means = np.divide(weighted, weights, out=np.zeros_like(weighted), where=weights > 0)
    normalised = (means * filled / slates).sum(axis=1)  # a position counts as often as it is filled
    return np.column_stack([sums[:, 1:4] / slates, normalised])
