"""Weights that a ranker begins with, or that replace it, and the scales of its inputs."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.kernels.candidate_pool import PRERANK_LATE
from models.networks.ranker_head import RankerHead
from models.schema.pair_features import EXTRA_INPUTS, extra_input_names
from models.schema.statistic_names import STATISTICS

ONE_INPUT = (
    "common_neighbours",
    "resource_allocation",
    "jaccard",
    "pagerank",
    "candidate_log_degree",
    "candidate_late_10",
)
"""the inputs whose order is a classic method's: the head must not lose to any of them"""
LEAST_EVIDENCE = 30
"""lists in the validation for one input to replace the ranker"""


@torch.no_grad()
def begin_with(model: RankerHead, prior: NDArray[np.float32]) -> None:
    """Makes an untrained model score by `prior` alone: the pre-ranking weights of the pair features and the degree."""
    kept = len(model.config.pair_features)
    degree = 2 * kept + EXTRA_INPUTS.index("candidate_log_degree")
    weights = torch.zeros_like(model.scale)
    weights[:kept] = torch.from_numpy(prior[:kept])
    weights[degree] = float(prior[kept])
    names = extra_input_names(model.config.viewer_inputs)
    if "candidate_late_10" in names:
        weights[2 * kept + names.index("candidate_late_10")] = float(PRERANK_LATE)
    model.past.weight.zero_()
    model.past.weight[0] = weights * model.scale
    model.last.weight.zero_()
    model.last.bias.zero_()


@torch.no_grad()
def clear_unused(model: RankerHead) -> None:
    """Zeroes the layers of a model whose last weights are zero: they are as random as they began."""
    if not model.last.weight.any():
        for layer in (model.first, model.second):
            layer.weight.zero_()
            layer.bias.zero_()


def statistics_know_dates(statistics: NDArray[np.float32]) -> bool:
    """Whether statistics (n, s) are those of friendships with dates."""
    return bool(statistics.shape[1] > len(STATISTICS))


@torch.no_grad()
def order_by(model: RankerHead, column: int) -> None:
    """Makes a model score by one of the pair inputs alone."""
    model.past.weight.zero_()
    model.past.weight[0, column] = 1
    model.last.weight.zero_()
    model.last.bias.zero_()


def standardise(mean: Tensor, scale: Tensor, inputs: NDArray[np.float32]) -> None:
    """Sets the two buffers from (rows, columns) inputs; a column that never changes keeps its scale."""
    spread = inputs.std(axis=0)
    mean.copy_(torch.from_numpy(inputs.mean(axis=0)))
    scale.copy_(torch.from_numpy(np.where(spread > 1e-4, spread, 1).astype(np.float32)))


def beats(one: NDArray[np.float64], other: NDArray[np.float64], errors: float) -> bool:
    """Whether the first is higher in the mean of the paired differences, by this many standard errors."""
    gain = one - other
    return bool(gain.mean() > errors * gain.std() / len(gain) ** 0.5)
