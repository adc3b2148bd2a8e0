"""Trains the night's ranker as one fusion among the others."""

import numpy as np
import torch
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger

from models.networks.fusion.tower import TowerHead
from models.networks.two_tower import TwoTower
from offline.fusion.candidate_lists import CandidateLists, pair_input_names
from offline.fusion.config import TwoTowerFusion
from offline.fusion.fusion import Fusion
from offline.ranker.train import candidate_vectors, train_ranker


class TowerFusion(Fusion):
    """Scores whole lists with the towers, single candidates with the head alone."""

    @torch.no_grad()
    def of_lists(self, lists: CandidateLists) -> NDArray[np.float32]:
        """As Fusion.of_lists. Raises ValueError if the lists lack the towers' inputs."""
        if lists.ranker is None:
            raise ValueError("two_tower scores only lists with the ranker's inputs: build them with CandidateLists.of")
        ranker: TwoTower = self.model.ranker  # type: ignore[assignment]
        people = torch.from_numpy(lists.ranker.people)
        vectors, rows = candidate_vectors(ranker, people), lists.ranker.lists
        scores = np.empty(lists.valid.shape, np.float32)
        for start in range(0, len(lists), 64):
            part = rows.take(np.arange(start, min(start + 64, len(lists))))
            pair = torch.from_numpy(part.pair_inputs(lists.ranker.statistics))
            queries, candidates = ranker.queries(people[part.at_viewers]), vectors[part.at_candidates()]
            scores[start : start + 64] = ranker(queries, candidates, pair).numpy()
        return np.where(lists.valid, scores, np.float32(-np.inf))


def train_tower(config: TwoTowerFusion, lists: CandidateLists, *, seed: int, log: FilteringBoundLogger) -> TowerFusion:
    """The ranker trained on these lists. Raises ValueError if they lack its inputs."""
    inputs = lists.ranker
    expected = [] if inputs is None else list(pair_input_names(inputs.statistics.shape[1]))
    if inputs is None or lists.names[: len(expected)] != expected:
        raise ValueError("two_tower needs lists with the ranker's inputs: build them with CandidateLists.of")
    ranker_config = config.ranker.model_copy(update={"seed": seed})
    trained = train_ranker(inputs.lists, inputs.people, inputs.statistics, inputs.prior, ranker_config, log=log)
    head = TowerHead(trained.model.config)
    head.ranker = trained.model
    return TowerFusion(head.eval(), head.config, lists.names, trained.metrics)
