"""The ranker: a query tower, a candidate tower, and a head over their product and the pair features."""

from itertools import pairwise

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional


class TwoTowerConfig(BaseModel):
    """Widths of the ranker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_inputs: int = Field(ge=1)
    """columns of a person's row: embedding, profile, statistics, activity"""

    pair_features: tuple[str, ...] = Field(min_length=1)
    """pair features kept in a block, by name"""

    extra_inputs: int = Field(ge=0)
    """inputs of the head derived beside them"""

    viewer_inputs: int = Field(ge=0)
    """statistics of the viewer that the head reads"""

    tower: tuple[int, ...] = (256, 128, 32)
    """widths of both towers; the last is the dimension of their product"""

    hidden: int = Field(default=32, ge=1)
    """first width of the head"""

    second: int = Field(default=16, ge=1)
    """second width of the head"""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """share of the towers' inputs silenced in training"""


class TwoTower(nn.Module):
    """Scores a viewer's candidates.

    query q = normalised(MLP_q(x_viewer)), candidate c = normalised(MLP_c(x_candidate)), both (d,); the head reads
    [q * c, kept features on two scales, extra inputs, viewer's statistics], passes two ReLU layers and adds a linear
    way past them. The two scales of a kept feature are absolute, and relative to the viewer's other candidates.
    `calibration` (4,) turns scores into probabilities (models.ranker.ranker.calibrated).
    """

    mean: Tensor
    scale: Tensor
    user_mean: Tensor
    user_scale: Tensor
    calibration: Tensor

    def __init__(self, config: TwoTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.query = _tower(config)
        self.candidate = _tower(config)
        product = config.tower[-1]
        pair = 2 * len(config.pair_features) + config.extra_inputs + config.viewer_inputs
        self.register_buffer("mean", torch.zeros(pair))
        self.register_buffer("scale", torch.ones(pair))
        self.register_buffer("user_mean", torch.zeros(config.user_inputs))
        self.register_buffer("user_scale", torch.ones(config.user_inputs))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.first = nn.Linear(product + pair, config.hidden)
        self.second = nn.Linear(config.hidden, config.second)
        self.last = nn.Linear(config.second, 1)
        self.past = nn.Linear(product + pair, 1, bias=False)

    def queries(self, users: Tensor) -> Tensor:
        """(u, inputs) rows of viewers → (u, d), L2-normalised."""
        return functional.normalize(self.query((users - self.user_mean) / self.user_scale), dim=-1)

    def candidates(self, users: Tensor) -> Tensor:
        """(u, inputs) rows of candidates → (u, d), L2-normalised."""
        return functional.normalize(self.candidate((users - self.user_mean) / self.user_scale), dim=-1)

    def forward(self, queries: Tensor | None, candidates: Tensor | None, pair: Tensor) -> Tensor:
        """Scores (u, m) of queries (u, d), candidates (u, m, d) and pair inputs (u, m, p) in the order above.

        Without queries and candidates the product is zero throughout.
        """
        if queries is None or candidates is None:
            product = pair.new_zeros((*pair.shape[:-1], self.config.tower[-1]))
        else:
            product = queries[:, None, :] * candidates * (candidates.shape[-1] ** 0.5)
        inputs = torch.cat([product, (pair - self.mean) / self.scale], dim=-1)
        hidden = functional.relu(self.first(inputs))
        hidden = functional.relu(self.second(hidden))
        scores: Tensor = (self.last(hidden) + self.past(inputs)).squeeze(-1)
        return scores


def _tower(config: TwoTowerConfig) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Dropout(config.dropout)]
    widths = (config.user_inputs, *config.tower)
    for at, (width, following) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(width, following))
        if at < len(config.tower) - 1:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)
