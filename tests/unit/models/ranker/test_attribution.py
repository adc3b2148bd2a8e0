"""Attributions: shares add up to the score and go to the inputs that cause it."""

import numpy as np
import pytest

from models.ranker.attribution import Head


def head(seed: int, inputs: int = 7) -> Head:
    random = np.random.default_rng(seed)
    return Head(
        random.normal(size=(inputs, 9)),
        random.normal(size=9),
        random.normal(size=(9, 5)),
        random.normal(size=5),
        random.normal(size=5),
        0.3,
        random.normal(size=inputs),
    )


@pytest.mark.parametrize("seed", range(20))
def test_shares_add_up_to_the_difference_of_the_scores(seed: int) -> None:
    asked, random = head(seed), np.random.default_rng(seed)
    start, end = random.normal(size=(2, 7)) * 3
    shares = asked.shares(start, end)
    assert shares.sum() == pytest.approx(asked.score(end) - asked.score(start), abs=0.05)


def test_an_input_that_does_not_move_has_no_share() -> None:
    asked = head(3)
    start = np.zeros(7)
    end = np.array([0, 0, 2.0, 0, 0, 0, 0])
    shares = asked.shares(start, end)
    assert np.flatnonzero(shares).tolist() == [2]
    assert shares[2] == pytest.approx(asked.score(end) - asked.score(start), abs=0.02)


def test_where_only_the_linear_way_counts_shares_are_its_weights() -> None:
    silent = head(4)
    linear = Head(silent.first, silent.first_bias, silent.second, silent.second_bias, np.zeros(5), 0.0, np.arange(7.0))
    assert linear.shares(np.ones(7), np.full(7, 3.0)) == pytest.approx(2 * np.arange(7.0))
