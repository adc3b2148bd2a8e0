"""Calibration of probabilities, by hand and in agreement with scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from offline.evaluation.calibration import calibration


def drawn(m: int = 60_000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    probabilities = random.random(m).astype(np.float32)
    return probabilities, random.random(m) < probabilities


def test_probabilities_that_come_true_have_next_to_no_error() -> None:
    told = calibration(*drawn())
    assert told is not None
    assert told.error < 0.01
    assert told.brier == pytest.approx(1 / 6, abs=0.005)
    assert told.base_brier == pytest.approx(1 / 4, abs=0.005)


def test_probabilities_half_as_large_as_they_should_be_are_off_by_that() -> None:
    probabilities, outcomes = drawn()
    told = calibration(probabilities / 2, outcomes)
    assert told is not None
    assert told.error == pytest.approx(0.25, abs=0.01)


def test_the_error_is_the_mean_gap_of_bins_of_equal_mass() -> None:
    probabilities, outcomes = drawn(1003)
    bins = np.array_split(np.argsort(probabilities), 15)
    gaps = [abs(probabilities[one].mean() - outcomes[one].mean()) * len(one) for one in bins]
    told = calibration(probabilities, outcomes)
    assert told is not None
    assert told.error == pytest.approx(sum(gaps) / 1003, abs=0.005)
    assert told.brier == pytest.approx(brier_score_loss(outcomes, probabilities))
    assert told.pairs == 1003


def test_equal_probabilities_share_their_outcomes_whatever_the_order() -> None:
    outcomes = np.repeat([True, False], [300, 700])
    same = np.full(1000, 0.3, np.float32)
    first, second = calibration(same, outcomes), calibration(same, outcomes[::-1])
    assert first == second
    assert first is not None
    assert first.error == pytest.approx(0, abs=1e-6)


def test_few_pairs_and_none() -> None:
    told = calibration(np.array([0.8, 0.1]), np.array([True, False]))
    assert told is not None
    assert told.error == pytest.approx(0.15)
    assert calibration(np.zeros(0), np.zeros(0, bool)) is None
