"""LightGCN: each user's own vector, smoothed over the friendships."""

import warnings

import torch
from torch import Tensor, nn
from torch_geometric.nn import LGConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from models.networks.config import LightGcnConfig
from models.networks.encoder import START_SCALE, Encoder
from models.networks.neighbours import neighbour_matrix, remove_generated_sources


class LightGcn(Encoder):
    """The mean of E, S E, ... S^layers E, S = D^-1/2 A D^-1/2 (He and others 2020).

    E is the input if it has the width of an embedding, as the table of an identity does, else a linear map of
    it. There is nothing else to learn. S is applied by PyG's `LGConv`.
    """

    def __init__(self, config: LightGcnConfig) -> None:
        super().__init__()
        self.config = config
        self.convolution = LGConv(normalize=False)
        remove_generated_sources()
        same = config.inputs == config.outputs
        self.first: nn.Module = nn.Identity()
        if not same:
            first = nn.Linear(config.inputs, config.outputs, bias=False)
            start, end = config.carried_columns
            carried = min(end - start, config.outputs)
            if carried:
                with torch.no_grad():
                    first.weight.mul_(START_SCALE)
                    first.weight[:carried, start : start + carried] += torch.eye(carried)
            self.first = first

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """As Encoder.raw; attributes of edges are not read."""
        state: Tensor = self.first(features)
        total, friends = state, neighbour_matrix(edge_index, len(state), len(state))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of torch, that CSR is in beta
            friends, _ = gcn_norm(friends, None, len(state), improved=False, add_self_loops=False)
        with torch.autocast(state.device.type, enabled=False):
            for _ in range(self.config.layers):
                state = self.convolution(state.float(), friends)
                total = total + state
        return total / (self.config.layers + 1)
