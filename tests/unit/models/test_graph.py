"""The graph: built from pairs in any order and with duplicates, queried, and reduced."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.graph import Graph

Pairs = list[tuple[int, int]]


@st.composite
def people_and_pairs(draw: st.DrawFn) -> tuple[int, Pairs]:
    n = draw(st.integers(1, 12))
    row = st.integers(0, n - 1)
    return n, draw(st.lists(st.tuples(row, row), max_size=30))


def graph_of(n: int, pairs: Pairs) -> Graph:
    return Graph.from_pairs(n, [a for a, _ in pairs], [b for _, b in pairs])


def test_a_star() -> None:
    star = graph_of(5, [(0, 1), (0, 2), (0, 3), (0, 4)])
    assert star.n == 5
    assert star.degrees.tolist() == [4, 1, 1, 1, 1]
    assert star.neighbours(0).tolist() == [1, 2, 3, 4]
    assert star.neighbours(3).tolist() == [0]
    assert [one.tolist() for one in star.pairs()] == [[0, 0, 0, 0], [1, 2, 3, 4]]
    assert (star.indptr.dtype, star.indices.dtype, star.degrees.dtype) == (np.int64, np.int32, np.int32)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_no_friendship_at_all(n: int) -> None:
    nobody = graph_of(n, [])
    assert nobody.n == n
    assert nobody.degrees.tolist() == [0] * n
    assert [one.tolist() for one in nobody.pairs()] == [[], []]
    assert nobody.contains([0, 1], [1, 0]).tolist() == [False, False]
    assert nobody.without([], []).n == n


def test_a_directed_graph_knows_one_way() -> None:
    blocks = Graph.from_directed(4, [2, 2, 0, 1, 2], [3, 0, 0, 2, 3])
    assert [blocks.neighbours(row).tolist() for row in range(4)] == [[], [2], [0, 3], []]
    assert blocks.contains([1, 2, 2, 0], [2, 1, 0, 2]).tolist() == [True, False, True, False]


@settings(max_examples=200)
@given(people_and_pairs())
def test_a_graph_holds_each_friendship_in_both_rows_once(drawn: tuple[int, Pairs]) -> None:
    n, pairs = drawn
    graph = graph_of(n, pairs)
    friends: list[set[int]] = [set() for _ in range(n)]
    for a, b in pairs:
        if a != b:
            friends[a].add(b)
            friends[b].add(a)
    assert [graph.neighbours(row).tolist() for row in range(n)] == [sorted(one) for one in friends]
    once = list(zip(*(side.tolist() for side in graph.pairs()), strict=True))
    assert once == sorted((a, b) for a in range(n) for b in friends[a] if a < b)
    every = np.arange(n)
    expected = [[b in friends[a] for b in range(n)] for a in range(n)]
    assert graph.contains(every[:, None], every[None, :]).tolist() == expected


@settings(max_examples=100)
@given(people_and_pairs(), st.randoms())
def test_the_order_and_direction_of_pairs_change_nothing(drawn: tuple[int, Pairs], random: object) -> None:
    n, pairs = drawn
    turned = [(b, a) for a, b in pairs]
    random.shuffle(turned)  # type: ignore[attr-defined]
    first, second = graph_of(n, pairs), graph_of(n, turned + pairs)
    np.testing.assert_array_equal(first.indptr, second.indptr)
    np.testing.assert_array_equal(first.indices, second.indices)


@settings(max_examples=100)
@given(people_and_pairs(), st.data())
def test_without_leaves_out_just_those(drawn: tuple[int, Pairs], data: st.DataObject) -> None:
    n, pairs = drawn
    row = st.integers(0, n - 1)
    gone = data.draw(st.lists(st.one_of(st.tuples(row, row), st.sampled_from(pairs or [(0, 0)])), max_size=10))
    left = graph_of(n, pairs).without([a for a, _ in gone], [b for _, b in gone])
    expected = graph_of(n, [pair for pair in pairs if pair not in gone and pair[::-1] not in gone])
    np.testing.assert_array_equal(left.indptr, expected.indptr)
    np.testing.assert_array_equal(left.indices, expected.indices)


def test_a_row_that_does_not_exist_has_no_friends() -> None:
    # with three rows, 0 * 3 + 3 is the place of 1 → 0, and 1 * 3 - 1 that of 0 → 2
    graph = graph_of(3, [(0, 1), (0, 2), (1, 2)])
    assert graph.contains([0, 1, -1, 3, 1], [3, -1, 2, 0, 0]).tolist() == [False, False, False, False, True]


def test_one_row_is_compared_with_many_others() -> None:
    graph = graph_of(4, [(0, 1), (0, 3)])
    assert graph.contains(0, np.array([3, 2, 1], np.uint32)).tolist() == [True, False, True]


@pytest.mark.parametrize("pair", [(0, 3), (3, 0), (-1, 2), (2, -1)])
def test_a_friendship_with_a_row_that_does_not_exist_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="graph of 3"):
        graph_of(3, [(0, 1), pair])
