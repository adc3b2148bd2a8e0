"""GraphSAGE: a person's embedding from their features and those of sampled friends."""

import warnings
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import SAGEConv

from models.graph import Graph
from models.networks.generated_sources import remove_generated_sources

_START_SCALE = 0.1


class GraphSageConfig(BaseModel):
    """Shape of the encoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: int = Field(ge=1)
    """columns of the feature matrix"""

    hidden: int = Field(default=128, ge=1)
    """width between the layers"""

    outputs: int = Field(default=128, ge=1)
    """dimension of an embedding"""

    layers: int = Field(default=2, ge=1, le=4)
    """rounds of message passing: how many steps away a person is heard"""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """share of hidden units silenced in a training step"""

    structural_columns: tuple[int, int] = (0, 0)
    """first and one past the last of the input columns that come from the graph: zero for people without friends"""

    carried_columns: tuple[int, int] = (0, 0)
    """first and one past the last of the input columns that the embedding begins as, before any training: coordinates
    of the graph, the most telling first; cut at `outputs`"""


class GraphSage(nn.Module):
    """`SAGEConv` layers, then one linear map of the input and every layer's output, L2-normalised.

    h_0 = x (n, inputs); h_k = LayerNorm(ReLU(W_k h_{k-1} + V_k mean over friends of h_{k-1})) (n, hidden);
    embedding = normalised(U [h_0, h_1, ... h_K]) (n, outputs). The direct way from the input keeps what a mean over
    friends blurs (Hamilton, Ying, Leskovec 2017; jumping knowledge: Xu and others 2018). U starts as the identity on
    the carried columns, so that training mends an embedding that is good already.
    """

    def __init__(self, config: GraphSageConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.inputs] + [config.hidden] * config.layers
        self.convolutions = nn.ModuleList(SAGEConv(a, b) for a, b in pairwise(widths))
        remove_generated_sources()
        self.norms = nn.ModuleList(nn.LayerNorm(config.hidden) for _ in range(config.layers))
        self.head = nn.Linear(sum(widths), config.outputs)
        start, end = config.carried_columns
        if not 0 <= start <= end <= config.inputs:
            raise ValueError(f"carried columns {start} to {end} of {config.inputs} inputs")
        carried = min(end - start, config.outputs)
        if carried:
            with torch.no_grad():
                self.head.weight.mul_(_START_SCALE)
                self.head.weight[:carried, start : start + carried] += torch.eye(carried)

    def forward(
        self,
        features: Tensor,
        edge_index: Tensor,
        nodes_per_hop: Sequence[int] | None = None,
        edges_per_hop: Sequence[int] | None = None,
    ) -> Tensor:
        """Embeddings (n, outputs) float32, rows L2-normalised, of features (n, inputs) and friend → person edges.

        Of a sampled neighbourhood with the two counts, only the seeds are answered, (nodes_per_hop[0], outputs), and
        each layer computes no more than they need.
        """
        layers = self.config.layers
        if nodes_per_hop is None or edges_per_hop is None:
            nodes = [len(features)] * (layers + 1)
            edges = [edge_index.shape[1]] * layers
        else:
            nodes, edges = list(accumulate(nodes_per_hop)), list(accumulate(edges_per_hop))
        hidden, people = features, nodes[0]
        heard = [features[:people]]
        for layer in range(layers):
            targets = nodes[layers - layer - 1]
            used = edge_index[:, : edges[layers - layer - 1]]
            hidden = self.layer(layer, hidden, hidden[:targets], neighbour_matrix(used, targets, len(hidden)))
            heard.append(hidden[:people])
        return self.joined(heard)

    def layer(self, layer: int, sources: Tensor, targets: Tensor, friends: Tensor) -> Tensor:
        """The next state (targets, hidden) from this one, `friends` being a CSR matrix (targets, sources)."""
        hidden = self.norms[layer](functional.relu(self.convolutions[layer]((sources, targets), friends)))
        return functional.dropout(hidden, self.config.dropout, self.training)

    def joined(self, heard: list[Tensor]) -> Tensor:
        """Embeddings from the input and every layer's output."""
        return functional.normalize(self.head(torch.cat(heard, dim=1)), dim=1)


def with_positions_of_the_placed(features: Tensor, graph: Graph, structural_columns: tuple[int, int]) -> Tensor:
    """The features (n, f) with zeros in the structural columns of people without friends: they have no position."""
    placed = features.clone()
    start, end = structural_columns
    placed[torch.from_numpy(graph.degrees == 0).to(features.device), start:end] = 0
    return placed


def neighbour_matrix(edge_index: Tensor, targets: int, sources: int) -> Tensor:
    """The edges source → target (2, m) int64 as a CSR matrix of ones, (targets, sources).

    A sparse product is four times as fast as gathering and scattering edge by edge.
    """
    source, target = edge_index[0], edge_index[1]
    if target.numel() and bool((target[1:] < target[:-1]).any()):
        target, order = torch.sort(target, stable=True)
        source = source[order]
    indptr = torch.zeros(targets + 1, dtype=torch.int64, device=target.device)
    torch.cumsum(torch.bincount(target, minlength=targets), 0, out=indptr[1:])
    return _csr(indptr, source, targets, sources)


@torch.no_grad()
def embed_everybody(model: GraphSage, features: Tensor, graph: Graph, *, batch: int = 65_536) -> Tensor:
    """Embeddings (n, outputs) float32 of everybody from all their friends, on the CPU, rows L2-normalised.

    Layer by layer over the whole graph, `batch` people at a time, so that memory is bounded by three states of
    (n, hidden) and nothing is computed twice. Equals `forward` over the whole graph of features in which people
    without friends have zeros in the structural columns, whatever `features` says there.
    """
    device = next(model.parameters()).device
    model.eval()
    indptr, indices = torch.from_numpy(graph.indptr), torch.from_numpy(graph.indices)
    states = [with_positions_of_the_placed(features, graph, model.config.structural_columns).to(device)]
    starts = range(0, graph.n, batch)
    for layer in range(model.config.layers):
        state = states[-1]
        rows = torch.empty((graph.n, model.config.hidden), device=device)
        for start in starts:
            end = min(start + batch, graph.n)
            bounds = indptr[start : end + 1]
            neighbours = indices[int(bounds[0]) : int(bounds[-1])].long().to(device)
            friends = _csr((bounds - bounds[0]).to(device), neighbours, end - start, graph.n)
            rows[start:end] = model.layer(layer, state, state[start:end], friends)
        states.append(rows)
    embeddings = torch.empty((graph.n, model.config.outputs))
    for start in starts:
        embeddings[start : start + batch] = model.joined([state[start : start + batch] for state in states]).cpu()
    return embeddings


def _csr(indptr: Tensor, indices: Tensor, rows: int, columns: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            indptr, indices, torch.ones(len(indices), device=indices.device), (rows, columns), check_invariants=False
        )
