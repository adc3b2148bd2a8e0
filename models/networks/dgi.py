"""Deep graph infomax: embeddings that know their own graph from one whose people were shuffled, and nothing else."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.encoder import Encoder, EncoderShape, Joined
from models.networks.gcn import Convolutions


class DgiConfig(EncoderShape):
    """Shape of the encoder."""

    name: Literal["dgi"] = "dgi"


class Dgi(Encoder):
    """Graph convolutions, judged by a bilinear discriminator against the graph's summary (Velickovic and others 2019).

    The summary s is the sigmoid of the mean of all states h; h W s must be high where features stand on their own
    people and low where they were dealt out anew. No friendship beyond those passed over is told.
    """

    needs_labels = False

    def __init__(self, config: DgiConfig) -> None:
        super().__init__()
        self.config = config
        self.convolutions = Convolutions(config)
        self.joined = Joined(config, [config.hidden] * config.layers)
        self.discriminator = nn.Linear(config.outputs, config.outputs, bias=False)

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """As Encoder.raw; attributes of edges are not read."""
        joined: Tensor = self.joined(self.convolutions(features, edge_index))
        return joined

    def learning(
        self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings, and the cross-entropy of telling true states from those of shuffled people."""
        true = self.raw(features, edge_index, edge_attributes)
        dealt = torch.randperm(len(features), device=features.device)
        false = self.raw(features[dealt], edge_index, edge_attributes)
        summary = self.discriminator(torch.sigmoid(true.mean(dim=0)))
        loss = (functional.softplus(-(true @ summary)) + functional.softplus(false @ summary)).mean() / 2
        return functional.normalize(true, dim=1), loss

    def agreement(self, features: Tensor, edge_index: Tensor) -> Tensor:
        """(n,) logits: how surely each person's state belongs to this graph."""
        states = self.raw(features, edge_index, None)
        agreed: Tensor = states @ self.discriminator(torch.sigmoid(states.mean(dim=0)))
        return agreed
