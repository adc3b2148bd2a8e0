"""Outcomes of shown candidates, and their reward."""

import numpy as np
import pytest
import torch

from models.networks.fusion.blending import BlendingConfig, simplex
from models.networks.fusion.q_network import QNetwork
from models.schema.event_kinds import EventKind
from offline.fusion.feedback import (
    ANSWER_DAYS,
    UNKNOWN,
    Behaviour,
    Outcome,
    Reward,
    attention,
    logged,
    simulated,
)
from offline.fusion.feedback_replay import Environment
from offline.snapshot.snapshot import Interactions
from tests.support.candidate_lists import by_product, lists

DAY = 86_400


def interactions(*rows: tuple[int, int, EventKind, int]) -> Interactions:
    user, other, kind, at = zip(*rows, strict=True)
    return Interactions(
        np.array(user, np.int32), np.array(other, np.int32), np.array(kind, np.uint8), np.array(at, np.int64)
    )


def test_the_log_gives_the_outcome_of_each_impression() -> None:
    log = interactions(
        (0, 1, EventKind.IMPRESSION, 100),
        (0, 1, EventKind.INVITE, 200),
        (0, 2, EventKind.IMPRESSION, 100),
        (0, 2, EventKind.DISMISS, 150),
        (0, 2, EventKind.INVITE, 300),
        (0, 3, EventKind.IMPRESSION, 100),
        (3, 0, EventKind.INVITE, 150),
        (0, 4, EventKind.INVITE, 150),
        (0, 5, EventKind.INVITE, 50),
        (0, 5, EventKind.IMPRESSION, 100),
        (0, 6, EventKind.IMPRESSION, 100),
        (0, 6, EventKind.CONNECT, 101 + ANSWER_DAYS * DAY),
        (1, 7, EventKind.IMPRESSION, 100),
        (1, 7, EventKind.REPORT, 100),
    )
    said = logged(np.array([0, 1]), np.array([[1, 2, 3, 4, 5, 6, 7], [0, 2, 3, 4, 5, 6, 7]]), log, 8)
    assert said[0].tolist() == [Outcome.ACCEPT, Outcome.DISMISS, 0, UNKNOWN, 0, 0, UNKNOWN]
    assert said[1].tolist() == [UNKNOWN] * 6 + [Outcome.DISMISS]


def test_an_empty_log_has_no_outcomes() -> None:
    said = logged(np.array([0]), np.array([[1, 2]]), interactions((0, 1, EventKind.INVITE, 5)), 3)
    assert said.tolist() == [[UNKNOWN, UNKNOWN]]


def test_simulated_viewers_accept_friends_alone() -> None:
    some = lists(200, by_product)
    said = simulated(some, np.random.default_rng(0), Behaviour(accepts=1.0, dismisses=0.25))
    assert (said[some.labels] == Outcome.ACCEPT).all()
    assert (said[~some.valid] == UNKNOWN).all()
    others = said[some.valid & ~some.labels]
    assert set(others.tolist()) == {Outcome.IGNORE, Outcome.DISMISS}
    assert (others == Outcome.DISMISS).mean() == pytest.approx(0.25, abs=0.03)


def test_the_reward_is_the_sum_of_its_terms() -> None:
    outcomes = np.array([[Outcome.ACCEPT, Outcome.DISMISS, Outcome.IGNORE], [Outcome.IGNORE, UNKNOWN, UNKNOWN]])
    terms = Reward(accept=1.0, dismiss=-0.5, ignore=-0.1).terms(outcomes, attention(3))
    assert terms.tolist() == [pytest.approx([-0.05, 1.0, -0.5 / np.log2(3)]), pytest.approx([-0.1, 0, 0])]


def test_arms_order_those_alone_whose_outcome_is_known() -> None:
    some = lists(4, by_product)
    outcomes = np.full(some.labels.shape, UNKNOWN, np.int8)
    outcomes[0, [1, 2, 5]] = [Outcome.IGNORE, Outcome.ACCEPT, Outcome.IGNORE]
    outcomes[1, 3] = Outcome.ACCEPT
    model = QNetwork(BlendingConfig(columns=(3,), parts=1, shown=2))
    environment = Environment.of(model, some, outcomes, Reward(accept=1.0, dismiss=0.0, ignore=0.0))
    assert len(environment) == 1, "one list alone has a choice"
    product = some.features[0, [1, 2, 5], 3]
    best = np.argsort(-product)[:2]
    assert environment.proposals[0, 0] == pytest.approx(product[best].mean())
    place = [1, 2, 5][best[0]], [1, 2, 5][best[1]]
    assert environment.rewards[0, 0] == pytest.approx(attention(2)[place.index(2)] if 2 in place else 0.0)
    with pytest.raises(ValueError, match="two known outcomes"):
        Environment.of(model, some.take(np.array([1, 2])), outcomes[1:3], Reward())


def test_arms_are_all_ways_to_share_the_parts() -> None:
    blends = simplex(4, 4)
    assert blends.shape == (35, 4)
    assert torch.allclose(blends.sum(dim=1), torch.ones(35))
    assert len({tuple(blend) for blend in blends.tolist()}) == 35
    assert simplex(3, 1).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
