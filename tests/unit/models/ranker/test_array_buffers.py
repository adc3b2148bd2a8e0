"""Arrays that are used again."""

import numpy as np

from models.ranker.array_buffers import Scratch


def test_an_array_comes_again_under_its_name_whatever_its_shape() -> None:
    scratch = Scratch()
    first, other = scratch.array("a", 10, 20), scratch.array("b", 10, 20)
    smaller, larger = scratch.array("a", 20, 5), scratch.array("a", 20, 20)
    assert (first.shape, smaller.shape, larger.shape) == ((10, 20), (20, 5), (20, 20))
    assert np.shares_memory(first, smaller)
    assert not np.shares_memory(first, other)
    assert larger.flags.c_contiguous
