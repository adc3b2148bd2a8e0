"""The linear map fitted at once, against a plain optimiser, and what the ranker makes of dates."""

import numpy as np
import pytest
import structlog
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from models.schema.pair_features import ALLOCATION, PAGERANK, PAIR_FEATURES, PROFILE_AFFINITY, extra_input_names
from models.schema.statistic_names import ALL_STATISTICS, LATE_10, LOG_DEGREE
from offline.ranker.config import RankerConfig
from offline.ranker.linear import fit_linear
from offline.ranker.one_input import best_single_input
from offline.ranker.starting_weights import beats
from offline.ranker.train import train_ranker
from offline.ranker.training_lists import TrainingLists, validation_split

N, M, WIDTH = 200, 40, len(ALL_STATISTICS)
CONFIG = RankerConfig(linear_places=M, linear_penalty=1e-2, epochs=3, linear_steps=200)
NO_PRIOR = np.zeros(len(PAIR_FEATURES) + 1, np.float32)
LOG = structlog.get_logger()
NAMES = [*PAIR_FEATURES, *(f"relative_{name}" for name in PAIR_FEATURES), *extra_input_names(WIDTH)]


def statistics(graphs: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(0).random((N * graphs, WIDTH)).astype(np.float32) * 3
    drawn[:, LOG_DEGREE] = 1
    return drawn


def lists(users: int, rule: np.ndarray, seed: int = 0) -> TrainingLists:
    """Lists of random candidates; `rule` (N,) says how likely each is to become a friend."""
    random = np.random.default_rng(seed)
    rows = np.stack([random.permutation(N)[:M] for _ in range(users)]).astype(np.uint32)
    outcomes = random.random((users, M)) < rule[rows]
    features = len(PAIR_FEATURES)
    made = TrainingLists(
        users=np.arange(users) % N,
        rows=rows,
        sources=np.ones((users, M), np.uint8),
        codes=random.integers(0, 256, (users, features, M)).astype(np.uint8),
        low=np.zeros((users, features), np.float32),
        step=np.full((users, features), 1 / 255, np.float32),
        counts=np.full(users, M),
        outcomes=outcomes,
        friends_made=outcomes.sum(axis=1),
        offset=np.zeros(users, np.int64),
        purpose=np.zeros(users, np.uint8),
        outcome_weight=np.ones(users, np.float32),
    )
    return made.take(np.flatnonzero(made.friends_made))


def of_late(share: float = 0.8) -> np.ndarray:
    return share * (statistics()[:, LATE_10] > 2.5)


def test_the_fit_is_that_of_a_plain_optimiser() -> None:
    given = lists(60, of_late())
    inputs = given.pair_inputs(statistics())
    mean, scale = inputs.mean((0, 1)), inputs.std((0, 1)) + 0.5
    read = ((inputs - mean) / scale).astype(np.float64)

    def loss(weights: np.ndarray) -> float:
        chances = np.where(given.outcomes, log_softmax(read @ weights, axis=1), 0).sum(axis=1)
        return float(CONFIG.linear_penalty * weights @ weights - (chances / given.outcomes.sum(axis=1)).mean())

    expected = minimize(loss, np.zeros(read.shape[2]), method="L-BFGS-B", options={"maxiter": 400, "maxfun": 10**6})
    found = fit_linear(
        given, statistics(), torch.from_numpy(mean), torch.from_numpy(scale), CONFIG, np.random.default_rng(0)
    )
    assert loss(found.numpy().astype(np.float64)) == pytest.approx(expected.fun, abs=1e-4)
    np.testing.assert_allclose(found.numpy(), expected.x, atol=0.02)
    strongest = int(np.abs(found.numpy()).argmax())
    assert NAMES[strongest] == "candidate_late_10"


def test_with_dates_the_ranker_stays_linear_and_prefers_who_makes_friends_of_late() -> None:
    trained = train_ranker(lists(150, of_late()), statistics(), NO_PRIOR, CONFIG, log=LOG)
    assert trained.metrics["linear"] == 1
    assert trained.metrics["head_ndcg20"] > trained.metrics["prior_ndcg20"]
    assert trained.metrics["head_ndcg20"] > 0.7
    assert not trained.model.last.weight.any()
    again = train_ranker(lists(150, of_late()), statistics(), NO_PRIOR, CONFIG, log=LOG)
    assert torch.equal(trained.model.past.weight, again.model.past.weight)


def test_a_ranker_that_one_input_beats_is_replaced_by_its_order() -> None:
    given = lists(400, np.full(N, 0.1))
    given.outcomes[:] = given.codes[:, ALLOCATION] > 235
    given.friends_made[:] = given.outcomes.sum(axis=1)
    given = given.take(np.flatnonzero(given.friends_made))
    lame = CONFIG.model_copy(update={"linear_penalty": 1e6})  # learns nothing
    trained = train_ranker(given, statistics(), NO_PRIOR, lame, log=LOG)
    assert trained.metrics["replaced_by_resource_allocation"] == 1
    weights = trained.model.past.weight[0]
    assert weights.nonzero().ravel().tolist() == [ALLOCATION]
    both = given.codes[:, ALLOCATION].astype(int) + given.codes[:, PROFILE_AFFINITY]
    given.outcomes[:] = both > np.sort(both, axis=1)[:, -4:-3]
    able = train_ranker(given, statistics(), NO_PRIOR, CONFIG, log=LOG)
    assert able.metrics["best_input_ndcg20"] < able.metrics["head_ndcg20"]
    assert not any(value for name, value in able.metrics.items() if name.startswith("replaced_by"))
    assert np.count_nonzero(able.model.past.weight.detach().numpy()) > 5


def test_with_little_to_learn_from_the_order_of_the_best_input_is_served_if_it_beats_resource_allocation() -> None:
    given = lists(200, np.full(N, 0.1))
    given.outcomes[:] = given.codes[:, PAGERANK] > 235
    given.friends_made[:] = given.outcomes.sum(axis=1)
    found = best_single_input(given, statistics(), CONFIG, log=LOG)
    assert found is not None
    assert found.metrics["replaced_by_pagerank"] == 1
    assert found.model.past.weight[0].nonzero().ravel().tolist() == [PAGERANK]
    assert found.model.calibration[0] > 0
    few = given.take(np.flatnonzero(given.friends_made)[:20])
    assert best_single_input(few, statistics(), CONFIG, log=LOG) is None, "too few lists to judge by"
    given.outcomes[:] = given.codes[:, ALLOCATION] > 235
    assert best_single_input(given, statistics(), CONFIG, log=LOG) is None, "resource allocation is the best"


def test_only_the_first_window_validates_where_there_are_dates() -> None:
    first, second = lists(60, of_late(), 1), lists(60, of_late(), 2)
    both = TrainingLists.stacked([first, second], N)
    useful = np.arange(len(both))
    validation, training = validation_split(both, useful, CONFIG, np.random.default_rng(0), only_first=True)
    assert len(validation)
    assert (validation.offset == 0).all()
    assert set(training.offset.tolist()) == {0, N}
    assert not set(validation.users.tolist()) & set(training.users.tolist())


def test_one_is_better_by_its_paired_differences() -> None:
    other = np.random.default_rng(0).random(100)
    assert beats(other + 0.01 + 0.001 * np.arange(100) % 0.002, other, 2)
    assert not beats(other, other, 1)
    assert not beats(other + np.resize([1, -0.99], 100), other, 1)
