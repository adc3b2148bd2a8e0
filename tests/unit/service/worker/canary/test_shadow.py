"""The guardrails that need no viewer, on vectors and shares whose verdict is obvious."""

import numpy as np
import pytest

from models.graph import Graph
from service.worker.canary import shadow
from service.worker.canary.shadow import friends_and_others


def test_others_are_no_friends_and_as_well_connected() -> None:
    hub = Graph.from_pairs(100, np.zeros(60, np.int64), np.arange(1, 61))
    people, friends, others = friends_and_others(hub, 4000)
    assert len(people) > 500
    assert hub.contains(people, friends).all()
    assert not hub.contains(people, others).any()
    assert not (people == others).any()
    assert (hub.degrees[others] > 0).all(), "who has no friends is no fair comparison"


def test_without_friendships_there_is_nobody_to_compare() -> None:
    nobody = Graph.from_pairs(5, np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert [len(of) for of in friends_and_others(nobody, 100)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (0.95, 0.5, "failed"),
        (0.95, 0.6, "failed"),
        (0.95, 0.93, "ok"),
        (0.95, 0.8, "ok"),
        (0.5, 0.5, "ok"),
        (0.55, 0.5, "ok"),
        (0.5, 0.9, "ok"),
    ],
)
def test_half_of_the_advantage_may_be_lost_and_chance_is_granted(before: float, after: float, verdict: str) -> None:
    n = 4000
    control, own = ((np.arange(n) < share * n).astype(np.float64) for share in (before, after))
    found = shadow._knowing("towers", "friends who lie nearer", control, own)
    assert (found.name, found.verdict) == ("towers", verdict)
    assert (found.control, found.canary) == (before, after)


def test_few_friendships_are_not_judged() -> None:
    few = np.ones(20)
    assert shadow._knowing("towers", "friends", few, 1 - few).verdict == "waiting"
    assert shadow._agreeing(np.zeros(20)).verdict == "waiting"
    assert shadow._promising(np.full(20, 9.0), [1.0, 1.0]).verdict == "waiting"


@pytest.mark.parametrize(("agreement", "verdict"), [(0.0, "failed"), (0.02, "failed"), (0.3, "ok"), (1.0, "ok")])
def test_lists_that_have_nobody_in_common_are_told(agreement: float, verdict: str) -> None:
    assert shadow._agreeing(np.full(200, agreement)).verdict == verdict


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "ok"), (1.8, "ok"), (0.6, "ok"), (3.0, "failed"), (0.3, "failed")]
)
def test_odds_of_the_same_people_may_differ_by_a_factor_of_two(factor: float, verdict: str) -> None:
    moves = np.log(factor) + np.random.default_rng(0).normal(0, 0.5, 200)
    found = shadow._promising(moves, [0.1, 0.1 * factor])
    assert found.verdict == verdict
    assert f"a factor of {np.exp(abs(moves.mean())):.2f}" in found.sentence


def test_chance_is_granted_to_agreement() -> None:
    shares = np.zeros(200)
    shares[:8] = 1
    assert shares.mean() < 0.05
    assert shadow._agreeing(shares).verdict == "ok", "a few like lists are too few to say that there are none"
