"""The curve that turns scores into probabilities: the friendships it is fitted on, and the fit."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.graph import Graph
from offline.features.temporal_graph import EdgeSplit, Friendships
from offline.ranker.config import RankerConfig

UNKNOWN_SHARE = 0.1
"""of all friendships: how many a probability counts as not known yet, if they have no dates"""
PENALTY = 0.1
"""of a weight's square; the intercept has none"""


def calibration_splits(
    known: Friendships, messages: Friendships, config: RankerConfig, seed: int
) -> Iterator[EdgeSplit]:
    """Parts hidden for calibration only, each so thin that the graph without it is nearly the one that serves.

    Scores of a graph that lacks a tenth of its friendships are lower than those of the whole, and a curve fitted on
    them does not fit the lists that are served. There are none if friendships have dates: the last of them are hidden,
    and no thinner part is like the future. Only `messages`, all of which the encoder has read, are hidden.
    """
    pairs = round(config.calibration_share * messages.count)
    if known.dates is not None or not pairs:
        return
    for round_ in range(min(config.calibration_rounds, -(-config.calibration_pairs // pairs))):
        hidden = messages.split_edges(config.calibration_share, seed + round_).hidden
        yield EdgeSplit(Friendships(known.graph.without(*hidden.pairs()), None), hidden, None)


def outcome_weight(part: EdgeSplit) -> float:
    """Friendships that a served list does not know, for each one that is hidden in this part."""
    served = UNKNOWN_SHARE / (1 - UNKNOWN_SHARE)
    return served * len(part.kept.graph.indices) / max(len(part.hidden.indices), 1)


def sampled_viewers(graph: Graph, active: NDArray[np.bool_], most: int, seed: int) -> NDArray[np.int64]:
    """(u,) active users with a friend, `most` at most, ascending, whether or not a friendship of theirs was hidden."""
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero((graph.degrees > 0) & active))[:most]
    return np.sort(drawn).astype(np.int64)


def fit_curve(
    inputs: NDArray[np.floating], outcomes: NDArray[np.floating], counts: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """(k + 1,) float32: the weights of `inputs` (m, k) and then the intercept of the log-odds of `outcomes` (m,).

    Logistic regression (Platt 1999) with outcomes that may be above 1: a hidden friendship represents as many as are
    unknown for each one hidden, and the expected likelihood is that of all of them. It is convex nevertheless. A row
    counts `counts` (m,) times, by default once.
    """
    mean, scale = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-6)
    read = np.concatenate([(inputs - mean) / scale, np.ones((len(inputs), 1))], axis=1)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = read @ weights
        losses, slopes = np.logaddexp(0, odds) - outcomes * odds, 1 / (1 + np.exp(-np.clip(odds, -60, 60))) - outcomes
        if counts is not None:
            losses, slopes = counts * losses, counts * slopes
        value = float(losses.sum() + PENALTY / 2 * (weights[:-1] ** 2).sum())
        slope = read.T @ slopes
        slope[:-1] += PENALTY * weights[:-1]
        return value, slope

    best = minimize(loss, np.zeros(read.shape[1]), jac=True, method="L-BFGS-B").x
    weights = best[:-1] / scale
    return np.append(weights, best[-1] - weights @ mean).astype(np.float32)
