"""The soft rule against a page full of one company."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.ranking import rerank
from service.ranking.kernels.diversity import PAGE


def diversified(codes: list[int], places: int, most: int) -> list[int]:
    """Positions of people with these codes, the best first, whose rows are in no order."""
    rows = np.random.default_rng(0).permutation(len(codes)).astype(np.uint32)
    column = np.zeros(len(codes), dtype=np.int32)
    column[rows] = codes
    chosen, was_filled = rerank.diversified(rows, column, places, most)
    assert was_filled or within(np.array(codes)[chosen].tolist(), most)
    return chosen.tolist()


def within(codes: list[int], most: int) -> bool:
    """Whether no code stands on a page more than so often."""
    return all(
        count <= most
        for begin in range(0, len(codes), PAGE)
        for code, count in Counter(codes[begin : begin + PAGE]).items()
        if code >= 0
    )


def test_nothing_moves_where_nobody_is_over_the_limit() -> None:
    assert diversified([1, 2, 3, -1] * 5, 20, 5) == list(range(20))


def test_the_sixth_waits_for_the_next_page() -> None:
    codes = [7] * 6 + list(range(100, 140))
    assert diversified(codes, 40, 5) == [*range(5), *range(6, 21), 5, *range(21, 40)]


def test_what_was_put_aside_fills_a_list_that_would_be_short() -> None:
    assert diversified([7] * 30, 30, 5) == list(range(30))
    assert diversified([7] * 8 + [8], 20, 5) == list(range(9))


def test_people_without_a_value_never_count() -> None:
    assert diversified([-1] * 50, 50, 5) == list(range(50))


CODES = st.lists(st.integers(-1, 6), max_size=120)


@given(CODES, st.integers(0, 150), st.integers(1, 6))
def test_properties(codes: list[int], places: int, most: int) -> None:
    chosen = diversified(codes, places, most)
    assert len(chosen) == min(places, len(codes)) == len(set(chosen))
    assert chosen == diversified(codes, len(codes), most)[:places], "the first places do not depend on how many"
    everything = diversified(codes, len(codes), most)
    for begin in range(0, len(everything), PAGE):
        page, rest = everything[begin : begin + PAGE], everything[begin + PAGE :]
        assert page == sorted(page)
        over = [code for code, count in Counter(codes[at] for at in page).items() if code >= 0 and count > most]
        if over:  # only where nobody else is left
            counts = Counter(codes[at] for at in page)
            assert all(codes[at] >= 0 and counts[codes[at]] >= most for at in rest)


@given(CODES, st.integers(1, 6))
def test_a_diverse_list_is_left_as_it_is(codes: list[int], most: int) -> None:
    if within(codes, most):
        assert diversified(codes, len(codes), most) == list(range(len(codes)))


def test_a_page_is_filled_only_where_nobody_else_is_left() -> None:
    rows = np.arange(30, dtype=np.uint32)
    for codes, filled in (([7] * 30, True), ([7] * 5 + [-1] * 25, False), ([7] * 6 + [8] * 24, True)):
        assert rerank.diversified(rows, np.array(codes, dtype=np.int32), 20, 5)[1] is filled
