"""The head of the ranker: a small network over the inputs of a viewer and a candidate."""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional


class RankerHeadConfig(BaseModel):
    """Widths of the head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair_features: tuple[str, ...] = Field(min_length=1)
    """pair features, by name"""

    extra_inputs: int = Field(ge=0)
    """inputs derived beside them"""

    viewer_inputs: int = Field(ge=0)
    """statistics of the viewer"""

    hidden: int = Field(default=32, ge=1)
    """first width"""

    second: int = Field(default=16, ge=1)
    """second width"""


class RankerHead(nn.Module):
    """Scores a viewer's candidates.

    Reads [pair features on two scales, extra inputs, viewer's statistics], passes two ReLU layers and adds a linear
    way past them. The two scales of a pair feature are absolute, and relative to the viewer's other candidates. One
    of the pair features is the product of the towers, which have no weights of their own (models.version.towers).
    `calibration` (4,) turns scores into probabilities (models.ranker.ranker.Ranker.calibrated).
    """

    mean: Tensor
    scale: Tensor
    calibration: Tensor

    def __init__(self, config: RankerHeadConfig) -> None:
        super().__init__()
        self.config = config
        pair = 2 * len(config.pair_features) + config.extra_inputs + config.viewer_inputs
        self.register_buffer("mean", torch.zeros(pair))
        self.register_buffer("scale", torch.ones(pair))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.first = nn.Linear(pair, config.hidden)
        self.second = nn.Linear(config.hidden, config.second)
        self.last = nn.Linear(config.second, 1)
        self.past = nn.Linear(pair, 1, bias=False)

    def forward(self, pair: Tensor) -> Tensor:
        """(..., p) pair inputs in the order above → (...) scores."""
        inputs = (pair - self.mean) / self.scale
        hidden = functional.relu(self.first(inputs))
        hidden = functional.relu(self.second(hidden))
        scores: Tensor = (self.last(hidden) + self.past(inputs)).squeeze(-1)
        return scores
