"""Training the ranker on made-up lists: it learns a rule that is there, none that is not, and says how sure it is."""

from collections.abc import Callable

import numpy as np
import pytest
import structlog
import torch

from models.networks.ranker_head import RankerHead
from models.ranker.ranker import list_mass
from models.schema.pair_features import (
    COMMON,
    DEFAULT_PRERANK_WEIGHTS,
    EXTRA_INPUTS,
    PAGERANK,
    PAIR_FEATURES,
    PRODUCT,
    PROFILE_AFFINITY,
)
from models.schema.statistic_names import LOG_DEGREE, STATISTICS
from offline.evaluation.calibration import calibration
from offline.evaluation.metrics import ndcg_of_lists
from offline.ranker.config import RankerConfig
from offline.ranker.train import _Run, train_ranker
from offline.ranker.training_lists import TrainingLists

pytestmark = pytest.mark.usefixtures("one_thread")

N, M = 300, 40
LOG = structlog.get_logger()
NO_PRIOR = np.zeros(len(PAIR_FEATURES) + 1, np.float32)
QUICK = RankerConfig(
    sparse_friends=0,
    epochs=6,
    batch_users=16,
    hardest=8,
    others=12,
    patience=6,
    learning_rate=5e-3,
)


Rule = Callable[[TrainingLists, np.random.Generator], np.ndarray]
"""how likely each candidate (U, m) is to become a friend, 0-1"""


def statistics(seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(N, len(STATISTICS))).astype(np.float32)
    drawn[:, LOG_DEGREE] = np.abs(drawn[:, LOG_DEGREE]) * 2
    return drawn


