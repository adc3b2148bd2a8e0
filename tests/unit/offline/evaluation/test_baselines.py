"""The baselines on graphs with obvious lists, and against plain formulas."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse

from models.graph import Graph
from offline.evaluation import baselines
from offline.evaluation.baselines import (
    BASELINES,
    DATED_BASELINES,
    PAGERANK,
    PAGERANK_OF_LATE,
    POPULARITY,
    POPULARITY_OF_LATE,
    RESOURCE_ALLOCATION_OF_LATE,
    _pageranks,
    _pushed,
    baseline_lists,
    baseline_scores,
    popular_of_group,
)

NEIGHBOURHOOD = [method for method in BASELINES if method not in (POPULARITY, PAGERANK)]


def graph_of(n: int, *pairs: tuple[int, int]) -> Graph:
    return Graph.from_pairs(n, [a for a, _ in pairs], [b for _, b in pairs])


def everybody(graph: Graph) -> np.ndarray:
    return np.arange(graph.n)


def listed(lists: np.ndarray, user: int) -> list[int]:
    return [int(row) for row in lists[user] if row >= 0]


def cliques() -> Graph:
    """Two cliques of four, 0-3 and 4-7, and the bridge 3-4."""
    return graph_of(8, *((a, b) for start in (0, 4) for a in range(start, start + 4) for b in range(start, a)), (3, 4))


@pytest.mark.parametrize("method", NEIGHBOURHOOD)
def test_across_a_bridge_only_the_far_end_is_suggested(method: str) -> None:
    graph = cliques()
    lists = baseline_lists(graph, everybody(graph), 5)[method]
    assert [listed(lists, user) for user in range(3)] == [[4], [4], [4]]
    assert [set(listed(lists, user)) for user in (3, 4)] == [{5, 6, 7}, {0, 1, 2}]
    assert [listed(lists, user) for user in range(5, 8)] == [[3], [3], [3]]


def test_a_walker_crosses_the_bridge_and_goes_on() -> None:
    graph = cliques()
    lists = baseline_lists(graph, everybody(graph), 5)[PAGERANK]
    assert listed(lists, 0)[0] == 4
    assert set(listed(lists, 0)) == {4, 5, 6, 7}
    assert listed(baseline_lists(graph, np.array([0]), 1)[PAGERANK], 0) == [4]


@pytest.mark.parametrize("method", [*NEIGHBOURHOOD, PAGERANK])
def test_leaves_of_a_star_are_suggested_to_each_other_and_no_user_to_its_centre(method: str) -> None:
    star = graph_of(5, (0, 1), (0, 2), (0, 3), (0, 4))
    lists = baseline_lists(star, everybody(star), 5)[method]
    assert listed(lists, 0) == []
    assert [set(listed(lists, leaf)) for leaf in range(1, 5)] == [{1, 2, 3, 4} - {leaf} for leaf in range(1, 5)]


@pytest.mark.parametrize("method", NEIGHBOURHOOD)
def test_on_a_path_users_two_steps_away_are_suggested(method: str) -> None:
    path = graph_of(5, (0, 1), (1, 2), (2, 3), (3, 4))
    lists = baseline_lists(path, everybody(path), 5)[method]
    assert listed(lists, 0) == [2]
    assert set(listed(lists, 1)) == {3}
    assert set(listed(lists, 2)) == {0, 4}


def test_on_a_path_a_walker_ranks_by_distance() -> None:
    path = graph_of(5, (0, 1), (1, 2), (2, 3), (3, 4))
    assert listed(baseline_lists(path, everybody(path), 5)[PAGERANK], 0) == [2, 3, 4]


@pytest.mark.parametrize("method", [*NEIGHBOURHOOD, PAGERANK])
def test_an_isolated_user_gets_no_suggestions_and_is_never_suggested(method: str) -> None:
    graph = graph_of(5, (0, 1), (1, 2), (2, 3))
    lists = baseline_lists(graph, everybody(graph), 4)[method]
    assert listed(lists, 4) == []
    assert not (lists == 4).any()


def test_popularity_ranks_all_users_by_degree() -> None:
    graph = graph_of(6, (0, 1), (0, 2), (0, 3), (1, 2))
    lists = baseline_lists(graph, everybody(graph), 5)[POPULARITY]
    assert listed(lists, 5)[:4] in ([0, 1, 2, 3], [0, 2, 1, 3])
    assert listed(lists, 5)[4] == 4
    assert set(listed(lists, 0)) == {4, 5}


def test_popularity_ties_are_broken_for_each_user_separately() -> None:
    nobody = graph_of(200)
    lists = baseline_lists(nobody, everybody(nobody), 3, methods=[POPULARITY])[POPULARITY]
    assert len({tuple(row) for row in lists.tolist()}) > 150


def test_equal_scores_rank_by_degree() -> None:
    # 3 and 4 share one friend each with 0, the same; 4 has more friends
    graph = graph_of(7, (0, 1), (1, 3), (1, 4), (4, 5), (4, 6))
    assert listed(baseline_lists(graph, np.array([0]), 2)["common_neighbours"], 0) == [4, 3]


def test_known_pairs_and_users_who_must_not_be_shown_are_excluded() -> None:
    star = graph_of(6, *((0, leaf) for leaf in range(1, 6)))
    known = Graph.from_directed(6, [1], [2])
    suggestible = np.array([True, True, True, False, True, True])
    lists = baseline_lists(star, everybody(star), 5, known=known, suggestible=suggestible)
    for method in BASELINES:
        assert set(listed(lists[method], 1)) == {4, 5}, method
        assert set(listed(lists[method], 2)) == {1, 4, 5}, method
        assert set(listed(lists[method], 3)) == {1, 2, 4, 5}, method


def test_no_users_and_no_friendships_give_empty_lists() -> None:
    for graph in (graph_of(0), graph_of(1), graph_of(3)):
        for method, lists in baseline_lists(graph, everybody(graph), 4).items():
            assert lists.shape == (graph.n, 4)
            assert method == POPULARITY or (lists == -1).all()


def plain_scores(graph: Graph, method: str, user: int) -> np.ndarray:
    """(n,) scores by the formula, dense and slow."""
    friends = np.zeros((graph.n, graph.n))
    friends[np.repeat(np.arange(graph.n), graph.degrees), graph.indices] = 1
    degrees = friends.sum(axis=1)
    if method == PAGERANK:
        start = np.eye(graph.n)[user]
        place = start
        for _ in range(12):
            place = 0.15 * start + 0.85 * (friends / np.maximum(degrees, 1)[None, :]) @ place
        return place
    shared = [np.flatnonzero(friends[user] * friends[other]) for other in range(graph.n)]
    weigh: dict[str, Callable[[np.ndarray], float]] = {
        "common_neighbours": len,
        "adamic_adar": lambda mutual: sum(1 / math.log(degrees[one]) for one in mutual if degrees[one] > 1),
        "resource_allocation": lambda mutual: sum(1 / degrees[one] for one in mutual),
    }
    if method == "jaccard":
        union = [int(((friends[user] + friends[other]) > 0).sum()) for other in range(graph.n)]
        return np.array([len(mutual) / max(total, 1) for mutual, total in zip(shared, union, strict=True)])
    return np.array([weigh[method](mutual) for mutual in shared])


@pytest.mark.parametrize("method", [*NEIGHBOURHOOD, PAGERANK])
@pytest.mark.parametrize("cells", [1, 1 << 22])
def test_every_list_is_the_one_of_the_plain_formula(method: str, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "BATCH_CELLS", cells)
    random = np.random.default_rng(4)
    graph = Graph.from_pairs(40, random.integers(40, size=120), random.integers(40, size=120))
    users = random.permutation(40)[:25]
    lists = baseline_lists(graph, users, 6, methods=[method])[method]
    for at, user in enumerate(users):
        scores = plain_scores(graph, method, int(user))
        scores[[user, *graph.neighbours(int(user))]] = 0
        wanted = np.sort(scores)[::-1][:6]
        got = [row for row in lists[at] if row >= 0]
        assert len(got) == (wanted > 0).sum()
        assert scores[got] == pytest.approx(wanted[: len(got)], rel=1e-5)


def test_order_of_users_and_of_pairs_changes_no_list() -> None:
    random = np.random.default_rng(5)
    a, b = random.integers(60, size=150), random.integers(60, size=150)
    graph, turned = Graph.from_pairs(60, a, b), Graph.from_pairs(60, b[::-1], a[::-1])
    users = random.permutation(60)
    first, second = baseline_lists(graph, np.arange(60), 10), baseline_lists(turned, users, 10)
    for method in BASELINES:
        assert (first[method][users] == second[method]).all()


def test_the_best_connected_of_ones_own_group_come_first() -> None:
    graph = graph_of(9, (0, 1), (0, 2), (0, 3), (1, 2), (5, 0), (5, 6))
    groups = np.array([0, 0, 1, 1, 0, 1, -1, -1, 0], np.int32)
    lists = popular_of_group(graph, np.array([4, 8, 6, 2]), 2, groups)
    assert lists.tolist() == [[0, 1], [0, 1], [-1, -1], [5, 3]]
    assert popular_of_group(graph, np.array([4]), 2, np.full(9, -1, np.int32)).tolist() == [[-1, -1]]


def test_baselines_of_dated_friendships_weigh_by_those_made_of_late() -> None:
    random = np.random.default_rng(5)
    graph = Graph.from_pairs(40, random.integers(40, size=120), random.integers(40, size=120))
    late = np.log1p(random.integers(0, 6, size=40)).astype(np.float32)
    users = everybody(graph)
    every = np.tile(np.arange(40, dtype=np.int32), (len(users), 1))
    lists = baseline_lists(graph, users, 40, late=late)
    assert list(lists) == [*BASELINES, *DATED_BASELINES]
    plain = {
        RESOURCE_ALLOCATION_OF_LATE: baseline_scores(graph, users, every, "resource_allocation"),
        PAGERANK_OF_LATE: baseline_scores(graph, users, every, PAGERANK),
        POPULARITY_OF_LATE: np.ones(every.shape),
    }
    for method, scores in plain.items():
        expected = scores * late
        np.testing.assert_allclose(baseline_scores(graph, users, every, method, late), expected, rtol=1e-6)
        for user in users.tolist():
            shown = listed(lists[method], user)
            among = [row for row in range(40) if expected[user, row] > 0 and row != user]
            among = [row for row in among if row not in graph.neighbours(user)]
            assert sorted(shown) == among
            assert (np.diff(expected[user, shown].astype(np.float32)) <= 0).all()


def test_pushed_pagerank_is_that_of_the_power_iteration() -> None:
    random = np.random.default_rng(3)
    graph = Graph.from_pairs(400, random.integers(400, size=2000), random.integers(400, size=2000))
    walk = sparse.csr_array((np.ones(len(graph.indices)), graph.indices, graph.indptr), shape=(400, 400))
    walk = walk.astype(np.float32)
    walk.data = (1 / graph.degrees[graph.indices]).astype(np.float32)
    users = np.array([0, 7, 399])
    for (rows, pushed), (_, iterated) in zip(_pushed(graph, users), _pageranks(walk, users), strict=True):
        # 12 steps leave .85^12 of the mass where it is
        np.testing.assert_allclose(pushed, iterated[rows], atol=5e-3)
        assert np.corrcoef(pushed, iterated[rows])[0, 1] > 0.999
