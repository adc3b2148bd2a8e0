"""One network over all that is known of a candidate."""

from itertools import pairwise

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.networks.fusion.standardised import Standardised


class MlpConfig(BaseModel):
    """Widths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: int = Field(ge=1)
    """columns of the features"""

    hidden: tuple[int, ...] = Field(default=(64, 32), min_length=1)
    """widths of its layers"""


class Mlp(nn.Module):
    """ReLU layers over standardised features, and a linear map past them, which the network starts as."""

    def __init__(self, config: MlpConfig) -> None:
        super().__init__()
        self.config = config
        self.standardised = Standardised(config.inputs)
        layers: list[nn.Module] = []
        for width, following in pairwise((config.inputs, *config.hidden)):
            layers += [nn.Linear(width, following), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(config.hidden[-1], 1)
        self.past = nn.Linear(config.inputs, 1, bias=False)

    @torch.no_grad()
    def begin(self, rows: Tensor, weights: Tensor) -> None:
        """Takes the scale of (r, inputs) rows; scores by `weights` (inputs,) of the features alone."""
        self.standardised.fit(rows)
        self.past.weight[0] = weights * self.standardised.scale
        self.last.weight.zero_()
        self.last.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) → (...) scores."""
        inputs = self.standardised(features)
        scores: Tensor = (self.last(self.layers(inputs)) + self.past(inputs)).squeeze(-1)
        return scores
