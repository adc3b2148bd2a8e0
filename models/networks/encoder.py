"""The base of every encoder: features and friendships in, one unit vector for each user out."""

import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import EncoderShape

START_SCALE = 0.1
"""scale of the random part of weights that start as the identity"""


class Encoder(nn.Module, ABC):
    """Embeddings (n, outputs) float32, rows L2-normalised.

    Of features (n, inputs), edges neighbour → person (2, m) int64, and attributes of the edges (m, edge_inputs) or
    None. An encoder defines in `raw` the vectors before normalisation, and in `learning` a loss of its own, if
    it has one.
    """

    needs_labels = True
    """whether friendships are labels of its training"""

    former_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    """how names of weights began in checkpoints of earlier releases, as regular expressions, and how they begin"""

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_rename_former_weights)

    def forward(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None = None) -> Tensor:
        """The embeddings."""
        return functional.normalize(self.raw(features, edge_index, edge_attributes), dim=1)

    @abstractmethod
    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """The embeddings (n, outputs) before normalisation."""

    def learning(
        self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings for a training step, and the encoder's own loss, if it has one."""
        return self(features, edge_index, edge_attributes), None


def _rename_former_weights(module: nn.Module, weights: Any, prefix: str, *_: object) -> None:
    """Brings the names of weights to be loaded up to date, in place."""
    names: tuple[tuple[str, str], ...] = getattr(module, "former_names", ())
    for name in [name for name in weights if name.startswith(prefix)]:
        for former, current in names:
            renamed = re.sub(f"^{former}", current, name.removeprefix(prefix))
            if prefix + renamed != name:
                weights[prefix + renamed] = weights.pop(name)
                break


class Joined(nn.Module):
    """One linear map of the input and every layer's output side by side.

    The direct path from the input keeps what message passing smooths away (jumping knowledge: Xu and others 2018). It
    starts as the identity on the carried columns, so that training improves an embedding that is good already.
    """

    def __init__(self, shape: EncoderShape, widths: list[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.inputs + sum(widths), shape.outputs)
        start, end = shape.carried_columns
        if not 0 <= start <= end <= shape.inputs:
            raise ValueError(f"carried columns {start} to {end} of {shape.inputs} inputs")
        carried = min(end - start, shape.outputs)
        if carried:
            with torch.no_grad():
                self.linear.weight.mul_(START_SCALE)
                self.linear.weight[:carried, start : start + carried] += torch.eye(carried)

    def forward(self, states: list[Tensor]) -> Tensor:
        """(n, outputs) of the input and the layers' outputs, each (n, width)."""
        joined: Tensor = self.linear(torch.cat(states, dim=1))
        return joined
