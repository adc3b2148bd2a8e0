"""What spreads from a user, against definitions written down plainly, on small random graphs."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.graph import Graph
from models.kernels.candidate_arrays import new_work_buffers
from models.kernels.graph_walks import (
    ALLOCATED,
    MUTUAL,
    QUEUED,
    RANK,
    RESIDUAL,
    RESTART,
    spread_three_hops,
    spread_two_hops,
    spread_walks,
)

ENOUGH = 1 << 30


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    n = draw(st.integers(2, 24))
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=60))
    return Graph.from_pairs(n, [a for a, _ in pairs], [b for _, b in pairs])


class Spread:
    """Working arrays as a thread of the kernel holds them, and whom each way reached."""

    def __init__(self, graph: Graph) -> None:
        self._work = new_work_buffers(graph.indptr, np.ones(graph.n, np.bool_))
        self._graph = graph
        self.common, self.allocation = self._work.near[:, MUTUAL], self._work.near[:, ALLOCATED]
        self.paths = self._work.paths
        self.pagerank, self.residual = self._work.walk[:, RANK], self._work.walk[:, RESIDUAL]
        self.queued = self._work.walk[:, QUEUED]

    def mutual(self, user: int) -> list[int]:
        graph, work = self._graph, self._work
        reached = spread_two_hops(graph.indptr, graph.indices, user, work.near, work.two)
        return work.two[:reached].tolist()

    def three_hops(self, user: int, max_edges: int = ENOUGH) -> list[int]:
        graph, work = self._graph, self._work
        reached = np.array(self.mutual(user), np.int32)
        count = spread_three_hops(
            graph.indptr, graph.indices, user, reached, work.near, max_edges, work.paths, work.three
        )
        return work.three[:count].tolist()

    def walks(self, user: int, tolerance: float, max_edges: int = ENOUGH) -> list[int]:
        graph, work = self._graph, self._work
        count = spread_walks(
            graph.indptr, graph.indices, user, tolerance, max_edges, work.walk, work.queue, work.walked
        )
        return work.walked[:count].tolist()


def friends(graph: Graph, user: int) -> list[int]:
    return graph.neighbours(user).tolist()


def power_iteration(graph: Graph, user: int) -> NDArray[np.float64]:
    """Personalised PageRank of `user`; a walker without friends to go to is lost."""
    walk = np.zeros((graph.n, graph.n))
    for row in range(graph.n):
        for friend in friends(graph, row):
            walk[friend, row] = 1 / graph.degrees[row]
    place, total = np.eye(graph.n)[user], np.zeros(graph.n)
    for _ in range(400):
        total += RESTART * place
        place = (1 - RESTART) * walk @ place
    return total


@settings(max_examples=80, deadline=None)
@given(graphs(), st.data())
def test_mutual_friends_are_counted_and_weighted_by_definition(graph: Graph, data: st.DataObject) -> None:
    user, degrees = data.draw(st.integers(0, graph.n - 1)), graph.degrees
    spread = Spread(graph)
    reached = spread.mutual(user)
    assert len(set(reached)) == len(reached)
    for other in range(graph.n):
        mutual = set(friends(graph, user)) & set(friends(graph, other))
        assert (other in reached) == bool(mutual)
        assert spread.common[other] == len(mutual)
        assert spread.allocation[other] == pytest.approx(sum(1 / degrees[one] for one in mutual), rel=1e-5)


@settings(max_examples=80, deadline=None)
@given(graphs(), st.data())
def test_three_hop_paths_are_those_one_can_list(graph: Graph, data: st.DataObject) -> None:
    user = data.draw(st.integers(0, graph.n - 1))
    spread = Spread(graph)
    reached = spread.three_hops(user)
    expected = np.zeros(graph.n)
    for a in friends(graph, user):
        for b in set(friends(graph, a)) - {user}:
            for other in friends(graph, b):
                expected[other] += 1 / sqrt(graph.degrees[a] * graph.degrees[b])
    np.testing.assert_allclose(spread.paths, expected, rtol=1e-5)
    assert sorted(reached) == np.flatnonzero(expected).tolist()


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from([1e-2, 1e-3, 1e-5]), st.data())
def test_walks_come_within_the_tolerance_of_pagerank(graph: Graph, tolerance: float, data: st.DataObject) -> None:
    user = data.draw(st.integers(0, graph.n - 1))
    spread = Spread(graph)
    reached = spread.walks(user, tolerance)
    exact = power_iteration(graph, user)
    # what is not pushed of a row is below tolerance x degree, and reaches another in proportion to that one's degree
    missing = exact - spread.pagerank
    assert (missing >= -1e-6).all()
    assert (missing <= tolerance * np.maximum(graph.degrees, 1) + 1e-6).all()
    assert sorted(reached) == np.flatnonzero(spread.pagerank).tolist()
    assert not spread.residual.any()
    assert not spread.queued.any()


def test_what_is_not_pushed_stays_where_it_is() -> None:
    # at this tolerance only the user is pushed: 0.15 stays, the rest is shared among the friends
    clique = Graph.from_pairs(5, *np.triu_indices(5, 1))
    spread = Spread(clique)
    assert sorted(spread.walks(2, tolerance=1.0)) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(spread.pagerank, np.where(np.arange(5) == 2, 0.15, 0.15 * 0.85 / 4), rtol=1e-6)


def test_a_walk_stays_within_its_edges() -> None:
    ring = Graph.from_pairs(1000, np.arange(1000), (np.arange(1000) + 1) % 1000)
    for edges, rows in ((2, 3), (10, 11), (40, 41)):  # each push crosses two edges and reaches two rows at most
        spread = Spread(ring)
        assert 1 < len(spread.walks(500, 1e-12, edges)) <= rows
        assert not spread.residual.any()
        assert not spread.queued.any()


def test_three_hop_paths_stay_within_their_edges() -> None:
    # the user 0 knows 1, who knows 2 to 11, each of whom knows ten of their own
    middles = np.arange(2, 12)
    graph = Graph.from_pairs(
        112,
        np.concatenate([[0], np.full(10, 1), np.repeat(middles, 10)]),
        np.concatenate([[1], middles, np.arange(12, 112)]),
    )
    assert len(Spread(graph).three_hops(0)) == 101  # all of theirs, and 1, whom the ten lead back to
    for edges, followed in ((10, 0), (11, 1), (32, 2), (33, 3)):  # eleven each
        assert len(Spread(graph).three_hops(0, edges)) == (followed * 10 + 1 if followed else 0)
