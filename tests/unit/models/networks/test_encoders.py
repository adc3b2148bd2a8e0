"""Each encoder on graphs whose right embeddings are obvious."""

import numpy as np
import pytest
import torch

from models.graph import Graph
from models.networks.config import GraphSageConfig, LightGcnConfig, MlpDecoderConfig, TemporalGatConfig
from models.networks.embedder import Embedder
from models.networks.graphsage import _Convolution
from models.networks.lightgcn import LightGcn
from models.networks.neighbours import edges_of, largest, neighbour_matrix, smoothed, summed
from models.networks.temporal_gat import TemporalGat
from offline.encoders.trainer import RunOutput, train_encoder
from offline.encoders.training_step import embed
from tests.support.graphs import ENCODERS, LOG, SMALL, inputs, shaped, two_cliques

STAR = edges_of(Graph.from_pairs(4, [0, 0], [1, 2]))
"""0 knows 1 and 2; 3 knows nobody"""
FRIENDS = neighbour_matrix(STAR, 4, 4)
STATES = torch.tensor([[1.0, -1.0], [2.0, -4.0], [4.0, -2.0], [8.0, 8.0]])


def test_neighbours_are_summed_averaged_and_the_largest_taken() -> None:
    assert summed(STATES, FRIENDS).tolist() == [[6, -6], [1, -1], [1, -1], [0, 0]]
    averaged = _Convolution(2, GraphSageConfig(hidden=2)).message_and_aggregate(FRIENDS, (STATES, STATES))
    assert averaged.tolist() == [[3, -3], [1, -1], [1, -1], [0, 0]]
    assert largest(STATES, FRIENDS).tolist() == [[4, -2], [1, -1], [1, -1], [0, 0]]


def test_smoothing_weighs_by_the_roots_of_the_degrees() -> None:
    ones = torch.ones(4, 1)
    once = LightGcn(LightGcnConfig(inputs=1, outputs=1, layers=1))
    by_star = 2 * once.raw(ones, STAR, None).squeeze(1) - 1
    assert torch.allclose(by_star, torch.tensor([2 / 2**0.5, 1 / 2**0.5, 1 / 2**0.5, 0]))
    with_self = smoothed(ones, FRIENDS).squeeze(1)
    assert torch.allclose(with_self, torch.tensor([1 / 3 + 2 / 6**0.5, 1 / 2 + 1 / 6**0.5, 1 / 2 + 1 / 6**0.5, 1.0]))


