"""Off-policy estimates: known policies, obvious logs, and how often an interval covers the truth."""

from dataclasses import replace

import numpy as np
import pytest

from offline.experiments.off_policy import Slates, estimate, overlap_of
from tests.support.experiments.logged_slates import CANDIDATES, PLACES, Network, marginals


def two_positions(logged: float, target: float, outcome: float = 1.0, slates: int = 400) -> Slates:
    """Every slate the same: one position filled with these probabilities, and an empty one."""
    column = np.zeros((slates, 2))
    full = column.copy()
    full[:, 0] = 1.0
    return Slates(np.arange(slates), full * outcome, full * logged, full * target, column, column)


def test_the_marginals_of_a_policy_are_those_of_its_draws() -> None:
    utilities = np.array([[1.0, 0.3, -0.2, 0.0, -1.0, 0.5]])
    exact = marginals(utilities)[0]
    assert exact.sum(axis=0) == pytest.approx(np.ones(PLACES))
    random = np.random.default_rng(0)
    drawn = np.argsort(-(utilities + random.gumbel(size=(200_000, CANDIDATES))), axis=1)[:, :PLACES]
    counted = np.stack([np.bincount(drawn[:, at], minlength=CANDIDATES) for at in range(PLACES)], axis=1) / len(drawn)
    assert counted == pytest.approx(exact, abs=0.005)


def test_the_logging_policy_is_worth_what_it_earned() -> None:
    slates = Network(1).log()
    found = estimate(replace(slates, target=slates.logged, expected=slates.predicted))
    assert found.ips is not None
    assert found.snips is not None
    assert found.dr is not None
    assert found.ips.value == found.snips.value == pytest.approx(found.logged.value)
    assert found.dr.value == pytest.approx(found.logged.value)
    assert found.overlap.effective == len(slates.outcomes)


def test_a_position_that_shows_no_one_counts_nothing() -> None:
    found = estimate(two_positions(0.5, 0.5))
    assert found.dr is not None
    assert (found.dr.value, found.dr.low, found.dr.high) == (1.0, 1.0, 1.0)


def test_a_policy_whose_people_are_never_shown_has_no_value() -> None:
    overlap = overlap_of(two_positions(1.0, 0.0))
    assert overlap.effective == 0
    assert overlap.refusal is not None
    assert "position 1" in overlap.refusal


def test_weights_that_are_not_probabilities_are_refused() -> None:
    found = estimate(two_positions(0.5, 0.2))
    assert found.dr is None
    assert found.overlap.refusal is not None
    assert "mean of 0.40" in found.overlap.refusal


def test_a_handful_of_heavy_lists_is_refused() -> None:
    found = estimate(Network(2, logging=4.0, target=-4.0).log())
    assert found.ips is found.snips is found.dr is None
    assert found.overlap.refusal is not None
    assert "100 are needed" in found.overlap.refusal
    assert found.logged.low < found.logged.value < found.logged.high


def test_a_log_without_people_is_refused_and_no_log_is_an_error() -> None:
    nobody = two_positions(0.0, 0.0)
    assert overlap_of(nobody).refusal == "no list in the log shows anybody"
    with pytest.raises(ValueError, match="no slate"):
        estimate(two_positions(1.0, 1.0, slates=0))


def test_a_model_that_knows_the_outcome_leaves_nothing_to_chance() -> None:
    slates = Network(3).log()
    ones = np.ones_like(slates.outcomes)
    found = estimate(replace(slates, outcomes=ones, predicted=ones, expected=ones))
    assert found.ips is not None
    assert found.dr is not None
    assert (found.dr.low, found.dr.high) == (PLACES, PLACES)
    assert found.ips.high - found.ips.low > 0.1


def test_a_wrong_model_does_not_move_the_estimate() -> None:
    slates = Network(4).log(viewers=5000)
    wrong = replace(slates, predicted=slates.predicted + 0.3, expected=slates.expected + 0.3)
    right, other = estimate(slates, resamples=50).dr, estimate(wrong, resamples=50).dr
    assert right is not None
    assert other is not None
    assert other.value == pytest.approx(right.value, abs=0.03)


def covered(logs: int, seed: int) -> tuple[float, float]:
    """Share of the estimates given whose doubly robust interval has the true value, and share of logs refused."""
    truth = Network(seed).truth()
    found = [estimate(Network(seed + 1 + log).log(), seed=log).dr for log in range(logs)]
    given = [one for one in found if one is not None]
    return float(np.mean([one.low <= truth <= one.high for one in given])), 1 - len(given) / logs


def test_intervals_of_200_logs_cover_the_truth() -> None:
    share, refused = covered(200, seed=1000)
    assert 0.93 <= share <= 0.97
    assert refused <= 0.01


def test_intervals_of_a_few_viewers_cover_the_truth() -> None:
    """25 viewers who click a lot or hardly at all: what is judged is shown in a tenth of the places."""
    random, hits, logs, n = np.random.default_rng(0), 0, 120, 25 * 100
    for log in range(logs):
        taste = random.choice([0.02, 0.2], size=25)
        viewers, target = np.arange(n) % 25, random.random((n, 3)) < 0.1
        seen = (random.random((n, 3)) < taste[viewers, None]).astype(np.float64)
        model = np.full((n, 3), 0.1)
        found = estimate(Slates(viewers, seen, np.full((n, 3), 0.1), target.astype(float), model, model), seed=log)
        assert found.dr is not None
        hits += found.dr.low <= 3 * 0.11 <= found.dr.high
    assert hits / logs >= 0.93


@pytest.mark.slow
def test_intervals_of_2000_logs_cover_the_truth() -> None:
    share, refused = covered(2000, seed=50_000)
    assert 0.935 <= share <= 0.965
    assert refused <= 0.01
