"""A logistic regression of an outcome that only those can have who were looked at."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.arrays import Float64s

_FAR = 40.0
"""log-odds beyond which a probability is 0 or 1"""


def fit_head(
    inputs: NDArray[np.floating],
    outcomes: NDArray[np.bool_],
    looked: Float64s,
    weights: Float64s,
    penalties: Float64s,
    start: Float64s,
    steps: int,
) -> Float64s:
    """(k,) weights of `inputs` (m, k) in the log-odds of an outcome (m,) of those who were looked at.

    P(outcome) = looked (m,) / (1 + exp(-inputs . w)): whoever has no outcome was perhaps not looked at. Minimises the
    negative log-likelihood, in which a row counts `weights` (m,) times, plus half of `penalties` (k,) times the squares
    of what w differs from `start` (k,), by L-BFGS in at most `steps` steps.
    """

    def loss(values: Float64s) -> tuple[float, Float64s]:
        odds = np.clip(inputs @ values, -_FAR, _FAR)
        away = values - start
        value = -weights @ log_likelihoods(odds, outcomes, looked) + (penalties * away**2).sum() / 2
        probable = 1 / (1 + np.exp(-odds))
        chance = looked * probable
        by_odds = weights * np.where(outcomes, -1.0, chance / np.maximum(1 - chance, 1e-9)) * (1 - probable)
        return float(value), np.asarray(inputs.T @ by_odds + penalties * away, dtype=np.float64)

    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x)


def log_likelihoods(odds: Float64s, outcomes: NDArray[np.bool_], looked: Float64s) -> Float64s:
    """(m,) logarithms of the probability of what came, of the log-odds (m,) among those looked at."""
    odds = np.clip(odds, -_FAR, _FAR)
    happened = np.log(np.maximum(looked, 1e-12)) - np.logaddexp(0, -odds)
    return np.asarray(np.where(outcomes, happened, np.log1p(-np.minimum(np.exp(happened), 1 - 1e-9))))
