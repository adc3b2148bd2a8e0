"""Tests that are looked at after every draw: hardly ever wrong, and soon right."""

from math import log

import numpy as np

from models.experiments.always_valid import evidence_above, evidence_fewer, evidence_more, mixture_widths, rate_of

ALPHA = 0.05


def largest_evidence(share: float, bound: float, draws: int, seed: int) -> float:
    hits = np.cumsum(np.random.default_rng(seed).random(draws) < share)
    return max(evidence_above(float(some), float(n), bound) for n, some in enumerate(hits.tolist(), 1))


def test_a_share_at_its_bound_gathers_no_evidence_at_any_look() -> None:
    found = [largest_evidence(0.1, 0.1, 500, seed) for seed in range(200)]
    assert np.mean(np.array(found) >= log(1 / ALPHA)) <= ALPHA


def test_a_share_above_its_bound_is_found() -> None:
    assert all(largest_evidence(0.1, 0.01, 300, seed) > log(1000) for seed in range(10))
    assert evidence_above(0, 10, 0.1) == evidence_above(0, 0, 0.1) == 0.0


def test_the_evidence_is_that_of_the_integral() -> None:
    shares = np.linspace(0.1, 1, 200_001)[:-1]
    ratio = np.mean(np.exp(12 * np.log(shares / 0.1) + 28 * np.log((1 - shares) / 0.9)))
    assert abs(evidence_above(12, 40, 0.1) - np.log(ratio)) < 0.15
    assert evidence_above(12, 40, 0.1) <= np.log(ratio)


def test_a_rate_at_its_bound_gathers_no_evidence_at_any_look() -> None:
    for evidence in (evidence_more, evidence_fewer):
        found = []
        for seed in range(300):
            acts = np.cumsum(np.random.default_rng(seed).poisson(0.02, 2000)).tolist()
            found.append(max(evidence(some, 0.02 * n) for n, some in enumerate(acts, 1)))
        assert np.mean(np.array(found) >= log(1 / ALPHA)) <= ALPHA


def test_a_rate_on_the_wrong_side_of_its_bound_is_found() -> None:
    assert evidence_more(512, 0.1) > log(1e6)
    assert evidence_fewer(0, 30) > log(1e6)
    assert evidence_more(3, 3) == evidence_more(0, 0) == evidence_fewer(3, 3) == evidence_fewer(0, 0) == 0.0


def test_the_evidence_on_a_rate_is_that_of_the_integral() -> None:
    step = 1e-4
    below, above = np.arange(step / 2, 1, step), np.arange(1 + step / 2, 40, step)
    fewer = np.log(np.sum(np.exp(4 * np.log(below) - (below - 1) * 20)) * step)
    more = np.log(np.sum(np.exp(20 * np.log(above) - (above - 1) * 4 - (above - 1))) * step)
    for found, right in ((evidence_fewer(4, 20), fewer), (evidence_more(20, 4), more)):
        assert right - 0.05 < found <= right + 1e-3


def test_intervals_hold_at_all_looks_and_are_narrowest_where_asked() -> None:
    looks = np.arange(1, 400)
    errors, information = 1 / np.sqrt(looks), looks.astype(float)
    widths = mixture_widths(errors, information, rate_of(50.0, ALPHA), ALPHA)
    outside = []
    for seed in range(300):
        means = np.cumsum(np.random.default_rng(seed).normal(size=len(looks))) / looks
        outside.append(bool((np.abs(means) > widths).any()))
    assert np.mean(outside) <= ALPHA
    tuned = {at: mixture_widths(errors, information, rate_of(at, ALPHA), ALPHA)[49] for at in (5.0, 50.0, 390.0)}
    assert min(tuned, key=tuned.__getitem__) == 50.0
