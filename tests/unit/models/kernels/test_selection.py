"""The n-th largest number is that of a sort, whatever the numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.kernels.selection import nth_largest

numbers = st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf")])


@given(arrays(np.float32, st.integers(1, 300), elements=numbers), st.data())
def test_it_is_the_one_of_a_sort(values: np.ndarray, data: st.DataObject) -> None:
    nth = data.draw(st.integers(1, len(values)))
    assert nth_largest(values, nth) == np.sort(values)[-nth]


def test_it_finds_its_way_in_many_alike() -> None:
    values = (1 + np.random.default_rng(0).integers(0, 50, 10_000) * 1e-7).astype(np.float32)
    for nth in (1, 17, 5_000, 9_999, 10_000):
        assert nth_largest(values, nth) == np.sort(values)[-nth]
