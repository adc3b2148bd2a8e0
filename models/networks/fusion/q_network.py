"""A Q-network over blends."""

import torch
from torch import Tensor, nn

from models.networks.fusion.blending import Blending, BlendingConfig


class QNetwork(Blending):
    """Value Q(proposal, blend): two ReLU layers over what the arm would show and what the arm is."""

    def __init__(self, config: BlendingConfig) -> None:
        super().__init__(config)
        width = 2 * len(config.columns)
        self.layers = nn.Sequential(
            nn.Linear(width, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 1),
        )

    def values(self, proposals: Tensor) -> Tensor:
        """(..., A, S) → (..., A)."""
        return self.of_arms(proposals, self.blends.expand_as(proposals))

    def of_arms(self, proposals: Tensor, blends: Tensor) -> Tensor:
        """(..., S) proposals of arms with these blends (..., S) → (...)."""
        values: Tensor = self.layers(torch.cat([proposals, blends], dim=-1)).squeeze(-1)
        return values
