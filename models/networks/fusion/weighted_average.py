"""The simplest fusion: two scores and how much of each."""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.networks.fusion.standardised import Standardised


class WeightedAverageConfig(BaseModel):
    """Which columns make the two scores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: int = Field(ge=1)
    """columns of the features"""

    product: int = Field(ge=0)
    """the column that is the first score"""

    cheap: tuple[float, ...] = Field(min_length=1)
    """(inputs,) weights of the columns in the second score, which is not learned"""


class WeightedAverage(nn.Module):
    """share z(product) + (1 - share) z(features · prerank weights), share the one learned number, z a common scale."""

    cheap: Tensor

    def __init__(self, config: WeightedAverageConfig) -> None:
        super().__init__()
        if len(config.cheap) != config.inputs or config.product >= config.inputs:
            raise ValueError(f"{len(config.cheap)} weights and column {config.product} of {config.inputs} inputs")
        self.config = config
        self.standardised = Standardised(2)
        self.share = nn.Parameter(torch.tensor(0.5))
        """0-1"""
        self.register_buffer("cheap", torch.tensor(config.cheap))

    def fit(self, rows: Tensor) -> None:
        """Puts both scores on the scale that they have over (r, inputs) rows."""
        self.standardised.fit(self._both(rows))

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) → (...) scores."""
        scores: Tensor = self.standardised(self._both(features)) @ torch.stack([self.share, 1 - self.share])
        return scores

    def _both(self, features: Tensor) -> Tensor:
        return torch.stack([features[..., self.config.product], features @ self.cheap], dim=-1)
