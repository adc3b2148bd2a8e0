"""The linear map past the head, fitted at once: its loss is convex, so that one solution is best."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from offline.ranker.config import RankerConfig
from offline.ranker.training_lists import TrainingLists
from offline.training.processes import ALONE, Processes


def fit_linear(
    lists: TrainingLists,
    statistics: NDArray[np.float32],
    mean: Tensor,
    scale: Tensor,
    config: RankerConfig,
    random: np.random.Generator,
    processes: Processes = ALONE,
) -> Tensor:
    """(p,) float32 weights of the standardised pair inputs that put the friendships of `lists` first.

    Minimises the mean over lists of the softmax cross-entropy, spread evenly over a list's friendships, plus
    `config.linear_penalty` times the weights' squares, by L-BFGS. Of each list it reads every friendship, the first
    candidates without one, and a random part of the others, which represents all of them. At most
    `config.linear_lists` lists are read: the inputs of 300 candidates take 120 MB for 2,000 of them. Of several
    processes each reads its part of the lists; they exchange loss and gradient, and all find the same weights.
    """
    chosen = lists.take(np.sort(random.permutation(len(lists))[: config.linear_lists]))
    places, added = chosen.sampled_places(config.linear_places, config.linear_places, random)
    weight = processes.weight(len(chosen))
    if processes.count > 1:
        own = processes.own(len(chosen))
        chosen, places, added = chosen.take(np.arange(own.start, own.stop)), places[own], added[own]
    inputs = (torch.from_numpy(chosen.pair_inputs(statistics, places)) - mean) / scale
    represented = torch.from_numpy(added)
    outcome = torch.from_numpy(np.take_along_axis(chosen.outcomes, places, axis=1) & np.isfinite(added))
    weights = torch.zeros(inputs.shape[-1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=config.linear_steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        spread = functional.log_softmax(inputs @ weights + represented, dim=1)
        per_list = torch.where(outcome, spread, 0).sum(dim=1) / outcome.sum(dim=1)
        of_lists = per_list.mean() * weight if weight else per_list.sum()
        found: Tensor = config.linear_penalty * weights.square().sum() - of_lists
        found.backward()
        if processes.count > 1 and weights.grad is not None:
            weights.grad = processes.mean(weights.grad)
        return processes.mean(found.detach())

    optimiser.step(loss)
    return weights.detach()
