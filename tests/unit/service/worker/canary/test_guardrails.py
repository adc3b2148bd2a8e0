"""Guardrails on simulated viewers: a broken canary fails by name within few requests, a good one hardly ever."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import pytest

from models.publishing.canary_counts import (
    BOUNDS_MS,
    BUCKETS,
    DISMISSED,
    ERRORS,
    INVITED,
    LISTS,
    PLACE,
    PLACE_SQUARES,
    POOR,
    REQUESTS,
    SCORE,
    SCORE_SQUARES,
    SCORED,
    Counts,
    ShareDraw,
    total,
)
from service.worker.canary.guardrails import judged, lists_of

LOOK_EVERY = 50


@dataclass
class Simulation:
    """Viewers who differ in what they invite and in the odds of their lists; the canary's are treated otherwise."""

    share: float = 0.05
    viewers: int = 3000
    errors: float = 0.0
    poor: float = 0.0
    slower: float = 1.0
    score: float = 0.0
    place: float = 0.0
    invites: float = 1.0
    dismisses: float = 1.0
    usual_poor: float = 0.0
    """share of the viewers whose lists are poor on either side"""

    def run(self, requests: int, seed: int = 0) -> tuple[int, list[str]] | None:
        """After how many requests which guardrails failed; None if none did."""
        rng, counts = np.random.default_rng(seed), Counts("one")
        arms, buckets = rng.random(self.viewers) < self.share, rng.integers(0, BUCKETS, self.viewers)
        odds, busy = rng.normal(-2, 1, self.viewers), rng.gamma(1, 1, self.viewers)
        lonely = rng.random(self.viewers) < self.usual_poor
        for done in range(1, requests + 1):
            viewer = rng.integers(self.viewers)
            arm = int(arms[viewer])
            sums = counts.sums[arm, buckets[viewer]]
            sums[REQUESTS] += 1
            if arm and rng.random() < self.errors:
                sums[ERRORS] += 1
                continue
            sums[LISTS] += 1
            if lonely[viewer] or (arm and rng.random() < self.poor):
                sums[POOR] += 1
            else:
                score = odds[viewer] + self.score * arm
                place = rng.beta(2, 10) + self.place * arm
                sums[[SCORED, SCORE, SCORE_SQUARES, PLACE, PLACE_SQUARES]] += [1, score, score**2, place, place**2]
                took_ms = rng.lognormal(1, 0.6) * (self.slower if arm else 1)
                counts.times[arm, bisect_left(BOUNDS_MS, took_ms)] += 1
            sums[INVITED] += rng.poisson(0.3 * busy[viewer] * (self.invites if arm else 1))
            sums[DISMISSED] += rng.poisson(0.1 * busy[viewer] * (self.dismisses if arm else 1))
            if not done % LOOK_EVERY and (names := [one.name for one in judged(counts) if one.verdict == "failed"]):
                return done, names
        return None


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (Simulation(share=0.1, errors=0.1), "errors"),
        (Simulation(share=0.1, poor=0.1), "empty_answers"),
        (Simulation(share=0.25, slower=8), "p99"),
        (Simulation(score=2), "scores"),
        (Simulation(score=-2), "scores"),
        (Simulation(place=0.5), "order"),
        (Simulation(share=0.1, invites=0.1), "invitations"),
        (Simulation(share=0.1, dismisses=5), "dismissals"),
    ],
)
def test_a_broken_canary_fails_by_name_within_two_thousand_requests(broken: Simulation, name: str) -> None:
    for seed in range(5):
        found = broken.run(2000, seed)
        assert found is not None, seed
        assert name in found[1]


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_good_canary_hardly_ever_fails_however_often_one_looks(share: float) -> None:
    found = [Simulation(share=share, usual_poor=0.03).run(2000, seed) for seed in range(25)]
    assert sum(one is not None for one in found) <= 1


def acts(of: int, control: tuple[int, int], canary: tuple[int, int]) -> Counts:
    """Counts of (acts, lists) of each side, spread over all buckets."""
    counts = Counts("one")
    for arm, (acted, lists) in enumerate((control, canary)):
        counts.sums[arm, :, [REQUESTS, LISTS]] = lists / BUCKETS
        counts.sums[arm, :, of] = acted / BUCKETS
    return counts


def verdict_of(counts: Counts, name: str) -> str:
    (guardrail,) = [one for one in judged(counts) if one.name == name]
    return guardrail.verdict


