"""Attention over weekly snapshots, and an LSTM over the states of each."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import TemporalGatConfig
from models.networks.encoder import Encoder, Joined
from models.networks.gat import attention

LOG_WEEKS = 0
"""the edge attribute that holds ln(1 + weeks since the friendship was made)"""


class TemporalGat(Encoder):
    """In each of T snapshots h_k = LayerNorm(ELU(GATv2(h_{k-1})) + h_{k-1}); an LSTM reads the T states of a person.

    All snapshots pass at once, as T copies of the people side by side; a snapshot holds the friendships made in its
    week, the first also all older ones. Without attributes of the edges there is one snapshot. The friendships of the
    whole window pass through the same attention once more, so that older ones count as well.
    """

    def __init__(self, config: TemporalGatConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Linear(config.inputs, config.hidden)
        self.convolutions = nn.ModuleList(attention(config) for _ in range(config.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(config.hidden) for _ in range(config.layers))
        self.lstm = nn.LSTM(config.hidden, config.hidden, batch_first=True)
        self.joined = Joined(config, [config.hidden, config.hidden])

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """As Encoder.raw."""
        n, first = len(features), self.first(features)
        if edge_attributes is None or self.config.snapshots == 1:
            states = self._attended(first, edge_index, edge_attributes)[:, None, :]
            whole = states[:, 0]
        else:
            time, copies = self.snapshot_of(edge_attributes), self.config.snapshots
            copied = first.repeat(copies + 1, 1)
            side_by_side = torch.cat([edge_index + time * n, edge_index + copies * n], dim=1)
            attended = self._attended(copied, side_by_side, edge_attributes.repeat(2, 1))
            states = attended[: copies * n].view(copies, n, -1).transpose(0, 1)
            whole = attended[copies * n :]
        read, _ = self.lstm(states)
        last = functional.dropout(read[:, -1], self.config.dropout, self.training)
        joined: Tensor = self.joined([features, whole, last])
        return joined

    def snapshot_of(self, edge_attributes: Tensor) -> Tensor:
        """(m,) int64: the snapshot of each edge, the latest the last."""
        ago = torch.expm1(edge_attributes[:, LOG_WEEKS]) / self.config.weeks
        last = self.config.snapshots - 1
        return last - ago.clamp(0, last).long()

    def _attended(self, states: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            states = norm(functional.elu(convolution(states, edge_index, edge_attributes)) + states)
        return states
