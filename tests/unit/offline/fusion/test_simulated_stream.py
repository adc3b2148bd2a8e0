"""Policies on a stream whose best blend is known, before and after it changes."""

import numpy as np
import pytest
import torch

from models.networks.fusion.blending import BlendingConfig, simplex
from models.networks.fusion.linucb import LinUcb, LinUcbConfig
from models.networks.fusion.q_network import QNetwork
from offline.fusion.config import DqnFusion, LinUcbFusion
from offline.fusion.dqn import DqnPolicy
from offline.fusion.linucb import LinUcbPolicy
from tests.support.offline.simulated_stream import (
    Played,
    Stream,
    Taste,
    play,
)

STREAM = Stream()
BEFORE, AFTER = Taste((0.6, 0.3, 0.1, 0.0)), Taste((0.0, 0.1, 0.3, 0.6))
BAR = 0.95


def best(taste: Taste) -> float:
    return STREAM.reward(taste, np.array(taste.blend), seed=1)


def policy(name: str, seed: int) -> LinUcbPolicy | DqnPolicy:
    torch.manual_seed(seed)
    random, columns = np.random.default_rng(seed), tuple(range(STREAM.sources))
    if name == "linucb":
        return LinUcbPolicy(LinUcb(LinUcbConfig(columns=columns, shown=1)), LinUcbFusion(), random)
    return DqnPolicy(QNetwork(BlendingConfig(columns=columns, shown=1)), DqnFusion(), random)


def test_the_best_blend_is_worth_learning() -> None:
    for taste in (BEFORE, AFTER):
        assert best(taste) >= 1.2 * STREAM.reward(taste, np.ones(4), seed=1)
        assert best(taste) >= max(STREAM.reward(taste, arm, seed=1) for arm in simplex(4, 4).numpy())


@pytest.mark.parametrize("name", ["linucb", "dqn"])
def test_a_taste_is_learned(name: str) -> None:
    played = play(policy(name, 0), STREAM, BEFORE, 4000, np.random.default_rng(0))
    assert np.mean(played.chances[:200]) < BAR * best(BEFORE), "there was something to learn"
    assert played.first_at(BAR * best(BEFORE), over=1000) is not None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["linucb", "dqn"])
def test_a_taste_is_kept_through_twenty_thousand_rounds_and_its_change_followed(name: str, seed: int) -> None:
    learner, random = policy(name, seed), np.random.default_rng(seed)
    for taste in (BEFORE, AFTER):
        played = play(learner, STREAM, taste, 20_000, random)
        assert played.first_at(BAR * best(taste)) is not None
        assert played.last() >= BAR * best(taste)


def test_a_bar_that_is_never_reached_has_no_round() -> None:
    played = Played(chances=[0.5] * 30)
    assert played.first_at(0.6, over=10) is None
    assert played.first_at(0.5, over=10) == 10


def test_sherman_and_morrison_invert_what_was_learned() -> None:
    torch.manual_seed(0)
    model = LinUcb(LinUcbConfig(columns=(0, 1), parts=1, shown=1))
    seen = model.represented(torch.randn(50, 2)).detach()
    rewards, arms = torch.rand(50), torch.randint(2, (50,))
    for arm, represented, reward in zip(arms.tolist(), seen, rewards.tolist(), strict=True):
        model.learn(arm, represented, reward)
    one_by_one = model.inverse.clone(), model.moment.clone(), model.theta.clone()
    model.refill(arms, seen, rewards)
    for mine, theirs in zip(one_by_one, (model.inverse, model.moment, model.theta), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)
    assert (model.deviations(seen[:2]) < torch.ones(2) * 3**0.5).all()


def test_the_target_follows_and_the_chance_of_exploring_falls() -> None:
    learner = policy("dqn", 0)
    assert isinstance(learner, DqnPolicy)
    before = [one.clone() for one in learner.target.parameters()]
    assert learner.epsilon == 1.0
    play(learner, STREAM, BEFORE, 300, np.random.default_rng(0))
    assert learner.epsilon == pytest.approx(1 - 0.95 * 300 / 2000)
    for old, behind, ahead in zip(before, learner.target.parameters(), learner.model.parameters(), strict=True):
        assert not torch.equal(old, behind)
        assert (behind - old).norm() < (ahead - old).norm()


def test_with_a_gamma_the_next_round_counts() -> None:
    torch.manual_seed(0)
    config = DqnFusion(gamma=0.5, window=100, epsilon=1.0, least_epsilon=1.0)
    shape = BlendingConfig(columns=(0,), parts=1, shown=1)
    learner = DqnPolicy(QNetwork(shape), config, np.random.default_rng(0))
    for _ in range(3000):  # one arm that always brings 1: its value is 1 + 0.5 + 0.25 + ... = 2
        learner.learn(np.ones((1, 1), np.float32), 0, 1.0)
    assert float(learner.model.values(torch.ones(1, 1, 1)).detach()) == pytest.approx(2.0, abs=0.1)
