"""How well GraphSAGE ranks friendships that it was not trained on."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader

from models.graph import Graph
from models.networks.graphsage import GraphSage
from offline.encoders.neighbour_sampler import CsrNeighbourSampler
from offline.encoders.validation import HeldOutRanking


class Validation:
    """`HeldOutRanking` by embeddings from sampled neighbourhoods, the same at every evaluation."""

    def __init__(
        self,
        table: Data,
        sampler: CsrNeighbourSampler,
        known: Graph,
        pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
        *,
        seed: int,
        candidates: int = 5_000,
    ) -> None:
        self._ranking = HeldOutRanking(known, pairs, seed=seed, candidates=candidates)
        people = torch.from_numpy(self._ranking.people)
        self._loader = NodeLoader(table, sampler, input_nodes=people, batch_size=2_048)

    @property
    def pairs(self) -> int:
        """Friendships that are ranked."""
        return self._ranking.pairs

    @torch.no_grad()
    def metrics(self, model: GraphSage) -> dict[str, float]:
        """As HeldOutRanking.metrics."""
        if not self.pairs:
            return {}
        model.eval()
        device = next(model.parameters()).device
        embeddings = torch.cat(
            [
                model(batch.x, batch.edge_index, batch.num_sampled_nodes, batch.num_sampled_edges)
                for batch in (one.to(device) for one in self._loader)
            ]
        )
        return self._ranking.metrics(embeddings)
