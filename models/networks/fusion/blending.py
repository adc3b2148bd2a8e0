"""Fusions that choose one of many blends of a few scores for a whole list, by what the blend would show."""

from abc import ABC, abstractmethod
from itertools import combinations_with_replacement

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.networks.fusion.standardised import Standardised


class BlendingConfig(BaseModel):
    """What is blended, and how finely."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[int, ...] = Field(min_length=1)
    """the columns of the features that are blended"""

    parts: int = Field(default=4, ge=1)
    """a blend gives each column so many of as many equal parts"""

    shown: int = Field(default=5, ge=1)
    """users at the head of a list by whom a blend is valued"""

    hidden: int = Field(default=32, ge=1)
    """width of the network's layers"""


def simplex(columns: int, parts: int) -> Tensor:
    """(A, columns) float32: every way to share `parts` equal parts among the columns, rows summing to 1."""
    ways = list(combinations_with_replacement(range(columns), parts))
    blends = torch.zeros(len(ways), columns)
    for way, taken in enumerate(ways):
        for column in taken:
            blends[way, column] += 1 / parts
    return blends


class Blending(nn.Module, ABC):
    """Scores blend · z(columns), z to a common scale and the blend the arm of the highest value for this list.

    An arm proposes the people whom its blend puts first; the proposal (S,) is their mean in each of the S columns, and
    a subclass computes the arm's value.
    """

    blends: Tensor

    def __init__(self, config: BlendingConfig) -> None:
        super().__init__()
        self.config = config
        self.standardised = Standardised(len(config.columns))
        self.register_buffer("blends", simplex(len(config.columns), config.parts))

    @abstractmethod
    def values(self, proposals: Tensor) -> Tensor:
        """(..., A, S) proposals of all arms → (..., A) the reward each is expected to bring."""

    def columns(self, features: Tensor) -> Tensor:
        """(..., C, F) features → (..., C, S) the columns blended, on a common scale."""
        return self.standardised(features[..., list(self.config.columns)])  # type: ignore[no-any-return]

    def forward(self, features: Tensor) -> Tensor:
        """(..., C, F) features of whole lists → (..., C) scores by the best arm of each list."""
        columns = self.columns(features)
        blended = self.blends @ columns.transpose(-1, -2)
        arm = self.values(self.proposals(columns, blended)).argmax(dim=-1)
        chosen = arm[..., None, None].expand(*arm.shape, 1, blended.shape[-1])
        return blended.gather(-2, chosen).squeeze(-2)

    def proposals(self, columns: Tensor, blended: Tensor) -> Tensor:
        """(..., C, S) columns and (..., A, C) what each arm makes of them → (..., A, S) what each arm would show."""
        shown = min(self.config.shown, columns.shape[-2])
        best = blended.topk(shown, dim=-1, sorted=False).indices
        arms, width = blended.shape[-2], columns.shape[-1]
        places = best.flatten(-2)[..., None].expand(*best.shape[:-2], arms * shown, width)
        heads: Tensor = columns.gather(-2, places).unflatten(-2, (arms, shown))
        return heads.mean(dim=-2)
