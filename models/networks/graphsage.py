"""GraphSAGE: a person's embedding from their features and those of their friends."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import SAGEConv

from models.graph import Graph
from models.networks.config import GraphSageConfig
from models.networks.encoder import Encoder, Joined
from models.networks.neighbours import csr_matrix, degrees, largest, neighbour_matrix, remove_generated_sources

_AT_ONCE = 16_384
"""users whose neighbours an LSTM reads at a time, outside training"""


class Hops(NamedTuple):
    """How a sampled neighbourhood is ordered: people and edges by the hop in which they were first reached."""

    nodes: Sequence[int]
    """people of each hop, the seeds first; one more than there are layers"""
    edges: Sequence[int]
    """edges of each hop, those into the seeds first"""


class GraphSage(Encoder):
    """`SAGEConv` layers, then `Joined`.

    h_0 = x (n, inputs); h_k = LayerNorm(ReLU(W_k h_{k-1} + V_k aggregate over friends of h_{k-1})) (n, hidden);
    embedding = normalised(U [h_0, h_1, ... h_K]) (n, outputs) (Hamilton, Ying, Leskovec 2017). The maximum is over
    ReLU(P_k h_{k-1}), as the paper's pooling.
    """

    former_names: ClassVar = (
        (r"head\.", "joined.linear."),
        (r"own\.(\d+)\.weight", r"convolutions.\1.lin_r.weight"),
        (r"own\.(\d+)\.bias", r"convolutions.\1.lin_l.bias"),
        (r"others\.(\d+)\.", r"convolutions.\1.lin_l."),
        (r"aggregations\.(\d+)\.", r"convolutions.\1.aggregation."),
    )

    def __init__(self, config: GraphSageConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.inputs] + [config.hidden] * config.layers
        self.convolutions = nn.ModuleList(_Convolution(width, config) for width, _ in pairwise(widths))
        remove_generated_sources()
        self.norms = nn.ModuleList(nn.LayerNorm(config.hidden) for _ in range(config.layers))
        self.joined = Joined(config, widths[1:])

    def raw(self, features: Tensor, edge_index: Tensor, edge_attributes: Tensor | None) -> Tensor:
        """As Encoder.raw; attributes of edges are not read."""
        n = len(features)
        states, friends = [features], neighbour_matrix(edge_index, n, n)
        for number in range(self.config.layers):
            states.append(self.layer(number, states[-1], states[-1], friends))
        joined: Tensor = self.joined(states)
        return joined

    def of_seeds(self, features: Tensor, edge_index: Tensor, hops: Hops) -> Tensor:
        """Embeddings of the seeds of a sampled neighbourhood (seeds, outputs), as `forward`.

        Each layer computes only what the seeds need: of features (n, inputs), as much as reaches them.
        """
        layers = self.config.layers
        nodes, edges = list(accumulate(hops.nodes)), list(accumulate(hops.edges))
        hidden, seeds = features, nodes[0]
        states = [features[:seeds]]
        for number in range(layers):
            targets = nodes[layers - number - 1]
            friends = neighbour_matrix(edge_index[:, : edges[layers - number - 1]], targets, len(hidden))
            hidden = self.layer(number, hidden, hidden[:targets], friends)
            states.append(hidden[:seeds])
        return self.normalised(states)

    def layer(self, number: int, sources: Tensor, targets: Tensor, friends: Tensor) -> Tensor:
        """The next state (targets, hidden) from this one, `friends` being a CSR matrix (targets, sources)."""
        hidden = self.norms[number](functional.relu(self.convolutions[number]((sources, targets), friends)))
        return functional.dropout(hidden, self.config.dropout, self.training)

    def normalised(self, states: list[Tensor]) -> Tensor:
        """Embeddings from the input and every layer's output."""
        return functional.normalize(self.joined(states), dim=1)


class _Convolution(SAGEConv):
    """lin_r of the person's own state plus lin_l of the aggregate of the neighbours'."""

    def __init__(self, width: int, config: GraphSageConfig) -> None:
        kinds: dict[str, type[nn.Module] | None] = {"mean": None, "max": _Largest, "lstm": _Recurrent}
        kind = kinds[config.aggregation]
        super().__init__((width if kind is None else config.hidden, width), config.hidden)
        self.aggregation = None if kind is None else kind(width, config)

    def message_and_aggregate(self, friends: Tensor, x: tuple[Tensor, Tensor]) -> Tensor:
        """(targets, d) of the sources' states x[0]."""
        if self.aggregation is not None:
            return self.aggregation(x[0], friends)  # type: ignore[no-any-return]
        with torch.autocast(x[0].device.type, enabled=False):
            return super().message_and_aggregate(friends, (x[0].float(), x[1]))  # type: ignore[no-any-return]


