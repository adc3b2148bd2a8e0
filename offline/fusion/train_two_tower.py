"""The night's ranker, trained by its own training, as one fusion among the others."""

import numpy as np
import torch
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger

from models.networks.fusion.tower import TowerHead
from models.networks.two_tower import TwoTower
from offline.fusion.candidate_lists import PAIR_INPUTS, CandidateLists
from offline.fusion.config import TwoTowerFusion
from offline.fusion.fusion import Fusion
from offline.ranker.train import candidate_vectors, train_ranker


class TowerFusion(Fusion):
    """Whole lists are scored with the towers, single candidates by the head alone."""

    @torch.no_grad()
    def of_lists(self, lists: CandidateLists) -> NDArray[np.float32]:
        """As Fusion.of_lists; raises ValueError where the lists come without what the towers read."""
        if lists.ranker is None:
            raise ValueError("two_tower scores lists that come with the ranker's inputs")
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
    """The ranker of these lists. Raises ValueError where they come without what it reads."""
    if lists.ranker is None or lists.names[: len(PAIR_INPUTS)] != list(PAIR_INPUTS):
        raise ValueError("two_tower learns from lists that come with the ranker's inputs")
    inputs = lists.ranker
    dials = config.ranker.model_copy(update={"seed": seed})
    trained = train_ranker(inputs.lists, inputs.people, inputs.statistics, inputs.prior, dials, log=log)
    head = TowerHead(trained.model.config)
    head.ranker = trained.model
    return TowerFusion(head.eval(), head.config, lists.names, trained.metrics)
