"""A mixture of experts: several scores, and a gate that weighs them."""

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from models.networks.fusion.standardised import Standardised


class ExpertsConfig(BaseModel):
    """Widths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: int = Field(ge=1)
    """columns of the features"""

    experts: int = Field(default=3, ge=2)
    """networks whose scores are weighed"""

    hidden: int = Field(default=32, ge=1)
    """width of an expert's layer"""

    gate: int = Field(default=16, ge=1)
    """width of the gate's layer"""


class Experts(nn.Module):
    """Scores sum_e g_e(x) f_e(x), g a softmax over all experts, dense: all are computed (Jacobs and others 1991).

    Each expert is one ReLU layer with a linear way past it. All experts are one product, so that three cost as much
    as one of their joint width.
    """

    def __init__(self, config: ExpertsConfig) -> None:
        super().__init__()
        self.config = config
        self.standardised = Standardised(config.inputs)
        self.first = nn.Linear(config.inputs, config.experts * config.hidden)
        self.last = nn.Parameter(torch.zeros(config.experts, config.hidden))
        self.past = nn.Linear(config.inputs, config.experts)
        self.gate = nn.Sequential(
            nn.Linear(config.inputs, config.gate), nn.ReLU(), nn.Linear(config.gate, config.experts)
        )

    @torch.no_grad()
    def begin(self, rows: Tensor, weights: Tensor) -> None:
        """Takes the scale of (r, inputs) rows; every expert scores by `weights` (inputs,) of the features alone."""
        self.standardised.fit(rows)
        self.past.weight.copy_((weights * self.standardised.scale).expand_as(self.past.weight))
        self.past.bias.zero_()
        self.last.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) → (...) scores."""
        return self.gated(features)[0]

    def gated(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (...) and the gate's logarithms (..., experts)."""
        inputs = self.standardised(features)
        hidden = functional.relu(self.first(inputs)).unflatten(-1, (self.config.experts, self.config.hidden))
        scores = (hidden * self.last).sum(dim=-1) + self.past(inputs)
        gate = functional.log_softmax(self.gate(inputs), dim=-1)
        return (gate.exp() * scores).sum(dim=-1), gate


def entropy(gate: Tensor) -> Tensor:
    """(...) entropy of (..., experts) logarithms of shares, over that of equal shares: 1 all alike, 0 one alone."""
    return -(gate.exp() * gate).sum(dim=-1) / math.log(gate.shape[-1])
