"""Inputs on a common scale, kept with the weights."""

import torch
from torch import Tensor, nn


class Standardised(nn.Module):
    """(..., F) inputs less their mean, in standard deviations: what was fitted, whatever is scored."""

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))

    def fit(self, rows: Tensor) -> None:
        """Learns mean and scale from (r, F) rows; a column that never changes keeps its scale."""
        spread, mean = torch.std_mean(rows, dim=0, unbiased=False)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(spread > 1e-4, spread, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., F) → (..., F)."""
        return (inputs - self.mean) / self.scale
