"""Attributes a candidate's score to its inputs: integrated gradients through the head.

Method: Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks (ICML 2017). The gradient of the head is
averaged along the straight line from the mean of the viewer's candidates to the candidate, and multiplied by the change
of each input. The shares add up to the difference of the two scores, up to the error of the average.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEPS = 1024
"""points on the line where the gradient is taken: each of tens of kinks shifts a share by a thousandth at most"""

Doubles = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class Head:
    """score = last · relu(second · relu(first · x + b1) + b2) + b3 + past · x, x one pair's inputs (p,)."""

    first: Doubles
    """(p, h)"""
    first_bias: Doubles
    """(h,)"""
    second: Doubles
    """(h, g)"""
    second_bias: Doubles
    """(g,)"""
    last: Doubles
    """(g,)"""
    last_bias: float
    past: Doubles
    """(p,)"""

    def score(self, inputs: Doubles) -> float:
        """The score of one pair's inputs (p,)."""
        hidden = np.maximum(inputs @ self.first + self.first_bias, 0)
        second = np.maximum(hidden @ self.second + self.second_bias, 0)
        return float(second @ self.last + self.last_bias + inputs @ self.past)

    def shares(self, start: Doubles, end: Doubles) -> Doubles:
        """(p,) each input's contribution to score(end) - score(start), by integrated gradients."""
        along = ((np.arange(STEPS) + 0.5) / STEPS)[:, None]
        from_start, from_end = start @ self.first + self.first_bias, end @ self.first + self.first_bias
        hidden = from_start + along * (from_end - from_start)
        second = np.maximum(hidden, 0) @ self.second + self.second_bias
        gradients = ((second > 0) * self.last) @ self.second.T * (hidden > 0)
        shares: Doubles = (end - start) * (self.first @ gradients.mean(axis=0) + self.past)
        return shares
