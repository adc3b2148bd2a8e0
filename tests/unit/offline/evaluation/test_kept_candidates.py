"""Candidates that several rankings read are made once, and are the same each time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.version.candidate_block import Block, quantise
from offline.evaluation.system import KeptCandidates


class Counted:
    """Makes a block of three candidates for each user, and notes for whom."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def blocks(self, users: NDArray[np.int64]) -> Iterator[Block]:
        for user in users.tolist():
            self.asked.append(user)
            rows = np.array([user + 1, user + 2, user + 3], np.uint32)
            yield quantise(user, rows, np.ones(3, np.uint8), np.arange(6, dtype=np.float32).reshape(2, 3) * user)


def test_each_user_is_asked_for_once_whatever_the_order() -> None:
    made = Counted()
    kept = KeptCandidates(made)
    first = list(kept.blocks(np.array([4, 7])))
    again = list(kept.blocks(np.array([7, 5, 4])))
    assert made.asked == [4, 7, 5]
    assert [block.viewer for block in again] == [7, 5, 4]
    assert again[2].pack() == first[0].pack()
    np.testing.assert_array_equal(again[1].rows, [6, 7, 8])