def lists(users: int, rule: Rule, seed: int = 0) -> TrainingLists:
    """Lists of random candidates whose outcomes are drawn by a rule; some lists are shorter than others."""
    random = np.random.default_rng(seed)
    shape, features = (users, M), len(PAIR_FEATURES)
    drawn = TrainingLists(
        users=random.integers(N, size=users),
        rows=np.stack([random.permutation(N)[:M] for _ in range(users)]).astype(np.uint32),
        sources=random.integers(1, 64, shape).astype(np.uint8),
        codes=random.integers(0, 256, (users, features, M)).astype(np.uint8),
        low=np.zeros((users, features), np.float32),
        step=np.full((users, features), 1 / 255, np.float32),
        counts=random.integers(M // 2, M + 1, users),
        outcomes=np.zeros(shape, np.bool_),
        friends_made=np.zeros(users, np.int64),
        offset=np.zeros(users, np.int64),
        purpose=np.zeros(users, np.uint8),
        outcome_weight=np.ones(users, np.float32),
    )
    drawn.outcomes[:] = (random.random(shape) < rule(drawn, random)) & drawn.in_use
    drawn.friends_made[:] = drawn.outcomes.sum(axis=1)
    return drawn.take(np.flatnonzero(drawn.friends_made))


def by_affinity(drawn: TrainingLists, _: np.random.Generator) -> np.ndarray:
    return 0.9 * (drawn.codes[:, PROFILE_AFFINITY] > 240)


def by_chance(drawn: TrainingLists, _: np.random.Generator) -> np.ndarray:
    return np.full(drawn.rows.shape, 0.06)


def scored(model: RankerHead, sampled_viewers: TrainingLists) -> np.ndarray:
    """(U, m) scores by the network, -inf where there is no candidate."""
    with torch.no_grad():
        scores = model(torch.from_numpy(sampled_viewers.pair_inputs(statistics()))).numpy()
    return np.where(sampled_viewers.in_use, scores, -np.inf).astype(np.float32)


def quality(model: RankerHead, sampled_viewers: TrainingLists) -> float:
    return float(
        np.mean(ndcg_of_lists(scored(model, sampled_viewers), sampled_viewers.outcomes, sampled_viewers.friends_made))
    )


def chance(sampled_viewers: TrainingLists) -> float:
    random = np.random.default_rng(9)
    drawn = [
        np.where(sampled_viewers.in_use, random.random(sampled_viewers.rows.shape), -np.inf).astype(np.float32)
        for _ in range(20)
    ]
    return float(np.mean([ndcg_of_lists(one, sampled_viewers.outcomes, sampled_viewers.friends_made) for one in drawn]))


def trained(training_lists: TrainingLists, config: RankerConfig = QUICK, prior: np.ndarray = NO_PRIOR) -> RankerHead:
    return train_ranker(training_lists, statistics(), prior, config, log=LOG).model


def test_a_rule_of_one_feature_is_learned() -> None:
    fresh = lists(150, by_affinity, seed=1)
    assert chance(fresh) < 0.45
    model = trained(lists(200, by_affinity))
    assert quality(model, fresh) > 0.8
    assert not model.training


def by_product(drawn: TrainingLists, _: np.random.Generator) -> np.ndarray:
    return 0.9 * (drawn.codes[:, PRODUCT] > 240)


def test_what_the_towers_tell_is_read_and_told_apart_from_what_is_learned() -> None:
    fresh = lists(150, by_product, seed=1)
    ranker = train_ranker(lists(200, by_product), statistics(), NO_PRIOR, QUICK, log=LOG)
    assert quality(ranker.model, fresh) > 0.8
    told = ranker.metrics
    assert told["towers_ndcg20"] > 0.95
    assert abs(told["gain_over_towers"]) < 0.1
    other = train_ranker(lists(200, by_affinity), statistics(), NO_PRIOR, QUICK, log=LOG).metrics
    assert other["towers_ndcg20"] < 0.45
    assert other["gain_over_towers"] > other["gain_error"] > 0


def test_nothing_is_learned_where_there_is_nothing_to_learn() -> None:
    fresh = lists(1200, by_chance, seed=1)
    assert quality(trained(lists(200, by_chance)), fresh) == pytest.approx(chance(fresh), abs=0.04)
    # the same rule, its outcomes shuffled within each list; a single ranker may be right or wrong by luck
    ruled, found = lists(300, by_affinity, seed=1), []
    for seed in (0, 2, 3):
        shuffled, random = lists(200, by_affinity, seed=seed), np.random.default_rng(3)
        for at, count in enumerate(shuffled.counts):
            shuffled.outcomes[at, :count] = random.permutation(shuffled.outcomes[at, :count])
        found.append(quality(trained(shuffled), ruled))
    assert np.mean(found) == pytest.approx(chance(ruled), abs=0.12)


def test_one_seed_gives_one_ranker() -> None:
    training_lists, hasty = lists(80, by_affinity), QUICK.model_copy(update={"epochs": 2})
    first, second, other = (
        trained(training_lists, hasty.model_copy(update={"seed": seed})).state_dict() for seed in (4, 4, 5)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_one_list_is_not_enough_and_two_are() -> None:
    few = lists(40, by_affinity)
    with pytest.raises(ValueError, match="not from 1"):
        trained(few.take(np.array([0])))
    assert np.isfinite(scored(trained(few.take(np.array([0, 1]))), few)[few.in_use]).all()


def test_training_begins_at_the_pre_ranking_score() -> None:
    prior = NO_PRIOR.copy()
    prior[PRODUCT], prior[COMMON], prior[-1] = 2.0, -1.0, 0.3
    still = QUICK.model_copy(update={"epochs": 1, "learning_rate": 1e-9})
    sampled_viewers = lists(60, by_chance)
    values = sampled_viewers.codes / np.float32(255)
    prerank_weights = 2 * values[:, PRODUCT] - values[:, COMMON] + 0.3 * statistics()[sampled_viewers.rows, LOG_DEGREE]
    found = scored(trained(sampled_viewers, still, prior), sampled_viewers)
    difference = (found - prerank_weights)[sampled_viewers.in_use]
    assert difference.std() < 1e-3  # a constant changes no order


def run_of(sampled_viewers: TrainingLists, config: RankerConfig) -> _Run:
    """A run over these lists before its first step."""
    model = trained(sampled_viewers, QUICK.model_copy(update={"epochs": 1}))
    random = np.random.default_rng(0)
    return _Run(model, sampled_viewers, sampled_viewers, statistics(), config, random)


def test_all_of_a_list_stand_in_for_those_not_drawn() -> None:
    sampled_viewers = lists(40, by_affinity)
    places, weights = sampled_viewers.sampled_places(5, 3, np.random.default_rng(0))
    for at, count in enumerate(sampled_viewers.counts):
        used = np.isfinite(weights[at])
        taken = places[at, used]
        friends = np.flatnonzero(sampled_viewers.outcomes[at])
        rest = np.flatnonzero(~sampled_viewers.outcomes[at, :count])
        assert len(np.unique(taken)) == len(taken) == len(friends) + min(len(rest), 8)
        assert set(friends) | set(rest[:5]) <= set(taken.tolist())
        strangers = ~sampled_viewers.outcomes[at, taken]
        assert np.exp(weights[at, used][strangers]).sum() == pytest.approx(len(rest), rel=1e-5)
        assert (weights[at, used][~strangers] == 0).all()


class Recording(torch.optim.SGD):
    """Changes no weight and keeps every gradient that it was given."""

    def __init__(self, model: RankerHead) -> None:
        super().__init__(model.parameters(), lr=0.0)
        self.seen: list[torch.Tensor] = []

    def step(self, closure: None = None) -> None:
        gradients = [one.grad for group in self.param_groups for one in group["params"] if one.grad is not None]
        self.seen.append(torch.cat([one.flatten() for one in gradients]))


def test_a_step_follows_the_gradient_of_its_own_batch_alone() -> None:
    batch = lists(16, by_affinity)
    several = batch.take(np.tile(np.arange(len(batch)), 4))
    run = run_of(several, QUICK.model_copy(update={"batch_users": len(batch), "hardest": M}))
    order = np.arange(len(several))
    run.random = type(
        "InOrder",
        (),
        {
            "permutation": lambda self, n: order[:n],
            "random": lambda self, shape, dtype: np.broadcast_to(np.arange(shape[1]) / shape[1], shape).astype(dtype),
        },
    )()
    optimiser = Recording(run.model)
    run._epoch(optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser))
    assert len(optimiser.seen) == 4
    assert optimiser.seen[0].norm() > 0.01
    for other in optimiser.seen[1:]:
        torch.testing.assert_close(other, optimiser.seen[0], rtol=1e-4, atol=1e-6)


def test_where_friends_are_few_the_ranker_stays_linear() -> None:
    sampled_viewers = lists(200, by_affinity)
    simple = trained(sampled_viewers, QUICK.model_copy(update={"sparse_friends": 1e9, "linear_learning_rate": 0.05}))
    assert quality(simple, lists(150, by_affinity, seed=1)) > chance(sampled_viewers) + 0.2
    read = torch.from_numpy(sampled_viewers.pair_inputs(statistics()))
    count = len(read) // 2
    with torch.no_grad():
        one, two, between = (
            simple(inputs)
            for inputs in (read[:count], read[count : 2 * count], (read[:count] + read[count : 2 * count]) / 2)
        )
    torch.testing.assert_close((one + two) / 2, between, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sparse_friends", "max_steps", "linear_max_steps", "expected"),
    [(0.0, 50, 10, 5), (1e9, 50, 25, 2), (1e9, 25, 50, 2), (1e9, 50, 1, 1), (0.0, 1_000, 1, 6)],
)
def test_steps_limit_the_epochs_of_the_head_and_of_a_linear_ranker(
    sparse_friends: float, max_steps: int, linear_max_steps: int, expected: int
) -> None:
    limits = {"sparse_friends": sparse_friends, "max_steps": max_steps, "linear_max_steps": linear_max_steps}
    config = QUICK.model_copy(update=limits)
    epochs = run_of(lists(200, by_affinity), config).fit(LOG)["epochs"]  # of 10 steps each, 6 at most
    assert epochs == expected


def test_what_a_linear_ranker_learns_of_degrees_is_drawn_back() -> None:
    config = QUICK.model_copy(update={"sparse_friends": 1e9, "linear_learning_rate": 0.05})
    sampled_viewers = lists(200, by_affinity)

    def weights(share: float) -> torch.Tensor:
        model = trained(sampled_viewers, config.model_copy(update={"linear_prior": share}), DEFAULT_PRERANK_WEIGHTS)
        return model.past.weight.detach()[0] / model.scale

    free, half, fixed = weights(0.0), weights(0.5), weights(1.0)
    degree = 2 * len(PAIR_FEATURES) + EXTRA_INPUTS.index("candidate_log_degree")
    for at, prior in (
        (PAGERANK, DEFAULT_PRERANK_WEIGHTS[PAGERANK]),
        (degree, DEFAULT_PRERANK_WEIGHTS[len(PAIR_FEATURES)]),
    ):
        assert abs(free[at] - prior) > 0.01
        assert fixed[at] == pytest.approx(float(prior), abs=1e-5)
        assert half[at] == pytest.approx(float(free[at] + prior) / 2, abs=1e-5)
    assert free[PROFILE_AFFINITY] == half[PROFILE_AFFINITY] == fixed[PROFILE_AFFINITY]


def by_logistic_curve(drawn: TrainingLists, _: np.random.Generator) -> np.ndarray:
    """Likelier by affinity, and likelier throughout for viewers who have many friends."""
    odds = 6 * (drawn.codes[:, PROFILE_AFFINITY] / 255) - 6 + 0.5 * statistics()[drawn.users, LOG_DEGREE][:, None]
    return 1 / (1 + np.exp(-odds))


def test_probabilities_come_true() -> None:
    model = trained(lists(500, by_logistic_curve), QUICK.model_copy(update={"validation_share": 0.3, "epochs": 4}))
    slope, level, by_degree, by_mass = model.calibration.numpy()
    assert slope > 0
    fresh = lists(900, by_logistic_curve, seed=1)
    told, came_true = [], []
    for user, row, outcomes in zip(fresh.users, scored(model, fresh), fresh.outcomes, strict=True):
        used = np.isfinite(row)
        best = np.argsort(-row, kind="stable")[:20]
        odds = slope * row + level + by_degree * statistics()[user, LOG_DEGREE] + by_mass * list_mass(row[used])
        told.append((1 / (1 + np.exp(-odds[best])))[used[best]])
        came_true.append(outcomes[best][used[best]])
    judged = calibration(np.concatenate(told), np.concatenate(came_true))
    assert judged is not None
    assert 0.1 < judged.base_rate < 0.4
    assert judged.error < 0.03
    assert judged.brier < judged.base_brier
