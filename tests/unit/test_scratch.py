"""Arrays that are used again, and rectifying in place."""

import numpy as np
import pytest

from models.scratch import Scratch, rectify


@pytest.mark.parametrize("shape", [(0, 3), (7, 65), (1000, 65), (3000, 66)])
def test_nothing_below_zero_is_left_and_the_rest_stays(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = np.where(values > 0, values, 0)
    assert rectify(values) is values
    np.testing.assert_array_equal(values, expected)


def test_an_array_comes_again_under_its_name_whatever_its_shape() -> None:
    scratch = Scratch()
    first, other = scratch.array("a", 10, 20), scratch.array("b", 10, 20)
    smaller, larger = scratch.array("a", 20, 5), scratch.array("a", 20, 20)
    assert (first.shape, smaller.shape, larger.shape) == ((10, 20), (20, 5), (20, 20))
    assert np.shares_memory(first, smaller)
    assert not np.shares_memory(first, other)
    assert larger.flags.c_contiguous