def test_dismissals_that_the_others_have_none_of_fail() -> None:
    """Half of the canary's lists are dismissed from, and none of 19,200 others'."""
    assert verdict_of(acts(DISMISSED, (0, 19_200), (512, 1024)), "dismissals") == "failed"
    assert verdict_of(acts(DISMISSED, (0, 19_200), (0, 1024)), "dismissals") == "ok"
    assert verdict_of(acts(DISMISSED, (0, 19_200), (3, 1024)), "dismissals") == "ok", "by chance, and so few"
    assert verdict_of(acts(DISMISSED, (0, 64), (3, 64)), "dismissals") == "ok"


def test_invitations_that_the_others_have_none_of_are_too_few_to_judge_by() -> None:
    assert verdict_of(acts(INVITED, (0, 19_200), (0, 1024)), "invitations") == "waiting"
    assert verdict_of(acts(INVITED, (9600, 19_200), (0, 1024)), "invitations") == "failed"


def test_what_one_viewer_dismisses_is_no_sample() -> None:
    counts = acts(DISMISSED, (10, 19_200), (0, 0))
    counts.sums[1, 3, [REQUESTS, LISTS]], counts.sums[1, 3, DISMISSED] = 200, 100
    assert verdict_of(counts, "dismissals") == "ok"


@pytest.mark.parametrize(
    ("share", "rate", "burst"), [(0.05, 0.0005, 1), (0.05, 0.0005, 3), (0.5, 0.0005, 3), (0.05, 0.005, 8)]
)
def test_a_good_canary_does_not_fail_by_what_hardly_ever_happens(share: float, rate: float, burst: int) -> None:
    """Both sides act so often per list, in bursts of so many on average, until 20,000 lists of the canary."""
    looks = np.unique(np.geomspace(40, 20_000, 16).astype(int))
    of_arms = np.array([(1 - share) / share, 1.0])
    failed = []
    for seed in range(60):
        rng, counts = np.random.default_rng(seed), Counts("one")
        for new in np.diff(looks, prepend=0):
            drawn = rng.multinomial((new * of_arms).round().astype(int), [1 / BUCKETS] * BUCKETS)
            counts.sums[:, :, [REQUESTS, LISTS]] += drawn[:, :, None]
            for of in (INVITED, DISMISSED):
                bursts = rng.poisson(rate / burst * drawn)
                counts.sums[:, :, of] += bursts + rng.negative_binomial(np.maximum(bursts, 1), 1 / burst) * (bursts > 0)
            failed += [(seed, one.name) for one in judged(counts) if one.verdict == "failed"]
    assert not failed


def test_too_few_lists_are_not_judged() -> None:
    counts = Counts("one")
    counts.sums[:, 0, REQUESTS] = counts.sums[:, 0, LISTS] = counts.sums[1, 0, POOR] = 20
    assert {one.verdict for one in judged(counts) if one.name != "opened"} == {"waiting"}
    assert lists_of(counts) == {"control": 20, "canary": 20}


def test_the_requests_of_one_viewer_are_no_sample() -> None:
    counts = Counts("one")
    counts.sums[:, :, REQUESTS] = counts.sums[:, :, LISTS] = 20
    counts.sums[1, 3, POOR] = 20
    (verdict,) = [one.verdict for one in judged(counts) if one.name == "empty_answers"]
    assert verdict == "ok", "1.6% of the lists, all of one viewer"


def test_a_process_without_the_canary_takes_it_back() -> None:
    counts = total("one", [Counts("one").pack(), Counts("one", fault="its ranker is damaged").pack()])
    (opened,) = [one for one in judged(counts) if one.name == "opened"]
    assert (opened.verdict, "its ranker is damaged" in opened.sentence) == ("failed", True)


def test_counts_of_processes_add_up_and_those_of_another_step_are_left_out() -> None:
    one, other, former = Counts("one"), Counts("one"), Counts("before")
    one.sums[0, 1, LISTS], other.sums[0, 1, LISTS], former.sums[0, 1, LISTS] = 3, 4, 9
    one.times[1, 2] = 5
    every = total("one", [one.pack(), other.pack(), former.pack(), b"not json", b"{}"])
    assert (every.sums.sum(), every.sums[0, 1, LISTS], every.times[1, 2]) == (7, 7, 5)


def test_a_larger_share_has_all_viewers_of_a_smaller_and_another_canary_has_others() -> None:
    people = [f"person{number}" for number in range(4000)]
    small, large, other = ShareDraw("v", 0.05), ShareDraw("v", 0.25), ShareDraw("w", 0.05)
    chosen = {one for one in people if small.has(one)}
    assert 150 < len(chosen) < 250
    assert chosen < {one for one in people if large.has(one)}
    assert len(chosen & {one for one in people if other.has(one)}) < 40
    assert all(small.has(one) == bool(small.arm(small.number(one))) for one in people)
