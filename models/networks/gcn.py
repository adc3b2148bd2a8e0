"""Graph convolutions: each layer smooths all states over the friendships."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import EncoderShape, GcnConfig
from models.networks.encoder import Encoder, Joined
from models.networks.neighbours import neighbour_matrix, smoothed


class Convolutions(nn.Module):
    """h_k = LayerNorm(ReLU(S h_{k-1} W_k)), h_0 the features, S = (D + I)^-1/2 (A + I) (D + I)^-1/2 (Kipf, Welling
    2017).

    PyG's `GCNConv` adds its bias after the smoothing, so that the weights of a checkpoint would mean something else; it
    takes 1.13 times as long over a CSR matrix and 10 times as long over edges (see models.networks.neighbours).
    """

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        widths = [shape.inputs] + [shape.hidden] * shape.layers
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(shape.hidden) for _ in range(shape.layers))
        self.dropout = shape.dropout

    def forward(self, features: Tensor, edge_index: Tensor) -> list[Tensor]:
        """The features and every layer's output, each (n, width)."""
        states, friends = [features], neighbour_matrix(edge_index, len(features), len(features))
        for linear, norm in zip(self.linears, self.norms, strict=True):
            state = norm(functional.relu(smoothed(linear(states[-1]), friends)))
            states.append(functional.dropout(state, self.dropout, self.training))
        return states


class Gcn(Encoder):
    """Convolutions, then `Joined`."""

    def __init__(self, config: GcnConfig) -> None:
        super().__init__()
        self.config = config
        self.convolutions = Convolutions(config)
        self.joined = Joined(config, [config.hidden] * config.layers)

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """As Encoder.raw; attributes of edges are not read."""
        joined: Tensor = self.joined(self.convolutions(features, edge_index))
        return joined
