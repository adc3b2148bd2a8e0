"""Trains the networks on labelled lists: an MLP, or a mixture of experts."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger
from torch import Tensor
from torch.nn import functional

from models.networks.fusion.experts import Experts, ExpertsConfig, entropy
from models.networks.fusion.mlp import Mlp, MlpConfig
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS, PAIR_FEATURES
from offline.evaluation.metrics import ndcg_of_lists
from offline.fusion.candidate_lists import CandidateLists
from offline.fusion.config import MlpFusion, MoeFusion
from offline.fusion.fusion import Fusion
from offline.training.repeatable import repeatable

SupervisedFusion = MlpFusion | MoeFusion
SAMPLE = 100_000
"""positions sampled for the mean and the deviation of columns"""


@repeatable()
def train_supervised(
    config: SupervisedFusion, lists: CandidateLists, *, seed: int, log: FilteringBoundLogger
) -> Fusion:
    """The fusion with the best validated weights.

    The loss is the softmax cross-entropy of each list, spread evenly over its friendships (ListNet's top one, Cao and
    others 2007). Training starts from pre-ranking. Raises ValueError if fewer than two viewers have a friendship in
    their list.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    training, validation = split_lists(lists, config.validation_share, random)
    model, shape = _network(config, lists.names, sample(training, random))
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    fusion = Fusion(model.eval(), shape, lists.names)
    prior = best = mean_ndcg(fusion, validation)
    state, waited, epoch = copy.deepcopy(model.state_dict()), 0, 0
    for epoch in range(1, config.epochs + 1):
        loss = _epoch(model, optimiser, training, config, random)
        ndcg = mean_ndcg(fusion, validation)
        log.info("fusion_epoch", fusion=config.name, epoch=epoch, loss=round(loss, 4), ndcg20=round(ndcg, 4))
        waited = 0 if ndcg > best else waited + 1
        if ndcg > best:
            best, state = ndcg, copy.deepcopy(model.state_dict())
        if waited >= config.patience:
            break
    model.load_state_dict(state)
    metrics = {"prior_ndcg20": prior, "ndcg20": best, "epochs": float(epoch), "lists": float(len(training))}
    return Fusion(model, shape, lists.names, metrics | _gate_metrics(model, validation))


def split_lists(
    lists: CandidateLists, share: float, random: np.random.Generator
) -> tuple[CandidateLists, CandidateLists]:
    """The lists with a friendship, for training and validation; a viewer's lists stay together.

    Raises ValueError if fewer than two viewers have one.
    """
    useful = np.flatnonzero((lists.labels & lists.valid).any(axis=1))
    viewers = random.permutation(np.unique(lists.viewers[useful]))
    if len(viewers) < 2:
        raise ValueError(f"a fusion needs two viewers with a friendship in their list, not {len(viewers)}")
    is_held_out = np.isin(lists.viewers[useful], viewers[: max(int(len(viewers) * share), 1)])
    return lists.take(useful[~is_held_out]), lists.take(useful[is_held_out])


def mean_ndcg(fusion: Fusion, lists: CandidateLists) -> float:
    """Mean NDCG@20 of the lists."""
    return float(ndcg_of_lists(fusion.of_lists(lists), lists.labels, lists.friends_made).mean())


def prerank_weights(names: list[str], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """(F,) pre-ranking weights by column name; if no column has one, all columns weigh alike.

    `scale` (F,) is the columns' standard deviation.
    """
    by_name = dict(zip((*PAIR_FEATURES, "candidate_log_degree"), DEFAULT_PRERANK_WEIGHTS.tolist(), strict=True))
    weights = np.array([by_name.get(name, 0.0) for name in names], dtype=np.float32)
    return weights if weights.any() else (1 / np.where(scale > 1e-4, scale, 1)).astype(np.float32)


def _network(
    config: SupervisedFusion, names: list[str], sample: Tensor
) -> tuple[Mlp | Experts, MlpConfig | ExpertsConfig]:
    inputs, weights = len(names), prerank_weights(names, sample.std(dim=0).numpy())
    if isinstance(config, MlpFusion):
        network_config = MlpConfig(inputs=inputs, hidden=config.hidden)
        model = Mlp(network_config)
        model.begin(sample, torch.from_numpy(weights))
        return model, network_config
    mixture = ExpertsConfig(inputs=inputs, experts=config.experts, hidden=config.hidden, gate=config.gate)
    experts = Experts(mixture)
    experts.begin(sample, torch.from_numpy(weights))
    return experts, mixture


def sample(lists: CandidateLists, random: np.random.Generator) -> Tensor:
    """(r, F) about SAMPLE positions drawn from the lists, for their mean and deviation."""
    some = random.permutation(len(lists))[: max(SAMPLE // lists.valid.shape[1], 1)]
    return torch.from_numpy(lists.features[some][lists.valid[some]])


def _epoch(
    model: Mlp | Experts,
    optimiser: torch.optim.Optimizer,
    lists: CandidateLists,
    config: SupervisedFusion,
    random: np.random.Generator,
) -> float:
    """The mean loss of one epoch."""
    model.train()
    order, total = random.permutation(len(lists)), 0.0
    for start in range(0, len(order), config.batch_lists):
        at = order[start : start + config.batch_lists]
        valid = torch.from_numpy(lists.valid[at])
        features, labels = torch.from_numpy(lists.features[at]), torch.from_numpy(lists.labels[at]) & valid
        bonus = torch.zeros(())
        if isinstance(model, Experts):
            scores, gate = model.gated(features)
            balance = config.balance if isinstance(config, MoeFusion) else 0.0
            bonus = balance * entropy(gate)[valid].mean()
        else:
            scores = model(features)
        spread = functional.log_softmax(scores.masked_fill(~valid, -torch.inf), dim=1)
        loss = -(torch.where(labels, spread, 0).sum(dim=1) / labels.sum(dim=1)).mean() - bonus
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        total += float(loss.detach()) * len(at)
    model.eval()
    return total / len(order)


@torch.no_grad()
def _gate_metrics(model: Mlp | Experts, lists: CandidateLists) -> dict[str, float]:
    """Metrics of the gate's use of the experts."""
    if isinstance(model, Experts):
        gate = model.gated(torch.from_numpy(lists.features[lists.valid]))[1]
        usage = gate.exp().mean(dim=0)
        shares = {f"expert_{at + 1}_share": float(share) for at, share in enumerate(usage)}
        return {"gate_entropy": float(entropy(gate).mean()), "usage_entropy": float(entropy(usage.log())), **shares}
    return {}
