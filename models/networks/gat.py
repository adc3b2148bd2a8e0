"""Graph attention: the weight of each friend is learned from both users and the attributes of the friendship."""

from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GATv2Conv

from models.networks.config import EncoderShape, GatConfig
from models.networks.encoder import Encoder, Joined
from models.networks.neighbours import remove_generated_sources


class Gat(Encoder):
    """h_k = LayerNorm(ELU(GATv2(h_{k-1})) + h_{k-1}), h_0 a linear map of the features, then `Joined`.

    GATv2 (Brody, Alon, Yahav 2022): the weight of a neighbour j of i is the softmax over i's neighbours of
    a · LeakyReLU(W_l h_j + W_r h_i + W_e e_ij), e_ij the attributes of the friendship.
    """

    def __init__(self, config: GatConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Linear(config.inputs, config.hidden)
        self.convolutions = nn.ModuleList(attention(config) for _ in range(config.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(config.hidden) for _ in range(config.layers))
        self.joined = Joined(config, [config.hidden] * (config.layers + 1))

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """As Encoder.raw."""
        states = [features, self.first(features)]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            state = norm(functional.elu(convolution(states[-1], edge_index, edge_attributes)) + states[-1])
            states.append(functional.dropout(state, self.config.dropout, self.training))
        joined: Tensor = self.joined(states)
        return joined


def attention(config: EncoderShape) -> nn.Module:
    """One layer of attention from and to (n, hidden), by the heads of the configuration."""
    heads: int = getattr(config, "heads", 1)
    convolution = GATv2Conv(
        config.hidden,
        config.hidden // heads,
        heads=heads,
        edge_dim=config.edge_inputs or None,
        add_self_loops=False,
    )
    remove_generated_sources()
    return convolution  # type: ignore[no-any-return]