class _Largest(nn.Module):
    """The maximum over the neighbours, each passed through a linear map and a ReLU."""

    def __init__(self, width: int, config: GraphSageConfig) -> None:
        super().__init__()
        self.pool = nn.Linear(width, config.hidden)

    def forward(self, states: Tensor, friends: Tensor) -> Tensor:
        """(targets, hidden) of states (sources, width)."""
        return largest(functional.relu(self.pool(states)), friends)


class _Recurrent(nn.Module):
    """The last state of an LSTM that reads a few neighbours one after the other."""

    def __init__(self, width: int, config: GraphSageConfig) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, config.hidden)
        self.lstm = nn.LSTM(config.hidden, config.hidden, batch_first=True)
        self.most = config.neighbours

    def forward(self, states: Tensor, friends: Tensor) -> Tensor:
        """(targets, hidden) of states (sources, width), zero without neighbours."""
        read = states.new_zeros((friends.shape[0], self.lstm.hidden_size))
        people, drawn, counts = self._drawn(friends)
        if not len(people):
            return read
        narrowed = self.narrow(states)
        # gradients need all states at once; without them memory is bounded
        for part in torch.arange(len(people), device=states.device).split(len(people) if self.training else _AT_ONCE):
            hidden, _ = self.lstm(narrowed[drawn[part]])
            last = hidden[torch.arange(len(part), device=states.device), counts[part] - 1]
            read = read.index_copy(0, people[part], last.to(read.dtype))
        return read

    def _drawn(self, friends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """People with neighbours (p,), the neighbours read (p, k), of which the first (p,) are meant."""
        source, counts = friends.col_indices(), degrees(friends)
        if self.training:
            target = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
            shuffled = torch.randperm(len(source), device=source.device)
            source = source[shuffled][torch.argsort(target[shuffled], stable=True)]
        starts = torch.cumsum(counts, 0) - counts
        people = torch.nonzero(counts).squeeze(1)
        starts, counts = starts[people], counts[people]
        drawn = counts.clamp(max=self.most)
        steps = torch.arange(int(drawn.max()) if len(drawn) else 0, device=counts.device)
        places = torch.minimum(steps * counts[:, None] // drawn[:, None], counts[:, None] - 1)
        return people, source[starts[:, None] + places], drawn


def without_positions_of_the_friendless(features: Tensor, graph: Graph, structural_columns: tuple[int, int]) -> Tensor:
    """The features (n, f) with zeros in the structural columns of people without friends: they have no position."""
    placed = features.clone()
    start, end = structural_columns
    placed[torch.from_numpy(graph.degrees == 0).to(features.device), start:end] = 0
    return placed


class RowShards(Protocol):
    """Processes that share the rows of one computation."""

    def own(self, n: int) -> slice:
        """The part of n rows that this process has."""

    def whole(self, own: Tensor, n: int) -> Tensor:
        """All n rows (n, ...) from every process's own part (p, ...), in every process."""


class AllRows:
    """RowShards of a process alone: its part is the whole."""

    def own(self, n: int) -> slice:
        """All rows."""
        return slice(0, n)

    def whole(self, own: Tensor, n: int) -> Tensor:
        """The same rows."""
        return own


@torch.no_grad()
def embed_everybody(
    model: GraphSage, features: Tensor, graph: Graph, *, batch: int = 65_536, shards: RowShards | None = None
) -> Tensor:
    """Embeddings (n, outputs) float32 of all users from all their friends, on the CPU, rows L2-normalised.

    Layer by layer over the whole graph, `batch` people at a time, so that memory is bounded by three states of
    (n, hidden) and nothing is computed twice. Equals `forward` over the whole graph of features in which people
    without friends have zeros in the structural columns, whatever `features` holds there. Processes that call this
    with the same arguments and `shards` compute each layer for a part of the users, exchange the parts, and all return
    the embeddings of everybody.
    """
    shards = AllRows() if shards is None else shards
    device, own = next(model.parameters()).device, shards.own(graph.n)
    model.eval()
    indptr, indices = torch.from_numpy(graph.indptr), torch.from_numpy(graph.indices)
    states = [without_positions_of_the_friendless(features, graph, model.config.structural_columns).to(device)]
    starts = range(own.start, own.stop, batch)
    for number in range(model.config.layers):
        state = states[-1]
        rows = torch.empty((own.stop - own.start, model.config.hidden), device=device)
        for start in starts:
            end = min(start + batch, own.stop)
            bounds = indptr[start : end + 1]
            neighbours = indices[int(bounds[0]) : int(bounds[-1])].long().to(device)
            friends = csr_matrix((bounds - bounds[0]).to(device), neighbours, end - start, graph.n)
            rows[start - own.start : end - own.start] = model.layer(number, state, state[start:end], friends)
        states.append(shards.whole(rows, graph.n))
    embeddings = torch.empty((own.stop - own.start, model.config.outputs), device=device)
    for start in starts:
        end = min(start + batch, own.stop)
        embeddings[start - own.start : end - own.start] = model.normalised([state[start:end] for state in states])
    return shards.whole(embeddings, graph.n).cpu()
