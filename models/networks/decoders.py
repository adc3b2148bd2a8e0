"""What is read from embeddings: one score of two, and the columns of a profile that the embedding did not see."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import DecoderConfig, DotConfig, MlpDecoderConfig


class Dot(nn.Module):
    """(m,) inner products of the embeddings (m, d) of two people each."""

    def __init__(self, config: DotConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The scores."""
        return (first * second).sum(dim=-1)


class MlpDecoder(nn.Module):
    """(m,) scores, the same for (a, b) and (b, a): a layer over a * b and |a - b|, and a linear way past it.

    Begins as a multiple of the inner product, so that training mends an order that is good already.
    """

    def __init__(self, config: MlpDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Linear(2 * config.outputs, config.hidden)
        self.last = nn.Linear(config.hidden, 1)
        self.past = nn.Linear(config.outputs, 1, bias=False)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.past.weight, 10.0)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The scores of embeddings (..., d) and (..., d)."""
        product = first * second
        hidden = torch.relu(self.first(torch.cat([product, (first - second).abs()], dim=-1)))
        scores: Tensor = (self.last(hidden) + self.past(product)).squeeze(-1)
        return scores


def decoder_of(config: DecoderConfig) -> Dot | MlpDecoder:
    """The decoder of a configuration."""
    return MlpDecoder(config) if isinstance(config, MlpDecoderConfig) else Dot(config)


class ProfileTarget(BaseModel):
    """One column that is predicted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    """its name"""

    kind: Literal["one", "several"]
    """one value a person, or a set of values"""

    values: int = Field(ge=1)
    """how many there are"""


class ProfileHead(nn.Module):
    """A linear map for each column: softmax over its values, or a sigmoid for each value of a set."""

    def __init__(self, inputs: int, targets: tuple[ProfileTarget, ...]) -> None:
        super().__init__()
        self.targets = targets
        self.linears = nn.ModuleList(nn.Linear(inputs, target.values) for target in targets)

    def forward(self, embeddings: Tensor) -> list[Tensor]:
        """Logits (m, values) by column, of embeddings (m, inputs)."""
        scale = embeddings.shape[1] ** 0.5  # rows have length one
        return [linear(embeddings * scale) for linear in self.linears]

    def loss(self, embeddings: Tensor, labels: list[Tensor]) -> Tensor:
        """The mean over columns of the cross-entropy, of embeddings (m, inputs) and each user's values.

        `labels` are by column (m,) int64 codes, -1 if empty, or (m, values) of 0 and 1, all 0 if empty.
        """
        losses = [embeddings.sum() * 0]
        for target, logits, wanted in zip(self.targets, self(embeddings), labels, strict=True):
            if target.kind == "one":
                known = wanted >= 0
                if known.any():
                    losses.append(functional.cross_entropy(logits[known], wanted[known]))
            else:
                known = wanted.any(dim=1)
                if known.any():
                    losses.append(functional.binary_cross_entropy_with_logits(logits[known], wanted[known]))
        return torch.stack(losses).sum() / max(len(losses) - 1, 1)
