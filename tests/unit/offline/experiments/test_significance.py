"""Sizes of arms, and corrections for many metrics."""

import numpy as np
import pytest

from offline.experiments.significance import MISMATCH, holm, sample_ratio


def test_a_split_of_52_to_48_among_10000_viewers_is_flagged() -> None:
    assert sample_ratio([5200, 4800], [0.5, 0.5]) < MISMATCH
    assert sample_ratio([5050, 4950], [0.5, 0.5]) > MISMATCH


def test_shares_need_not_be_even_nor_complete() -> None:
    assert sample_ratio([900, 100], [0.45, 0.05]) == 1.0
    assert sample_ratio([5000, 5000], [0.45, 0.05]) < MISMATCH
    assert sample_ratio([0, 0], [0.5, 0.5]) == 1.0


def test_equal_shares_are_seldom_flagged() -> None:
    sizes = np.random.default_rng(0).binomial(10_000, 0.5, size=2000)
    flagged = np.mean([sample_ratio([size, 10_000 - size], [0.5, 0.5]) < MISMATCH for size in sizes])
    assert flagged <= 0.003


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.zeros(0))) == 0
