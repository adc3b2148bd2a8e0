"""A synthetic network has the statistics of a real one, and its held-out friendships can be foreseen, but not all."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from models.graph import Graph
from models.schema.vocabulary import Vocabulary
from offline.synth.network import Network, generate
from tests.support.offline import synth_statistics as statistics
from tests.support.offline.synth_statistics import (
    JOHNS_HOPKINS,
    JOHNS_HOPKINS_DORM,
    JOHNS_HOPKINS_YEAR,
    homophily,
    measure,
)

REAL = Path(__file__).parents[5] / "shared" / "data" / "johnshopkins55"


def graph_of(network: Network) -> Graph:
    return Graph.from_pairs(len(network.users), network.connections[:, 0], network.connections[:, 1])


@pytest.fixture(scope="module")
def dense() -> Network:
    return generate(JOHNS_HOPKINS.users, JOHNS_HOPKINS.mean_friends, seed=0)


def test_degrees_and_clustering_come_near_the_real_graph(dense: Network) -> None:
    found = measure(graph_of(dense))
    assert found.mean_friends == pytest.approx(JOHNS_HOPKINS.mean_friends, rel=0.001)
    assert found.clustering == pytest.approx(JOHNS_HOPKINS.clustering, rel=0.15)
    assert found.transitivity == pytest.approx(JOHNS_HOPKINS.transitivity, rel=0.2)
    assert found.gini == pytest.approx(JOHNS_HOPKINS.gini, rel=0.1)
    assert found.median_degree == pytest.approx(JOHNS_HOPKINS.median_degree, rel=0.1)
    assert found.p99_degree == pytest.approx(JOHNS_HOPKINS.p99_degree, rel=0.15)
    assert found.assortativity == pytest.approx(JOHNS_HOPKINS.assortativity, abs=0.06)


def test_homophily_comes_near_the_real_graph(dense: Network) -> None:
    graph = graph_of(dense)
    year, company = homophily(graph, dense.communities.class_of), homophily(graph, dense.communities.company)
    assert year.excess == pytest.approx(JOHNS_HOPKINS_YEAR.excess, abs=0.08)
    assert company.excess == pytest.approx(JOHNS_HOPKINS_DORM.excess, abs=0.2)
    shuffled = np.random.default_rng(0).permutation(dense.communities.class_of)
    assert abs(homophily(graph, shuffled).excess) < 0.02


def test_the_recorded_figures_are_those_of_the_real_graph() -> None:
    if not REAL.exists():
        pytest.skip("the real graphs are not here")
    users = pl.read_csv(REAL / "users.csv", infer_schema=False)
    friendships = pl.read_csv(REAL / "connections.csv", infer_schema=False)
    vocabulary = Vocabulary.from_ids(users["user_id"])
    users = users[np.argsort(vocabulary.rows(users["user_id"]))]
    graph = Graph.from_pairs(
        len(vocabulary), vocabulary.rows(friendships["user_id"]), vocabulary.rows(friendships["other_id"])
    )
    found = measure(graph)
    assert vars(found) == pytest.approx(vars(JOHNS_HOPKINS), rel=0.002)
    for column, recorded in (("year", JOHNS_HOPKINS_YEAR), ("dorm", JOHNS_HOPKINS_DORM)):
        codes = users[column].cast(pl.Int32).fill_null(-1).to_numpy()
        assert vars(homophily(graph, codes)) == pytest.approx(vars(recorded), rel=0.002)


def test_statistics_of_graphs_with_an_obvious_answer() -> None:
    triangle_with_tail = measure(Graph.from_pairs(4, [0, 0, 1, 2], [1, 2, 2, 3]))
    assert triangle_with_tail.clustering == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert triangle_with_tail.transitivity == pytest.approx(3 / 5)
    assert triangle_with_tail.mean_friends == 2.0
    cliques = Graph.from_pairs(6, [0, 0, 1, 3, 3, 4, 2], [1, 2, 2, 4, 5, 5, 3])
    sides = homophily(cliques, np.array([0, 0, 0, 1, 1, 1]))
    assert sides.shared == pytest.approx(6 / 7)
    assert sides.chance == pytest.approx(0.5)
    assert statistics.Homophily(0.5, 0.5).excess == 0.0


def test_resource_allocation_foresees_a_part_of_what_is_held_out() -> None:
    network = generate(3000, 20.0, seed=0)
    graph = graph_of(network)
    ones = np.ones(len(graph.indices))
    adjacency = sparse.csr_array((ones, graph.indices, graph.indptr), shape=(graph.n, graph.n))
    scores = (adjacency @ sparse.diags_array(1 / np.maximum(graph.degrees, 1)) @ adjacency).toarray()
    np.fill_diagonal(scores, 0)
    scores[adjacency.toarray() > 0] = 0
    held_out = Graph.from_pairs(graph.n, network.held_out[:, 0], network.held_out[:, 1])
    recalls = []
    for viewer in np.flatnonzero(held_out.degrees):
        best = np.argsort(-scores[viewer], kind="stable")[:20]
        best = best[scores[viewer, best] > 0]
        recalls.append(np.isin(held_out.neighbours(viewer), best).mean())
    assert 0.2 < np.mean(recalls) < 0.45
