"""Trains any fusion from its configuration."""

from structlog.typing import FilteringBoundLogger

from offline.fusion.candidate_lists import CandidateLists, RankerInputs
from offline.fusion.config import (
    PRODUCT,
    DqnFusion,
    FusionConfig,
    LinUcbFusion,
    TwoTowerFusion,
    WeightedAverageFusion,
    fusion_config,
)
from offline.fusion.fusion import Fusion

__all__ = ["PRODUCT", "CandidateLists", "Fusion", "FusionConfig", "RankerInputs", "fusion_config", "train_fusion"]


def train_fusion(config: FusionConfig, lists: CandidateLists, *, seed: int = 0, log: FilteringBoundLogger) -> Fusion:
    """The fusion that ranks the lists' friendships highest, by its own validation split.

    The same seed gives the same weights on one CPU thread. Raises ValueError if fewer than two viewers have a
    friendship in their list, and, for two_tower, if the lists lack the ranker's inputs.
    """
    if isinstance(config, TwoTowerFusion):
        from offline.fusion.train_two_tower import train_tower

        return train_tower(config, lists, seed=seed, log=log)
    if isinstance(config, LinUcbFusion | DqnFusion):
        from offline.fusion.train_bandit import train_bandit

        return train_bandit(config, lists, seed=seed, log=log)
    if isinstance(config, WeightedAverageFusion):
        from offline.fusion.train_weighted_average import train_weighted_average

        return train_weighted_average(config, lists, seed=seed, log=log)
    from offline.fusion.train_network import train_supervised

    return train_supervised(config, lists, seed=seed, log=log)
