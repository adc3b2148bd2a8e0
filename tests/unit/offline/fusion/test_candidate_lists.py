"""Candidate lists as fusions read them, made of the ranker's training lists."""

import numpy as np
import pytest

from models.schema.pair_features import PAIR_FEATURES, PROFILE_AFFINITY
from models.schema.statistic_names import STATISTICS
from offline.evaluation.metrics import ndcg_of_lists
from offline.fusion.candidate_lists import PAIR_INPUTS, CandidateLists
from offline.fusion.config import PRODUCT
from offline.fusion.train import fusion_config, train_fusion
from offline.ranker.training_lists import TrainingLists
from tests.support.candidate_lists import LOG

N, M = 60, 30
PRIOR = np.zeros(len(PAIR_FEATURES) + 1, np.float32)
QUICK = {"sparse_friends": 0, "epochs": 4, "batch_users": 16, "learning_rate": 5e-3}
LONGER = {**QUICK, "epochs": 12}


def made(users: int, seed: int = 0) -> CandidateLists:
    """Lists whose friendships are the candidates of the highest affinity."""
    random, features = np.random.default_rng(seed), len(PAIR_FEATURES)
    codes = random.integers(0, 256, (users, features, M)).astype(np.uint8)
    outcomes = codes[:, PROFILE_AFFINITY] > 230
    lists = TrainingLists(
        users=random.integers(N, size=users),
        rows=np.stack([random.permutation(N)[:M] for _ in range(users)]).astype(np.uint32),
        sources=random.integers(1, 64, (users, M)).astype(np.uint8),
        codes=codes,
        low=np.zeros((users, features), np.float32),
        step=np.full((users, features), 1 / 255, np.float32),
        counts=np.full(users, M),
        outcomes=outcomes,
        friends_made=outcomes.sum(axis=1),
        offset=np.zeros(users, np.int64),
        purpose=np.zeros(users, np.uint8),
        outcome_weight=np.ones(users, np.float32),
    )
    fixed = np.random.default_rng(9)
    statistics = np.abs(fixed.normal(size=(N, len(STATISTICS))))
    vectors = fixed.normal(size=(N, 3)).astype(np.float32)
    return CandidateLists.of(lists, statistics.astype(np.float32), PRIOR, vectors)


def test_the_columns_are_what_the_ranker_reads_and_the_product() -> None:
    lists = made(7)
    assert lists.names == [*PAIR_INPUTS, PRODUCT]
    assert lists.features.shape == (7, M, len(PAIR_INPUTS) + 1)
    assert lists.ranker is not None
    pairs = lists.ranker.lists.pair_inputs(lists.ranker.statistics)
    assert np.array_equal(lists.features[..., :-1], pairs)
    vectors = np.random.default_rng(9)
    vectors.normal(size=(N, len(STATISTICS)))
    known = vectors.normal(size=(N, 3)).astype(np.float32)
    viewer, candidate = lists.ranker.lists.users[2], lists.ranker.lists.rows[2, 4]
    assert lists.features[2, 4, -1] == pytest.approx(known[viewer] @ known[candidate], rel=1e-5)


def test_what_is_taken_keeps_its_parts_together() -> None:
    lists = made(9)
    some = lists.take(np.array([4, 1]))
    assert len(some) == 2
    assert some.ranker is not None
    assert some.ranker.lists.users.tolist() == lists.viewers[[4, 1]].tolist() == some.viewers.tolist()
    assert np.array_equal(some.labels, lists.labels[[4, 1]])
    assert lists.columns(["nothing", PRODUCT, "affinity"]).tolist() == [len(PAIR_INPUTS), PROFILE_AFFINITY]


def test_the_ranker_is_a_fusion_among_others() -> None:
    fusion = train_fusion(fusion_config({"name": "two_tower", "ranker": LONGER}), made(120), seed=1, log=LOG)
    fresh = made(40, seed=5)
    scores = fusion.of_lists(fresh)
    assert ndcg_of_lists(scores, fresh.labels, fresh.friends_made).mean() > 0.8
    assert fusion.scores(fresh.features[0]) == pytest.approx(scores[0], abs=1e-4)


def test_shapes_that_do_not_fit_are_refused() -> None:
    lists = made(3)
    with pytest.raises(ValueError, match="do not fit"):
        CandidateLists(
            lists.features, lists.labels[:2], lists.valid, lists.names, lists.viewers, lists.friends_made, None
        )
