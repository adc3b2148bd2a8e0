"""Neighbourhoods of a few people, drawn from the whole graph by a compiled kernel behind PyG's `BaseSampler`."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, NegativeSampling, NodeSamplerInput, SamplerOutput

from models.graph import Graph
from models.kernels.numba_cache import compiled

_WEYL = np.uint64(0x9E3779B97F4A7C15)


class CsrNeighbourSampler(BaseSampler):
    """Draws `fan_outs[hop]` neighbours of every person reached, without replacement.

    A neighbourhood is a function of the seed and the people of the batch alone: not of the batches before it, nor of
    the number of loader workers. Sampled edges run neighbour → person and are sorted by person, so that the
    columns of `edge_index` are already in CSR order. A fan-out of -1 takes every neighbour. Each person is expanded
    once, in the hop in which they were first reached (Hamilton, Ying, Leskovec: Inductive Representation Learning on
    Large Graphs, 2017).
    """

    def __init__(self, graph: Graph, fan_outs: Sequence[int], *, seed: int = 0) -> None:
        if not fan_outs or any(fan_out < -1 or fan_out == 0 for fan_out in fan_outs):
            raise ValueError(f"fan-outs {list(fan_outs)}: at least one, each positive or -1 for every neighbour")
        self.graph = graph
        self.fan_outs = np.asarray(fan_outs, dtype=np.int64)
        self.seed = seed
        self._place = np.full(graph.n, -1, dtype=np.int64)

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: object) -> SamplerOutput:
        """The neighbourhood of `index.node`, which come first and in their order; they must not repeat."""
        if index.time is not None or kwargs:
            raise ValueError("this sampler draws from one graph at one time: pass no times and no further arguments")
        people = index.node.numpy()
        if len(np.unique(people)) < len(people):
            raise ValueError("a person is twice among the seeds: pass each once")
        output = self._sample(people, self._stream(people))
        output.metadata = (index.input_id, index.time)
        return output

    def sample_from_edges(self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None) -> SamplerOutput:
        """Not offered: a training step draws its pairs itself, and the neighbourhood of the people in them."""
        raise NotImplementedError("sample from the people of the pairs by sample_from_nodes")

    def _sample(self, people: NDArray[np.int64], stream: np.uint64) -> SamplerOutput:
        if len(people) and not 0 <= people.min() <= people.max() < self.graph.n:
            raise IndexError(f"rows {people.min()} to {people.max()} do not exist in a graph of {self.graph.n}")
        node, row, col, nodes_per_hop, edges_per_hop = _sample_hops(
            self.graph.indptr, self.graph.indices, people.astype(np.int64), self.fan_outs, stream, self._place
        )
        return SamplerOutput(
            node=torch.from_numpy(node),
            row=torch.from_numpy(row),
            col=torch.from_numpy(col),
            edge=None,
            num_sampled_nodes=nodes_per_hop.tolist(),
            num_sampled_edges=edges_per_hop.tolist(),
        )

    def _stream(self, people: NDArray[np.int64]) -> np.uint64:
        return np.uint64(_fingerprint(people.astype(np.int64), np.uint64(self.seed)))


@compiled()
def _mix(state: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@compiled()
def _fingerprint(people: NDArray[np.int64], seed: np.uint64) -> np.uint64:
    state = _mix(seed + _WEYL)
    for person in people:
        state = _mix((state ^ np.uint64(person)) + _WEYL)
    return state


@compiled()
def _sample_hops(indptr, indices, seeds, fan_outs, stream, place):  # type: ignore[no-untyped-def]
    """Breadth-first neighbourhoods; `place` (n,) int64 is all -1 before and after, and maps rows to local numbers.

    Within one person Floyd's algorithm draws k of d neighbours in k steps without touching the other d - k
    (Bentley, Floyd: A sample of brilliance, 1987).
    """
    hops = len(fan_outs)
    nodes_per_hop, edges_per_hop = np.zeros(hops + 1, np.int64), np.zeros(hops, np.int64)
    node, row, col = np.empty(max(len(seeds), 1), np.int64), np.empty(16, np.int64), np.empty(16, np.int64)
    for number, person in enumerate(seeds):
        node[number] = person
        place[person] = number
    nodes, edges, begin = len(seeds), 0, 0
    nodes_per_hop[0] = nodes
    state = stream
    for hop in range(hops):
        # room for all edges and people of the hop
        fan_out, end = fan_outs[hop], nodes
        room = np.int64(0)
        for local in range(begin, end):
            degree = indptr[node[local] + 1] - indptr[node[local]]
            room += degree if fan_out < 0 else min(degree, fan_out)
        row, col, node = _grown(row, edges, room), _grown(col, edges, room), _grown(node, nodes, room)
        # neighbours of each person reached by the hop before
        first_edge = edges
        for local in range(begin, end):
            start = indptr[node[local]]
            degree = indptr[node[local] + 1] - start
            taken = degree if fan_out < 0 else min(degree, fan_out)
            for number in range(taken):
                chosen = np.int64(number)
                if taken < degree:
                    state += _WEYL
                    last = degree - taken + number
                    chosen = np.int64(_mix(state) % np.uint64(last + 1))
                    for earlier in range(edges - number, edges):
                        if row[earlier] == chosen:
                            chosen = last
                            break
                row[edges] = chosen
                col[edges] = local
                edges += 1
            # people reached for the first time get the next number
            for edge in range(edges - taken, edges):
                neighbour = indices[start + row[edge]]
                if place[neighbour] < 0:
                    place[neighbour] = nodes
                    node[nodes] = neighbour
                    nodes += 1
                row[edge] = place[neighbour]
        nodes_per_hop[hop + 1], edges_per_hop[hop], begin = nodes - end, edges - first_edge, end
    for local in range(nodes):
        place[node[local]] = -1
    return node[:nodes].copy(), row[:edges].copy(), col[:edges].copy(), nodes_per_hop, edges_per_hop


@compiled()
def _grown(array, used, room):  # type: ignore[no-untyped-def]
    """An array that holds what is used of `array` and has room for so many more."""
    if used + room <= len(array):
        return array
    larger = np.empty(max(used + room, 2 * len(array)), np.int64)
    larger[:used] = array[:used]
    return larger
