"""The head of the ranker over one viewer's candidates: gathers its inputs and computes its layers."""

import math

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.kernels.numba_cache import compiled
from models.kernels.prefetch import AHEAD, prefetch
from models.schema.pair_features import COMMON, JACCARD_SCALE

_ONE = np.float32(1)
_NONE = np.float32(0)
_CODES = 256


@compiled(fastmath=True)
def fold(
    bias: Float32s,
    past: Float32s,
    absolute: Float32s,
    relative: Float32s,
    extra: Float32s,
    low: Float32s,
    high: Float32s,
    viewer: Float32s,
    weights: Float32s,
) -> None:
    """Writes the first layer, folded for the candidates of one viewer, into `weights` (F + x + 1, h).

    Its rows are the weights of the F codes, of the extra inputs, and of a constant input 1. `absolute` and `relative`
    (F, h) are the layer's weights by pair feature, `extra` (x, h) by extra input, `bias` (h,), `past` (s, h) by
    statistic of the viewer. `low` and `high` (F,) are the ranges of the block's codes, `viewer` (s,) the viewer's
    statistics.
    """
    features, extras, width = len(low), len(extra), len(bias)
    for to in range(width):
        weights[features + extras, to] = bias[to]
    for feature in range(features):
        step = (high[feature] - low[feature]) / np.float32(_CODES - 1)
        for to in range(width):
            weight = absolute[feature, to]
            weights[feature, to] = weight * step + relative[feature, to] / np.float32(_CODES - 1)
            weights[features + extras, to] += weight * low[feature]
    for at in range(extras):
        for to in range(width):
            weights[features + at, to] = extra[at, to]
    for at in range(len(viewer)):
        for to in range(width):
            weights[features + extras, to] += viewer[at] * past[at, to]


@compiled(fastmath=True)
def gather(
    rows: NDArray[np.uint32],
    codes: NDArray[np.uint8],
    sources: NDArray[np.uint8],
    bits: NDArray[np.uint8],
    low: Float32s,
    high: Float32s,
    statistics: Float32s,
    log_degree: int,
    viewer: Float32s,
    log_position: Float32s,
    inputs: Float32s,
) -> None:
    """Writes the inputs of the first layer for the candidates (m,) into `inputs` (F + x + 1, m), in the order of
    `fold`.

    The first extra input is written as JACCARD_SCALE times the Jaccard similarity; the caller takes ln(1 + that)
    (models.schema.pair_features.extra_inputs). `codes` (F, m), `low` and `high` (F,) and `sources` (m,) are the
    block's. `bits` are the sources with an input each. `statistics` (n, s) are those of all users, `viewer` (s,) those
    of the viewer, with ln(1 + degree) in the column `log_degree`.
    """
    # codes, sources, position and the constant
    (features, m), known = codes.shape, statistics.shape[1]
    overlap, persons = features, features + 2
    for feature in range(features):
        for place in range(m):
            inputs[feature, place] = codes[feature, place]
    for at in range(len(bits)):
        for place in range(m):
            inputs[persons + known + at, place] = _ONE if sources[place] & bits[at] else _NONE
    for place in range(m):
        inputs[features + 1, place] = log_position[place]
        inputs[persons + known + len(bits), place] = _ONE
    # the candidates' statistics
    for place in range(m):
        if place + AHEAD < m:
            prefetch(statistics, int(rows[place + AHEAD]), 0)
        row = np.int64(rows[place])
        for at in range(known):
            inputs[persons + at, place] = statistics[row, at]
    # Jaccard similarity, from a table of mutual friends by code
    mutual = np.empty(_CODES, dtype=np.float32)
    step = (high[COMMON] - low[COMMON]) / np.float32(_CODES - 1)
    for code in range(_CODES):
        mutual[code] = math.expm1(np.float32(code) * step + low[COMMON])
    own = np.float32(math.exp(viewer[log_degree])) - np.float32(2)
    for place in range(m):
        common = mutual[codes[COMMON, place]]
        friends = np.float32(math.exp(inputs[persons + log_degree, place])) + own - common
        inputs[overlap, place] = np.float32(JACCARD_SCALE) * common / max(friends, _ONE)


@compiled(fastmath=True)
def join(hidden: Float32s, logits: Float32s) -> None:
    """Applies ReLU to `hidden` (m, h + 1), and moves its last column, the linear part, into `logits` (m,)."""
    units = hidden.shape[1] - 1
    for place in range(len(logits)):
        logits[place] = hidden[place, units]
        for unit in range(units):
            hidden[place, unit] = max(hidden[place, unit], _NONE)


@compiled(fastmath=True)
def finish(second: Float32s, bias: Float32s, last: Float32s, logits: Float32s) -> None:
    """Adds the last layer over the ReLU of the second to `logits` (m,).

    `second` (m, w) is the product of the second layer without its bias (w,); `last` (w,) is the last layer's weight.
    """
    for place in range(len(logits)):
        total = logits[place]
        for unit in range(len(last)):
            total += max(second[place, unit] + bias[unit], _NONE) * last[unit]
        logits[place] = total


@compiled()
def best_mass(logits: Float32s, most: int) -> float:
    """ln of the mean of exp over the `most` best of the logits (m,), at least one."""
    best = np.empty(min(most, len(logits)), dtype=np.float32)
    held = 0
    for logit in logits:  # `best` stays sorted, ascending
        if held == len(best):
            if logit <= best[0]:
                continue
            at = 0
            while at + 1 < held and best[at + 1] < logit:
                best[at] = best[at + 1]
                at += 1
        else:
            at = held
            while at > 0 and best[at - 1] > logit:
                best[at] = best[at - 1]
                at -= 1
            held += 1
        best[at] = logit
    highest, total = float(best[-1]), 0.0
    for one in best:
        total += math.exp(float(one) - highest)
    return math.log(total / len(best)) + highest
