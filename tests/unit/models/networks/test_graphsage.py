"""The encoder: shapes, length one, layer-wise inference, and training on two cliques and a bridge."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import structlog
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from models.graph import Graph
from models.networks.config import DotConfig, GraphSageConfig, NoIdentityConfig
from models.networks.embedder import EmbedderConfig
from models.networks.graphsage import GraphSage, Hops, embed_everybody
from offline.encoders.config import GraphSageTrainingConfig
from offline.encoders.embed import graphsage_encoder
from offline.encoders.inputs import GraphInputs
from offline.encoders.losses import (
    in_batch_loss,
    known_among,
    log_inclusion,
    random_negatives_loss,
)
from offline.encoders.neighbour_sampler import CsrNeighbourSampler
from offline.encoders.trainer import RunOutput, Trained, train_encoder
from offline.encoders.validation import HeldOutRanking

LOG = structlog.get_logger()
QUICK = GraphSageTrainingConfig(
    hidden=16, outputs=8, fan_outs=(5, 5), batch_pairs=32, max_epochs=30, learning_rate=0.01, device="cpu", patience=20
)
SIZE = 20


def two_cliques() -> tuple[Graph, NDArray[np.int32], NDArray[np.int32]]:
    """Two cliques of 20 joined by one friendship, a fifth of whose friendships are the labels."""
    a, b = np.triu_indices(SIZE, 1)
    first, second = np.concatenate([a, a + SIZE, [0]]), np.concatenate([b, b + SIZE, [SIZE]])
    label = np.random.default_rng(0).random(len(first)) < 0.2
    label[-1] = False
    graph = Graph.from_pairs(2 * SIZE, first[~label], second[~label])
    return graph, first[label].astype(np.int32), second[label].astype(np.int32)


def noise(n: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((n, width), dtype=np.float32)


def train_graphsage(
    features: NDArray[np.float32],
    graph: Graph,
    pairs: tuple[NDArray[np.int32], NDArray[np.int32]],
    config: GraphSageTrainingConfig,
    structural: tuple[int, int] = (4, 12),
) -> tuple[GraphSage, Trained]:
    """GraphSAGE trained as a night trains it, on features of which these columns come from the graph."""
    inputs = GraphInputs(
        graph=graph,
        features=torch.from_numpy(features),
        profile=slice(0, structural[0]),
        carried=structural,
        keys=torch.zeros(graph.n, dtype=torch.int64),
        structural=structural,
    )
    shape = EmbedderConfig.shaped(
        graphsage_encoder(config, structural).encoder,
        NoIdentityConfig(),
        DotConfig(),
        features=features.shape[1],
        edge_inputs=0,
        carried_columns=structural,
        people=graph.n,
    )
    trained = train_encoder(inputs, pairs, shape, config, seed=config.seed, output=RunOutput(LOG))
    assert isinstance(trained.model.encoder, GraphSage)
    return trained.model.encoder, trained


def random_graph(n: int, m: int) -> Graph:
    random = np.random.default_rng(5)
    return Graph.from_pairs(n, random.integers(n - 3, size=m), random.integers(n - 3, size=m))


def directed_edges(graph: Graph) -> torch.Tensor:
    target = np.repeat(np.arange(graph.n), graph.degrees)
    return torch.from_numpy(np.stack([graph.indices.astype(np.int64), target]))


@pytest.fixture
def encoder() -> GraphSage:
    torch.manual_seed(0)
    return GraphSage(GraphSageConfig(inputs=6, hidden=10, outputs=4)).eval()


@pytest.mark.parametrize("batch", [7, 50, 1_000])
def test_layer_wise_inference_equals_the_whole_graph_at_once(encoder: GraphSage, batch: int) -> None:
    graph, features = random_graph(50, 120), torch.from_numpy(noise(50, 6))
    whole = encoder(features, directed_edges(graph)).detach()
    by_layers = embed_everybody(encoder, features, graph, batch=batch)
    assert by_layers.shape == (50, 4)
    torch.testing.assert_close(by_layers, whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(by_layers.norm(dim=1), torch.ones(50))


def test_all_neighbours_sampled_give_the_seeds_the_same_embeddings(encoder: GraphSage) -> None:
    graph, features = random_graph(50, 120), torch.from_numpy(noise(50, 6))
    whole = encoder(features, directed_edges(graph))
    people = torch.tensor([4, 49, 11])
    sampler = CsrNeighbourSampler(graph, [-1, -1])
    from torch_geometric.loader import NodeLoader

    table = Data(x=features, edge_index=torch.empty((2, 0), dtype=torch.long))
    (batch,) = NodeLoader(table, sampler, input_nodes=people, batch_size=3)
    answered = encoder.of_seeds(batch.x, batch.edge_index, Hops(batch.num_sampled_nodes, batch.num_sampled_edges))
    torch.testing.assert_close(answered, whole[people], atol=1e-6, rtol=0)


def test_the_order_of_edges_changes_nothing(encoder: GraphSage) -> None:
    graph, features = random_graph(50, 120), torch.from_numpy(noise(50, 6))
    edges = directed_edges(graph)
    shuffled = edges[:, torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(encoder(features, edges), encoder(features, shuffled), atol=1e-6, rtol=0)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_people_without_friends_and_nobody_at_all_are_embedded(encoder: GraphSage, n: int) -> None:
    embeddings = embed_everybody(encoder, torch.from_numpy(noise(n, 6)), Graph.from_pairs(n, [], []))
    assert embeddings.shape == (n, 4)
    assert torch.isfinite(embeddings).all()


def test_somebody_without_friends_has_no_position_whatever_the_features_say() -> None:
    encoder = GraphSage(GraphSageConfig(inputs=6, hidden=10, outputs=4, structural_columns=(2, 6)))
    graph, features = Graph.from_pairs(4, [0], [1]), torch.from_numpy(noise(4, 6))
    features[3, :2] = features[2, :2]
    embeddings = embed_everybody(encoder, features, graph)
    torch.testing.assert_close(embeddings[2], embeddings[3])
    features[1, 5] += 1
    assert not torch.allclose(embed_everybody(encoder, features, graph)[1], embeddings[1])


def test_an_untrained_encoder_begins_near_the_carried_columns() -> None:
    torch.manual_seed(0)
    encoder = GraphSage(GraphSageConfig(inputs=12, hidden=8, outputs=6, carried_columns=(4, 10)))
    features = torch.zeros(2, 12)
    features[:, 4:10] = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, 1.0]) * 5
    carried = torch.nn.functional.normalize(features[:, 4:10], dim=1)
    assert (embed_everybody(encoder, features, Graph.from_pairs(2, [], [])) * carried).sum(dim=1).min() > 0.95


def test_two_cliques_come_apart_and_what_was_hidden_is_found() -> None:
    graph, left, right = two_cliques()
    # only the graph tells the cliques apart: what a person is told of themselves is noise
    features = noise(2 * SIZE, 12)
    encoder, trained = train_graphsage(features, graph, (left, right), QUICK)
    embeddings = embed_everybody(encoder, torch.from_numpy(features), graph).numpy()
    cosines = embeddings @ embeddings.T
    inside = cosines[:SIZE, :SIZE][np.triu_indices(SIZE, 1)]
    across = cosines[1:SIZE, SIZE + 1 :]
    assert inside.mean() > across.mean() + 0.5
    assert (cosines[left, right] > across.max(axis=1).mean()).mean() > 0.9
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_random_negatives_pull_the_cliques_apart_too() -> None:
    graph, left, right = two_cliques()
    features = noise(2 * SIZE, 12)
    config = QUICK.model_copy(update={"loss": "random_negatives"})
    encoder, _ = train_graphsage(features, graph, (left, right), config)
    cosines = embed_everybody(encoder, torch.from_numpy(features), graph).numpy()
    cosines = cosines @ cosines.T
    assert cosines[:SIZE, :SIZE].mean() > cosines[:SIZE, SIZE:].mean() + 0.5


def test_somebody_with_a_profile_alone_is_placed_in_their_clique() -> None:
    graph, left, right = two_cliques()
    features = noise(2 * SIZE, 12)
    features[:, 0] = np.repeat([1.0, -1.0], SIZE)
    config = QUICK.model_copy(update={"newcomer_share": 0.3})
    encoder, _ = train_graphsage(features, graph, (left, right), config)
    newcomers = features.copy()
    newcomers[:, 4:] = 0
    known = embed_everybody(encoder, torch.from_numpy(features), graph).numpy()
    alone = Graph.from_pairs(2 * SIZE, [], [])
    cosines = embed_everybody(encoder, torch.from_numpy(newcomers), alone).numpy() @ known.T
    own = np.r_[cosines[:SIZE, :SIZE].mean(1), cosines[SIZE:, SIZE:].mean(1)]
    other = np.r_[cosines[:SIZE, SIZE:].mean(1), cosines[SIZE:, :SIZE].mean(1)]
    assert (own > other).mean() > 0.9


def test_training_twice_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    graph, left, right = two_cliques()
    config, states = QUICK.model_copy(update={"max_steps": 5}), []
    for _ in range(2):
        torch.manual_seed(7)
        before = torch.get_rng_state()
        encoder, _ = train_graphsage(noise(40, 12), graph, (left, right), config)
        assert torch.equal(before, torch.get_rng_state())
        states.append(encoder.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("turned", [False, True])
def test_a_label_edge_in_the_message_graph_is_refused(turned: bool) -> None:
    graph, left, right = two_cliques()
    leaked = (np.append(left, np.int32(0)), np.append(right, np.int32(SIZE)))
    pairs = leaked[::-1] if turned else leaked
    with pytest.raises(ValueError, match="message-passing graph"):
        train_graphsage(noise(40, 12), graph, (pairs[0], pairs[1]), QUICK)


def test_no_message_ever_runs_along_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, left, right = two_cliques()
    labels = Graph.from_pairs(graph.n, left, right)
    seen: list[int] = []
    sample = CsrNeighbourSampler._sample

    def watched(self: CsrNeighbourSampler, *arguments: NDArray[np.int64]) -> object:
        output = sample(self, *arguments)  # type: ignore[arg-type]
        node = output.node.numpy()
        assert not labels.contains(node[output.row.numpy()], node[output.col.numpy()]).any()
        seen.append(len(output.row))
        return output

    monkeypatch.setattr(CsrNeighbourSampler, "_sample", watched)
    config = QUICK.model_copy(update={"max_steps": 6})
    train_graphsage(noise(40, 12), graph, (left, right), config)
    assert sum(seen) > 0


def test_each_step_starts_from_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, left, right = two_cliques()
    lengths: list[float] = []
    shorten = torch.nn.utils.clip_grad_norm_

    def watched(parameters: Iterable[torch.nn.Parameter], longest: float) -> torch.Tensor:
        length = shorten(parameters, longest)
        lengths.append(length.item())
        return length

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watched)
    # weights that hardly move, all pairs in every batch and all friends of everybody: the same gradient at each step
    same = {"learning_rate": 1e-12, "batch_pairs": 1_000, "fan_outs": (-1, -1), "newcomer_share": 0.0, "max_steps": 6}
    config = QUICK.model_copy(update=same)
    train_graphsage(noise(40, 12), graph, (left, right), config)
    assert lengths == pytest.approx([lengths[0]] * 6, rel=1e-3)


def test_newcomers_of_a_step_have_neither_friends_nor_position(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, left, right = two_cliques()
    features = np.abs(noise(40, 12)) + np.float32(0.1)
    shares: list[float] = []
    of_seeds = GraphSage.of_seeds

    def watched(self: GraphSage, rows: torch.Tensor, edges: torch.Tensor, drawn: Hops) -> torch.Tensor:
        nodes, hops = drawn
        if self.training:
            friends = torch.bincount(edges[1, : hops[0]], minlength=nodes[0])[: nodes[0]]
            without_position = (rows[: nodes[0], 4:] == 0).all(dim=1)
            assert torch.equal(friends == 0, without_position)
            assert sum(hops) == edges.shape[1]
            assert (rows[:, :4] > 0).all()
            shares.append(without_position.float().mean().item())
        return of_seeds(self, rows, edges, drawn)

    monkeypatch.setattr(GraphSage, "of_seeds", watched)
    config = QUICK.model_copy(update={"newcomer_share": 0.4, "max_steps": 20})
    train_graphsage(features, graph, (left, right), config)
    assert np.mean(shares) == pytest.approx(0.4, abs=0.1)


def test_without_labels_the_encoder_stays_as_it_begins() -> None:
    none = np.zeros(0, dtype=np.int32)
    encoder, trained = train_graphsage(noise(3, 5), Graph.from_pairs(3, [0], [1]), (none, none), QUICK, (2, 5))
    assert trained.history == []
    assert embed_everybody(encoder, torch.from_numpy(noise(3, 5)), Graph.from_pairs(3, [0], [1])).shape == (3, 8)


def test_friends_and_self_are_no_strangers() -> None:
    graph = Graph.from_pairs(6, [0, 0, 2], [1, 4, 3])
    among = known_among(graph, np.array([0, 2, 5]), np.array([4, 3, 2, 0]))
    assert among.tolist() == [[True, False, False, True], [False, True, True, False], [False] * 4]


def test_an_accidental_friend_costs_nothing_and_a_stranger_does() -> None:
    # 0-1 and 2-3 are the pairs of the batch; 0 lies as near to 3 as to 1
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    pairs, people = torch.tensor([[0, 2], [1, 3]]), np.arange(4)
    level = torch.zeros(4)
    friends = Graph.from_pairs(4, [0, 2, 0, 1], [1, 3, 3, 3])
    strangers = Graph.from_pairs(4, [0, 2], [1, 3])
    assert in_batch_loss(embeddings, pairs, people, friends, level, 0.07) < in_batch_loss(
        embeddings, pairs, people, strangers, level, 0.07
    )
    labels = torch.tensor([1.0, 0.0])
    both = torch.tensor([[0, 0], [1, 3]])
    assert random_negatives_loss(embeddings, both, labels, people, friends, 0.07) < 0.01
    assert random_negatives_loss(embeddings, both, labels, people, strangers, 0.07) > 1


def test_the_chance_to_be_in_a_batch_is_what_drawing_gives() -> None:
    left, right = np.array([0, 0, 0, 1]), np.array([1, 2, 3, 4])
    chance = log_inclusion(left, right, 6, 2).exp()
    # 0 stands in three of four pairs: 1 - (1/4)^2
    assert chance[0].item() == pytest.approx(15 / 16)
    assert chance[2].item() == pytest.approx(1 - (3 / 4) ** 2)
    assert chance[5].item() < 1e-8


def test_a_collapsed_encoder_is_judged_as_chance() -> None:
    graph, left, right = two_cliques()
    known = Graph.from_pairs(40, *(np.concatenate(s) for s in zip(graph.pairs(), (left, right), strict=True)))
    ranking = HeldOutRanking(known, (left.astype(np.int64), right.astype(np.int64)), seed=0)
    metrics = ranking.metrics(torch.tensor([[0.6, 0.8]]).expand(len(ranking.people), 2))
    assert metrics["auc"] == pytest.approx(0.5)
    assert metrics["mrr"] < 0.15


def test_an_encoder_leaves_nothing_in_the_temporary_directory(tmp_path: Path) -> None:
    code = "from models.networks.graphsage import GraphSage, GraphSageConfig; GraphSage(GraphSageConfig(inputs=4))"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