@pytest.mark.parametrize("name", ENCODERS)
def test_two_cliques_are_told_apart(name: str) -> None:
    read, labels = two_cliques()
    trained = train_encoder(read, labels, shaped(ENCODERS[name], read), SMALL, seed=0, output=RunOutput(LOG))
    embeddings = embed(trained.model, read)
    assert embeddings.shape == (32, 16)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(32), atol=1e-5)
    cosines = (embeddings @ embeddings.T).numpy()
    same = np.equal.outer(np.arange(32) < 16, np.arange(32) < 16)
    own = (cosines * same).sum(1) / 16
    other = (cosines * ~same).sum(1) / 16
    # without labels nothing says that noise in the features is noise
    assert (own > other).all() if name == "dgi" else (own > other + 0.5).all()


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "graphsage lstm"])
def test_the_order_of_people_changes_nothing(name: str) -> None:
    read, _ = two_cliques(size=6)
    attributes = np.random.default_rng(0).random((read.edge_index.shape[1], 4), dtype=np.float32)
    read = inputs(read.graph, read.features.numpy(), attributes)
    torch.manual_seed(0)
    model = Embedder(shaped(ENCODERS[name], read)).eval()
    order = torch.randperm(read.n)
    place = torch.argsort(order)
    keys = torch.zeros(read.n, dtype=torch.int64)
    shuffled = torch.randperm(read.edge_index.shape[1])
    with torch.no_grad():
        before = model(read.features, keys, read.edge_index, read.edge_attributes)
        edges = place[read.edge_index][:, shuffled]
        after = model(read.features[order], keys, edges, torch.from_numpy(attributes)[shuffled])
    assert torch.allclose(before[order], after, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_people_without_friends_and_graphs_without_friendships_have_embeddings(name: str) -> None:
    read = inputs(Graph.from_pairs(5, [], []), np.eye(5, dtype=np.float32))
    model = Embedder(shaped(ENCODERS[name], read))
    embeddings, own = model.learning(read.features, read.keys, read.edge_index, None)
    assert torch.isfinite(embeddings).all()
    assert own is None or torch.isfinite(own)
    assert torch.isfinite(embed(model, read)).all()


def test_carried_columns_are_what_embeddings_begin_as() -> None:
    read, _ = two_cliques()
    begun = shaped({"name": "gcn"}, read)
    begun = begun.model_copy(update={"encoder": begun.encoder.model_copy(update={"carried_columns": (0, 8)})})
    torch.manual_seed(0)
    cosines = (
        torch.nn.functional.normalize(read.features, dim=1) @ torch.nn.functional.normalize(read.features, dim=1).T
    )
    embeddings = embed(Embedder(begun), read)
    assert torch.corrcoef(torch.stack([cosines.flatten(), (embeddings @ embeddings.T).flatten()]))[0, 1] > 0.9


def weeks_ago(graph: Graph, first: np.ndarray) -> np.ndarray:
    """Edge attributes where the friendships with hub 0 are a week old for people in `first`, else with hub 1."""
    neighbour, person = edges_of(graph).numpy()
    hub, member = np.minimum(neighbour, person), np.maximum(neighbour, person)
    late = first[member] == (hub == 0)
    return np.stack([np.log1p(np.where(late, 1.0, 6.0)), np.ones(len(hub))], axis=1).astype(np.float32)


def separation(name: str) -> float:
    """How surely an encoder tells, of people it was not told of, who met the same hub last.

    Everybody knows both hubs and nobody else, and all but the hubs have the same features: only time differs.
    """
    n = 82
    members = np.arange(2, n)
    graph = Graph.from_pairs(n, np.repeat([0, 1], n - 2), np.tile(members, 2))
    first = np.random.default_rng(0).random(n) < 0.5
    features = np.ones((n, 2), np.float32)
    features[0, 0] = features[1, 1] = 0
    read = inputs(graph, features, weeks_ago(graph, first))
    a, b = np.triu_indices(n // 2, 1)
    alike = (first[a] == first[b]) & (a > 1)
    trained = train_encoder(
        read,
        (a[alike].astype(np.int64), b[alike].astype(np.int64)),
        shaped({"name": name}, read),
        SMALL,
        seed=0,
        output=RunOutput(LOG),
    )
    embeddings = embed(trained.model, read)[n // 2 :].numpy()
    cosines = (embeddings @ embeddings.T)[np.triu_indices(n - n // 2, 1)]
    same = np.equal.outer(first[n // 2 :], first[n // 2 :])[np.triu_indices(n - n // 2, 1)]
    above = (cosines[same][:, None] > cosines[~same] + 1e-4).mean()
    below = (cosines[same][:, None] < cosines[~same] - 1e-4).mean()
    return float(0.5 + (above - below) / 2)


def test_what_only_time_tells_temporal_attention_learns_and_graphsage_does_not() -> None:
    assert separation("temporal_gat") > 0.95
    assert abs(separation("graphsage") - 0.5) < 0.05


def test_a_snapshot_holds_a_week_and_the_first_one_all_before() -> None:
    config = TemporalGatConfig(inputs=1, edge_inputs=1, hidden=8, snapshots=4)
    weeks = torch.log1p(torch.tensor([[0.0], [0.9], [1.1], [2.5], [3.0], [500.0]]))
    assert TemporalGat(config).snapshot_of(weeks).tolist() == [3, 3, 2, 1, 0, 0]


def test_the_decoder_begins_as_the_inner_product_and_learns_what_it_cannot_say() -> None:
    read, labels = two_cliques()
    shape = shaped({"name": "gcn"}, read, decoder=MlpDecoderConfig())
    torch.manual_seed(0)
    decoder = Embedder(shape).decoder
    a, b = torch.randn(2, 50, 16)
    scores = decoder(a, b)
    assert torch.equal(scores, decoder(b, a))
    assert torch.corrcoef(torch.stack([scores, (a * b).sum(1)]))[0, 1] > 0.999
    trained = train_encoder(read, labels, shape, SMALL, seed=0, output=RunOutput(LOG))
    assert trained.history[-1]["loss_decoder"] < 0.8 * trained.history[0]["loss_decoder"]
    embeddings = embed(trained.model, read)
    with torch.no_grad():
        of_first = trained.model.decoder(embeddings[2].expand(32, -1), embeddings)
    assert of_first[:16].mean() > of_first[16:].mean() + 1
