"""What is kept of many rows is what a sort would put first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.kernels.candidate_arrays import new_work_buffers
from models.kernels.selection import keep_best, mixed, nth_largest

numbers = st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf")])


@given(arrays(np.float32, st.integers(1, 300), elements=numbers), st.data())
def test_it_is_the_one_of_a_sort(values: np.ndarray, data: st.DataObject) -> None:
    nth = data.draw(st.integers(1, len(values)))
    assert nth_largest(values, nth) == np.sort(values)[-nth]


def test_it_finds_its_way_in_many_alike() -> None:
    values = (1 + np.random.default_rng(0).integers(0, 50, 10_000) * 1e-7).astype(np.float32)
    for nth in (1, 17, 5_000, 9_999, 10_000):
        assert nth_largest(values, nth) == np.sort(values)[-nth]


def kept_of(rows: list[int], scores: list[float], limit: int, user: int = 0) -> list[int]:
    """What `keep_best` keeps of rows, in their order."""
    n = max(rows) + 1
    work = new_work_buffers(np.zeros(n + 1, np.int64), np.ones(n, np.bool_))
    work.eligible[: len(rows)], work.ranking[: len(rows)] = rows, scores
    return [int(row) for row in work.eligible[: keep_best(work, user, len(rows), limit)]]


@given(st.data())
def test_the_best_are_kept_in_their_order_and_ties_by_the_lowest_hash(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, 200), min_size=1, max_size=60, unique=True))
    scores = data.draw(st.lists(st.sampled_from([-2.0, -1.0, 0.5, 3.0]), min_size=len(rows), max_size=len(rows)))
    limit = data.draw(st.integers(0, len(rows) + 2))
    best = sorted(zip(scores, rows, strict=True), key=lambda pair: (-pair[0], mixed(7, pair[1])))[:limit]
    chosen = {row for _, row in best}
    assert kept_of(rows, scores, limit, user=7) == [row for row in rows if row in chosen]


def test_of_two_rows_with_one_hash_neither_takes_the_place_of_a_lower_one() -> None:
    same, also, lower = 470, 123_345, 123_348
    assert mixed(0, same) == mixed(0, also) > mixed(0, lower)
    assert kept_of([same, also, lower], [1.0, 1.0, 1.0], 2) == [same, lower]
    assert kept_of([also, same, lower], [1.0, 1.0, 1.0], 2) == [same, lower]
