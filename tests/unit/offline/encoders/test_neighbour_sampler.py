"""The CSR sampler on graphs whose neighbourhoods are obvious, and behind PyG's loaders."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import NodeSamplerInput, SamplerOutput

from models.graph import Graph
from offline.encoders.neighbour_sampler import CsrNeighbourSampler


def star(leaves: int) -> Graph:
    return Graph.from_pairs(leaves + 1, np.zeros(leaves, int), np.arange(1, leaves + 1))


def path(n: int) -> Graph:
    return Graph.from_pairs(n, np.arange(n - 1), np.arange(1, n))


def seeds(*rows: int) -> NodeSamplerInput:
    return NodeSamplerInput(input_id=None, node=torch.tensor(rows, dtype=torch.long))


def table(n: int) -> Data:
    return Data(x=torch.arange(n, dtype=torch.float32)[:, None], edge_index=torch.empty((2, 0), dtype=torch.long))


def test_a_star_gives_its_centre_as_many_leaves_as_asked_and_a_leaf_its_centre() -> None:
    sampler = CsrNeighbourSampler(star(50), [7], seed=3)
    centre = sampler.sample_from_nodes(seeds(0))
    assert centre.num_sampled_nodes == [1, 7]
    assert len(set(centre.node.tolist())) == 8
    assert centre.col.tolist() == [0] * 7
    leaf = sampler.sample_from_nodes(seeds(9))
    assert leaf.node.tolist() == [9, 0]


def test_a_path_is_walked_hop_by_hop_and_nobody_is_expanded_twice() -> None:
    output = CsrNeighbourSampler(path(5), [-1, -1]).sample_from_nodes(seeds(2))
    assert output.node.tolist() == [2, 1, 3, 0, 4]
    assert output.num_sampled_nodes == [1, 2, 2]
    assert output.num_sampled_edges == [2, 4]
    assert output.node[output.row].tolist() == [1, 3, 0, 2, 2, 4]
    assert output.node[output.col].tolist() == [2, 2, 1, 1, 3, 3]


def test_isolated_people_stand_alone_and_no_seeds_give_nothing() -> None:
    sampler = CsrNeighbourSampler(Graph.from_pairs(3, [], []), [4, 4])
    output = sampler.sample_from_nodes(seeds(2, 0))
    assert output.node.tolist() == [2, 0]
    assert output.row.numel() == 0
    assert sampler.sample_from_nodes(seeds()).node.numel() == 0


def check(graph: Graph, fan_outs: list[int], output: SamplerOutput) -> None:
    node, row, col = output.node.numpy(), output.row.numpy(), output.col.numpy()
    assert len(np.unique(node)) == len(node) == sum(output.num_sampled_nodes)
    assert graph.contains(node[row], node[col]).all()
    assert len(np.unique(np.stack([row, col]), axis=1).T) == len(row)
    assert (np.diff(col) >= 0).all()
    begin = 0
    for hop, fan_out in enumerate(fan_outs):
        end = begin + output.num_sampled_nodes[hop]
        degrees = graph.degrees[node[begin:end]]
        expected = degrees if fan_out < 0 else np.minimum(degrees, fan_out)
        assert (np.bincount(col, minlength=len(node))[begin:end] == expected).all()
        begin = end
    assert (col < begin).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 150), st.lists(st.sampled_from([-1, 1, 2, 5, 9]), min_size=1, max_size=3))
def test_edges_exist_fan_outs_hold_and_nothing_repeats(n: int, m: int, fan_outs: list[int]) -> None:
    random = np.random.default_rng(n * 1000 + m)
    graph = Graph.from_pairs(n, random.integers(n, size=m), random.integers(n, size=m))
    sampler = CsrNeighbourSampler(graph, fan_outs, seed=m)
    people = torch.from_numpy(random.permutation(n)[: 1 + m % n])
    output = sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=people))
    assert output.node[: len(people)].tolist() == people.tolist()
    check(graph, fan_outs, output)
    again = sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=people))
    assert torch.equal(output.node, again.node)
    assert torch.equal(output.row, again.row)


def test_every_leaf_is_drawn_about_as_often_as_another() -> None:
    counts = np.zeros(21)
    for seed in range(3000):
        drawn = CsrNeighbourSampler(star(20), [5], seed=seed).sample_from_nodes(seeds(0))
        counts[drawn.node[1:].numpy()] += 1
    assert counts[1:].sum() == 15_000
    # 750 each on average, with a standard deviation of 24
    assert counts[1:].min() > 750 - 120
    assert counts[1:].max() < 750 + 120


def test_a_batch_does_not_depend_on_the_batches_before_it() -> None:
    graph = star(60)
    whole = [b.n_id for b in NodeLoader(table(61), CsrNeighbourSampler(graph, [5, 5], seed=1), batch_size=16)]
    alone = CsrNeighbourSampler(graph, [5, 5], seed=1).sample_from_nodes(seeds(*range(16, 32)))
    assert torch.equal(whole[1], alone.node)


@pytest.mark.parametrize("fan_outs", [[], [0], [5, -2]])
def test_senseless_fan_outs_are_refused(fan_outs: list[int]) -> None:
    with pytest.raises(ValueError, match="fan-outs"):
        CsrNeighbourSampler(path(3), fan_outs)


def test_repeated_and_unknown_seeds_are_refused() -> None:
    sampler = CsrNeighbourSampler(path(3), [2])
    with pytest.raises(ValueError, match="twice"):
        sampler.sample_from_nodes(seeds(1, 1))
    with pytest.raises(IndexError, match="3"):
        sampler.sample_from_nodes(seeds(3))
