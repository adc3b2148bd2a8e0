"""Attributes a candidate's score to its inputs: integrated gradients through the head.

Method: Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks (ICML 2017). The gradient of the head is
averaged along the straight line from the mean of the viewer's candidates to the candidate, and multiplied by the change
of each input. The shares add up to the difference of the two scores, up to the error of the average.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.arrays import Float64s

STEPS = 1024
"""points on the line where the gradient is taken: each of tens of kinks shifts a share by a thousandth at most"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The attribution of one candidate's score. `starting_point` + all `contributions` + `residual` = `log_odds`.

    Contributions are in log-odds after calibration.
    """

    logit: float
    """the ranker's score before calibration"""
    log_odds: float
    probability: float
    """1 / (1 + exp(-log_odds)): the score in the response"""
    starting_point: float
    """log-odds of the mean of the viewer's candidates in every input"""
    inputs: dict[str, float]
    """the ranker's inputs for the pair, by name"""
    contributions: dict[str, float]
    """by input, the part of the log-odds due to its difference from that mean"""
    residual: float
    """numerical error"""
    tower_product: float | None
    """product of the viewer's query and the candidate's vector; None for a ranker without towers"""


class Attributed(NamedTuple):
    """What the inputs of one candidate contribute to the log-odds of the score."""

    names: list[str]
    inputs: list[float]
    shares: list[float]
    starting_point: float
    """log-odds of the mean of the viewer's candidates in every input"""
    product: float | None
    """of the towers; None for a ranker without them"""
    log_odds: float | None = None
    """of the candidate, with heads of outcomes; None: the calibration of the logit gives them"""


@dataclass(frozen=True, slots=True)
class Head:
    """score = last · relu(second · relu(first · x + b1) + b2) + b3 + past · x, x one pair's inputs (p,)."""

    first: Float64s
    """(p, h)"""
    first_bias: Float64s
    """(h,)"""
    second: Float64s
    """(h, g)"""
    second_bias: Float64s
    """(g,)"""
    last: Float64s
    """(g,)"""
    last_bias: float
    past: Float64s
    """(p,)"""

    def score(self, inputs: Float64s) -> float:
        """The score of one pair's inputs (p,)."""
        hidden = np.maximum(inputs @ self.first + self.first_bias, 0)
        second = np.maximum(hidden @ self.second + self.second_bias, 0)
        return float(second @ self.last + self.last_bias + inputs @ self.past)

    def shares(self, start: Float64s, end: Float64s, joined: "Joined | None" = None) -> Float64s:
        """(p,) each input's contribution to score(end) - score(start), by integrated gradients.

        With `joined`, to the difference of what that makes of the scores.
        """
        along = ((np.arange(STEPS) + 0.5) / STEPS)[:, None]
        from_start, from_end = start @ self.first + self.first_bias, end @ self.first + self.first_bias
        hidden = from_start + along * (from_end - from_start)
        second = np.maximum(hidden, 0) @ self.second + self.second_bias
        gradients = ((second > 0) * self.last) @ self.second.T * (hidden > 0)
        if joined is None:
            return np.asarray((end - start) * (self.first @ gradients.mean(axis=0) + self.past))
        inputs = start + along * (end - start)
        scores = np.maximum(second, 0) @ self.last + self.last_bias + inputs @ self.past
        by_odds = joined.slopes(scores, inputs)
        by_score = by_odds @ joined.on_score + joined.steep * (scores < joined.lowest)
        through = self.first @ (gradients * by_score[:, None]).mean(axis=0) + self.past * by_score.mean()
        return np.asarray((end - start) * (through + joined.weights @ by_odds.mean(axis=0)))


@dataclass(frozen=True, slots=True)
class Joined:
    """What heads of outcomes make of the score z of a pair x: the sum over k of powers ln(1 / (1 + exp(-odds))), plus a
    level, less steep times what z lacks to the lowest score, with odds = on_score z + weights . x + bias.
    """

    on_score: Float64s
    """(k,)"""
    weights: Float64s
    """(p, k)"""
    bias: Float64s
    """(k,)"""
    powers: Float64s
    """(k,)"""
    level: float
    lowest: float
    steep: float

    def odds(self, scores: Float64s, inputs: Float64s) -> Float64s:
        """(s, k) log-odds of the scores (s,) of pairs (s, p)."""
        return np.asarray(scores[:, None] * self.on_score + inputs @ self.weights + self.bias)

    def value(self, score: float, inputs: Float64s) -> float:
        """What is made of one pair's score and inputs (p,)."""
        odds = self.odds(np.array([score]), inputs[None])
        behind = self.steep * max(self.lowest - score, 0.0)
        return float(-np.logaddexp(0, -odds[0]) @ self.powers) - behind + self.level

    def slopes(self, scores: Float64s, inputs: Float64s) -> Float64s:
        """(s, k) derivatives of the sum by each of the log-odds."""
        return np.asarray(self.powers / (1 + np.exp(np.clip(self.odds(scores, inputs), -700, 700))))
