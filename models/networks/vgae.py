"""A variational graph autoencoder: friends and masked features are predicted from a user's normal distribution."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import VgaeConfig
from models.networks.encoder import Encoder, Joined
from models.networks.gcn import Convolutions

_EDGES = 8192
"""friendships, and as many random pairs, that a step reconstructs"""
_WIDEST = 4.0
"""largest logarithm of a standard deviation"""


class Vgae(Encoder):
    """z ~ N(mean, deviation^2), both from graph convolutions; the embedding is the mean (Kipf, Welling 2016).

    The features of a share of users are replaced by a learned token and predicted from z (GraphMAE: Hou and others
    2022). PyG's `VGAE` predicts every edge instead of a sample and has no divergence per
    dimension: its losses take 19 times as long (5,000 people, 200,000 edges, one thread).
    """

    def __init__(self, config: VgaeConfig) -> None:
        super().__init__()
        self.config = config
        self.convolutions = Convolutions(config)
        widths = [config.hidden] * config.layers
        self.mean = Joined(config, widths)
        self.log_deviation = nn.Linear(config.hidden, config.outputs)
        nn.init.constant_(self.log_deviation.bias, -2.0)
        self.token = nn.Parameter(torch.zeros(config.inputs))
        self.features = nn.Linear(config.outputs, config.inputs)

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """The means; attributes of edges are not read."""
        mean: Tensor = self.mean(self.convolutions(features, edge_index))
        return mean

    def learning(
        self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings drawn from the distributions, and divergence, edges and masked features as one loss."""
        config = self.config
        masked = torch.rand(len(features), device=features.device) < config.masked_share
        states = self.convolutions(torch.where(masked[:, None], self.token, features), edge_index)
        mean = self.mean(states)
        log_deviation = self.log_deviation(states[-1]).clamp(max=_WIDEST)
        z = mean + torch.randn_like(mean) * log_deviation.exp()
        divergence = 0.5 * (mean.square() + (2 * log_deviation).exp() - 1 - 2 * log_deviation).mean()
        features_loss = functional.mse_loss(self.features(z[masked]), features[masked]) if masked.any() else z.sum() * 0
        edges = self._edge_loss(z, edge_index)
        loss = config.kl_weight * divergence + config.edge_weight * edges + config.feature_weight * features_loss
        return functional.normalize(z, dim=1), loss

    def reconstructed(self, features: Tensor, edge_index: Tensor) -> Tensor:
        """(n, inputs): the features predicted for each user, whose own are masked.

        Users are masked a share at a time, so that no user's own features are read for the prediction of them.
        """
        parts = max(round(1 / max(self.config.masked_share, 0.05)), 2)
        predicted = torch.empty_like(features)
        part_of = torch.arange(len(features), device=features.device) % parts
        for part in range(parts):
            masked = part_of == part
            means = self.raw(torch.where(masked[:, None], self.token, features), edge_index, None)
            predicted[masked] = self.features(means[masked])
        return predicted

    @staticmethod
    def _edge_loss(z: Tensor, edge_index: Tensor) -> Tensor:
        if not edge_index.shape[1]:
            return z.sum() * 0
        drawn = edge_index[:, torch.randint(edge_index.shape[1], (_EDGES,), device=z.device)]
        random = torch.randint(len(z), (2, _EDGES), device=z.device)
        unit = functional.normalize(z, dim=1)
        friends, strangers = ((unit[a] * unit[b]).sum(dim=1) * 5 for a, b in (drawn, random))
        return (functional.softplus(1 - friends) + functional.softplus(strangers - 1)).mean()
