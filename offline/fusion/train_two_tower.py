"""Trains the night's ranker as one fusion among the others."""

from structlog.typing import FilteringBoundLogger

from models.networks.fusion.tower import TowerHead
from offline.fusion.candidate_lists import CandidateLists, pair_input_names
from offline.fusion.config import TwoTowerFusion
from offline.fusion.fusion import Fusion
from offline.ranker.train import train_ranker


def train_tower(config: TwoTowerFusion, lists: CandidateLists, *, seed: int, log: FilteringBoundLogger) -> Fusion:
    """The ranker trained on these lists. Raises ValueError if they lack its inputs."""
    inputs = lists.ranker
    expected = [] if inputs is None else list(pair_input_names(inputs.statistics.shape[1]))
    if inputs is None or lists.names[: len(expected)] != expected:
        raise ValueError("two_tower needs lists with the ranker's inputs: build them with CandidateLists.of")
    ranker_config = config.ranker.model_copy(update={"seed": seed})
    trained = train_ranker(inputs.lists, inputs.statistics, inputs.prior, ranker_config, log=log)
    head = TowerHead(trained.model.config)
    head.ranker = trained.model
    return Fusion(head.eval(), head.config, lists.names, trained.metrics)
