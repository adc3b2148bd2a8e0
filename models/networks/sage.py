"""GraphSAGE over a whole graph or a sampled one, by mean, maximum or LSTM of the neighbours."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.networks.encoder import Encoder, EncoderShape, Joined
from models.networks.neighbours import averaged, largest

_AT_ONCE = 16_384
"""people whose neighbours an LSTM reads at a time, outside training"""


class SageConfig(EncoderShape):
    """Shape of the encoder; the night's own is models.networks.graphsage."""

    name: Literal["graphsage"] = "graphsage"

    aggregation: Literal["mean", "max", "lstm"] = "mean"
    """what is made of a person's neighbours"""

    neighbours: int = Field(default=8, ge=1)
    """neighbours that the LSTM reads; in training drawn anew each time, else evenly spaced"""


class Sage(Encoder):
    """h_k = LayerNorm(ReLU(W_k h_{k-1} + V_k aggregate of h_{k-1} over friends)), h_0 the features, then `Joined`.

    The maximum is over ReLU(P_k h_{k-1}), as the paper's pooling (Hamilton, Ying, Leskovec 2017).
    """

    def __init__(self, config: SageConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.inputs] + [config.hidden] * config.layers
        kinds = {"mean": _Mean, "max": _Largest, "lstm": _Recurrent}
        kind = kinds[config.aggregation]
        self.aggregations = nn.ModuleList(kind(width, config) for width in widths[:-1])
        heard = [width if config.aggregation == "mean" else config.hidden for width in widths[:-1]]
        self.own = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.others = nn.ModuleList(nn.Linear(width, config.hidden, bias=False) for width in heard)
        self.norms = nn.ModuleList(nn.LayerNorm(config.hidden) for _ in range(config.layers))
        self.joined = Joined(config, widths[1:])

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """As Encoder.raw; attributes of edges are not read."""
        heard = [features]
        layers = zip(self.aggregations, self.own, self.others, self.norms, strict=True)
        for aggregation, own, others, norm in layers:
            state = own(heard[-1]) + others(aggregation(heard[-1], edge_index))
            heard.append(functional.dropout(norm(functional.relu(state)), self.config.dropout, self.training))
        joined: Tensor = self.joined(heard)
        return joined


class _Mean(nn.Module):
    def __init__(self, width: int, config: SageConfig) -> None:
        super().__init__()

    def forward(self, states: Tensor, edge_index: Tensor) -> Tensor:
        return averaged(states, edge_index)


class _Largest(nn.Module):
    def __init__(self, width: int, config: SageConfig) -> None:
        super().__init__()
        self.pool = nn.Linear(width, config.hidden)

    def forward(self, states: Tensor, edge_index: Tensor) -> Tensor:
        return largest(functional.relu(self.pool(states)), edge_index)


class _Recurrent(nn.Module):
    """The last state of an LSTM that reads a few neighbours one after the other."""

    def __init__(self, width: int, config: SageConfig) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, config.hidden)
        self.lstm = nn.LSTM(config.hidden, config.hidden, batch_first=True)
        self.most = config.neighbours

    def forward(self, states: Tensor, edge_index: Tensor) -> Tensor:
        read = states.new_zeros((len(states), self.lstm.hidden_size))
        people, friends, counts = self._drawn(edge_index, len(states))
        if not len(people):
            return read
        narrowed = self.narrow(states)
        # gradients need all states at once; without them memory is bounded
        for part in torch.arange(len(people), device=states.device).split(len(people) if self.training else _AT_ONCE):
            hidden, _ = self.lstm(narrowed[friends[part]])
            last = hidden[torch.arange(len(part), device=states.device), counts[part] - 1]
            read = read.index_copy(0, people[part], last.to(read.dtype))
        return read

    def _drawn(self, edge_index: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """People with neighbours (p,), the neighbours read (p, k), of which the first (p,) are meant."""
        source, target = edge_index
        if self.training:
            shuffled = torch.randperm(len(target), device=target.device)
            source, target = source[shuffled], target[shuffled]
        order = torch.argsort(target, stable=True)
        source, degrees = source[order], torch.bincount(target, minlength=n)
        starts = torch.cumsum(degrees, 0) - degrees
        people = torch.nonzero(degrees).squeeze(1)
        starts, degrees = starts[people], degrees[people]
        counts = degrees.clamp(max=self.most)
        width = int(counts.max()) if len(counts) else 0
        steps = torch.arange(width, device=target.device)
        places = torch.minimum(steps * degrees[:, None] // counts[:, None], degrees[:, None] - 1)
        return people, source[starts[:, None] + places], counts
