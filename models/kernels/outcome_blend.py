"""Joins the heads of outcomes and the score of friendship into one score, for the candidates of one viewer."""

import math

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

Floats = NDArray[np.float32]

STEEP = np.float32(10)
"""how far the sum falls for each unit of a friendship's log-odds below the lowest of those whom heads may reorder"""
_MOST = np.float32(80)
"""largest negative log-odds for which float32 has a probability"""


@compiled(fastmath=True)
def blend(
    hidden: Floats,
    logits: Floats,
    on_logit: Floats,
    slope: float,
    level: float,
    powers: Floats,
    curve: Floats,
    lowest: float,
    scores: Floats,
) -> None:
    """Writes the score of each candidate (m,) into `scores`: 1 / (1 + exp(-curve[0] s - curve[1])).

    s is the sum of `powers` (1 + k,) times the logarithms of the probabilities of a friendship, whose log-odds are
    `slope` times the ranker's `logits` (m,) plus `level`, and of the k heads. A head's log-odds are its column among
    the last k of `hidden` (m, w), plus `on_logit` (k,) times the logit. s is less by STEEP for each unit by which the
    log-odds of a friendship are below `lowest`.
    """
    heads = len(on_logit)
    first = hidden.shape[1] - heads
    for place in range(len(logits)):
        logit = logits[place]
        odds = np.float32(slope) * logit + np.float32(level)
        total = -STEEP * max(np.float32(lowest) - odds, np.float32(0))
        if powers[0] != np.float32(0):
            total += powers[0] * (min(odds, np.float32(0)) - math.log1p(math.exp(-abs(odds))))
        for head in range(heads):
            odds = hidden[place, first + head] + on_logit[head] * logit
            total += powers[head + 1] * (min(odds, np.float32(0)) - math.log1p(math.exp(-abs(odds))))
        scores[place] = np.float32(1) / (np.float32(1) + math.exp(min(-curve[0] * total - curve[1], _MOST)))
