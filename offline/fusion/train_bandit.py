"""Trains the fusions that learn a blend from outcomes, by replaying feedback on the lists."""

import numpy as np
import torch
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger

from models.networks.fusion.blending import BlendingConfig
from models.networks.fusion.linucb import LinUcb, LinUcbConfig
from models.networks.fusion.q_network import QNetwork
from offline.fusion.candidate_lists import CandidateLists
from offline.fusion.config import DqnFusion, LinUcbFusion
from offline.fusion.dqn import DqnPolicy
from offline.fusion.feedback import Reward, simulated
from offline.fusion.feedback_replay import TERMS, Environment, evaluate_policy, replay
from offline.fusion.fusion import Fusion
from offline.fusion.linucb import LinUcbPolicy
from offline.fusion.train_network import mean_ndcg, sample, split_lists
from offline.training.repeatable import repeatable

FALLBACK_COLUMNS = 6
LAST = 1000
"""rounds at the end of the replay whose reward is reported"""


@repeatable()
def train_bandit(
    config: LinUcbFusion | DqnFusion,
    lists: CandidateLists,
    *,
    seed: int,
    log: FilteringBoundLogger,
    reward: Reward | None = None,
) -> Fusion:
    """The policy trained by replaying the lists' outcomes, simulated ones if the lists have none.

    Raises ValueError if fewer than two viewers have a friendship in their list.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    reward = reward or Reward()
    training, validation = split_lists(lists, config.validation_share, random)
    policy = _policy(config, lists, random)
    model = policy.model
    model.standardised.fit(sample(training, random)[:, list(model.config.columns)])
    environment = Environment.of(model, training, _outcomes(training, random), reward)
    played = replay(policy, environment, config.rounds, random)
    shape = model.config
    fusion = Fusion(model.eval(), shape, lists.names)
    metrics = {f"replay_{name}": float(played[name][-LAST:].mean()) for name in TERMS}
    metrics |= {
        "ndcg20": mean_ndcg(fusion, validation),
        "rounds": float(config.rounds),
        "lists": float(len(environment)),
    }
    metrics |= evaluate_policy(model, Environment.of(model, validation, _outcomes(validation, random), reward))
    log.info("fusion_replayed", fusion=config.name, **{name: round(value, 4) for name, value in metrics.items()})
    return Fusion(model, shape, lists.names, metrics)


def _policy(
    config: LinUcbFusion | DqnFusion, lists: CandidateLists, random: np.random.Generator
) -> LinUcbPolicy | DqnPolicy:
    columns = lists.columns(config.columns).tolist() or list(range(min(FALLBACK_COLUMNS, len(lists.names))))
    shape = BlendingConfig(columns=tuple(columns), parts=config.parts, shown=config.shown, hidden=config.hidden)
    if isinstance(config, DqnFusion):
        return DqnPolicy(QNetwork(shape), config, random)
    wider = LinUcbConfig(**shape.model_dump(), representation=config.representation, ridge=config.ridge)
    return LinUcbPolicy(LinUcb(wider), config, random)


def _outcomes(lists: CandidateLists, random: np.random.Generator) -> NDArray[np.int8]:
    return simulated(lists, random) if lists.outcomes is None else lists.outcomes
