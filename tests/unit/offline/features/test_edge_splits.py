"""Hidden friendships: by time where there are dates, else at random; nothing leaks and nothing is lost unsaid."""

import numpy as np
import pytest

from models.graph import Graph
from offline.features.edge_splits import (
    dates_of,
    hide,
    hide_people,
    window_start,
)
from offline.snapshot.snapshot import UNDATED


def pairs_of(graph: Graph) -> set[tuple[int, int]]:
    return set(zip(*(side.tolist() for side in graph.pairs()), strict=True))


def ring(n: int) -> Graph:
    return Graph.from_pairs(n, np.arange(n), (np.arange(n) + 1) % n)


def test_without_dates_a_random_share_is_hidden_and_the_rest_kept() -> None:
    graph = ring(100)
    kept, hidden = hide(graph, None, 0.1, seed=3)
    assert len(pairs_of(hidden)) == 10
    assert pairs_of(kept) | pairs_of(hidden) == pairs_of(graph)
    assert not pairs_of(kept) & pairs_of(hidden)
    assert pairs_of(hide(graph, None, 0.1, seed=3)[1]) == pairs_of(hidden)
    assert pairs_of(hide(graph, None, 0.1, seed=4)[1]) != pairs_of(hidden)


def test_with_dates_the_last_friendships_are_hidden() -> None:
    graph = ring(100)
    dates = np.random.default_rng(0).permutation(100)
    kept, hidden = hide(graph, dates, 0.2)
    assert dates_of(kept, graph, dates).max() < window_start(dates, 0.2) == 80
    assert dates_of(kept, graph, dates).size == 80
    assert dates_of(hidden, graph, dates).min() >= 80
    assert (kept.degrees[hidden.degrees > 0] > 0).all()


def test_a_friendship_of_somebody_who_came_in_the_window_is_in_neither_graph() -> None:
    # 0-1-2-3-0 are old; then 0-2 joins two of them, and 4 comes
    graph = Graph.from_pairs(5, [0, 1, 2, 0, 0, 3], [1, 2, 3, 3, 2, 4])
    dates = {(0, 1): 1, (1, 2): 2, (2, 3): 3, (0, 3): 4, (0, 2): 9, (3, 4): 9}
    created_at = np.array([dates[pair] for pair in sorted(dates)])
    kept, hidden = hide(graph, created_at, 0.3)
    assert pairs_of(hidden) == {(0, 2)}
    assert pairs_of(kept) == {(0, 1), (1, 2), (2, 3), (0, 3)}


def test_the_order_of_input_changes_nothing() -> None:
    random = np.random.default_rng(1)
    a, b = random.integers(50, size=200), random.integers(50, size=200)
    order = random.permutation(200)
    graph, turned = Graph.from_pairs(50, a, b), Graph.from_pairs(50, b[order], a[order])
    for first, second in zip(hide(graph, None, 0.3), hide(turned, None, 0.3), strict=True):
        assert pairs_of(first) == pairs_of(second)


def test_undated_friendships_are_older_than_all_others() -> None:
    dates = np.concatenate([np.full(60, UNDATED), np.arange(40)])
    assert window_start(dates, 0.1) == 30


def test_friendships_of_one_date_stay_together() -> None:
    dates = np.repeat([10, 20, 30], [84, 8, 8])
    assert window_start(dates, 0.10) == 30
    assert window_start(dates, 0.15) == 20


@pytest.mark.parametrize("dates", [np.full(100, 7), np.repeat([1, 2], [40, 60]), np.repeat([1, 2], [99, 1])])
def test_dates_that_order_nothing_are_passed_over(dates: np.ndarray) -> None:
    graph = ring(100)
    assert window_start(dates, 0.1) is None
    assert [pairs_of(one) for one in hide(graph, dates, 0.1)] == [pairs_of(one) for one in hide(graph, None, 0.1)]


def test_nothing_to_hide() -> None:
    for graph in (Graph.from_pairs(0, [], []), Graph.from_pairs(3, [], [])):
        kept, hidden = hide(graph, np.zeros(0, np.int64), 0.1)
        assert pairs_of(kept) == pairs_of(hidden) == set()
        assert kept.n == hidden.n == graph.n


def test_dates_of_a_part_are_those_it_had_in_the_whole() -> None:
    graph = Graph.from_pairs(4, [0, 1, 2], [1, 2, 3])
    dates = np.array([5, 6, 7])
    assert dates_of(Graph.from_pairs(4, [2, 0], [3, 1]), graph, dates).tolist() == [5, 7]
    assert dates_of(Graph.from_pairs(4, [], []), graph, dates).tolist() == []
    for stranger in ([0], [3]), ([2], [0]):
        with pytest.raises(ValueError, match="whole does not"):
            dates_of(Graph.from_pairs(4, *stranger), graph, dates)


def test_hidden_people_keep_no_friend_and_are_sought_by_those_who_stay() -> None:
    a, b = np.triu_indices(20, 1)
    crowd = Graph.from_pairs(21, a, b)
    kept, hidden, newcomers = hide_people(crowd, 0.2, seed=1)
    assert len(newcomers) == 4
    assert 20 not in newcomers
    stay = np.setdiff1d(np.arange(20), newcomers)
    assert (kept.degrees[newcomers] == 0).all()
    assert (kept.degrees[stay] == 15).all()
    assert (hidden.degrees[newcomers] == 16).all()
    assert (hidden.degrees[stay] == 4).all()
    assert hide_people(crowd, 0.2, seed=1)[2].tolist() == newcomers.tolist()
