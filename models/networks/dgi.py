"""Deep graph infomax: embeddings that tell the graph from one whose features were shuffled among users."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import DeepGraphInfomax

from models.networks.config import DgiConfig
from models.networks.encoder import Encoder, Joined
from models.networks.gcn import Convolutions


class Dgi(Encoder):
    """Graph convolutions, trained by PyG's `DeepGraphInfomax` (Velickovic and others 2019).

    The summary s is the sigmoid of the mean of all states h; h W s must be high for users with their own
    features and low after features were shuffled. Labels are not used.
    """

    needs_labels = False
    former_names: ClassVar = ((r"discriminator\.", "infomax."),)

    def __init__(self, config: DgiConfig) -> None:
        super().__init__()
        self.config = config
        self.convolutions = Convolutions(config)
        self.joined = Joined(config, [config.hidden] * config.layers)
        self.infomax = DeepGraphInfomax(config.outputs, self._states, _summary, _shuffled)

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """As Encoder.raw; attributes of edges are not read."""
        return self._states(features, edge_index)

    def learning(
        self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings, and the cross-entropy of telling true states from those of shuffled people."""
        true, false, summary = self.infomax(features, edge_index)
        with torch.autocast(true.device.type, enabled=False):
            loss = self.infomax.loss(true.float(), false.float(), summary.float()) / 2
        return functional.normalize(true, dim=1), loss

    def agreement(self, features: Tensor, edge_index: Tensor) -> Tensor:
        """(n,) logits: how surely each person's state belongs to this graph."""
        states = self._states(features, edge_index)
        agreed: Tensor = self.infomax.discriminate(states, _summary(states), sigmoid=False)
        return agreed

    def _states(self, features: Tensor, edge_index: Tensor) -> Tensor:
        joined: Tensor = self.joined(self.convolutions(features, edge_index))
        return joined


def _summary(states: Tensor, *_: Tensor) -> Tensor:
    """(d,) of states (n, d)."""
    return torch.sigmoid(states.mean(dim=0))


def _shuffled(features: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
    """The same friendships with the features shuffled among users."""
    return features[torch.randperm(len(features), device=features.device)], edge_index
