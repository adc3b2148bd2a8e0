"""Held-out friendships against easy and hard strangers."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.graph import Graph
from offline.evaluation.negatives import (
    against,
    hard_negatives,
    random_negatives,
    true_pairs,
)


def test_random_strangers_are_drawn_from_all_but_the_known() -> None:
    graph = Graph.from_pairs(8, [0, 0], [1, 2])
    held_out = Graph.from_pairs(8, [0], [3])
    suggestible = np.array([True] * 7 + [False])
    drawn = random_negatives(graph, held_out, np.array([0, 5]), 6, suggestible=suggestible)
    assert set(drawn[0]) == {4, 5, 6, -1}
    assert (np.sort(drawn[0])[:3] == -1).all()
    assert set(drawn[1]) == {0, 1, 2, 3, 4, 6}


def test_every_stranger_is_drawn_as_often() -> None:
    nobody = Graph.from_pairs(20, [], [])
    users = np.zeros(3000, np.int64)
    times = np.bincount(random_negatives(nobody, nobody, users, 5).ravel(), minlength=20)
    assert times[0] == 0
    assert times[1:].sum() == 15_000
    assert times[1:].min() > 680
    assert times[1:].max() < 900


def test_hard_strangers_rank_by_the_best_position_of_any_heuristic() -> None:
    held_out = Graph.from_pairs(10, [0], [7])
    one, other = np.array([[1, 7, 2, -1]]), np.array([[3, 1, 4, 5]])
    assert hard_negatives([one, other], held_out, np.array([0]), 4).tolist() == [[1, 3, 2, 4]]
    assert hard_negatives([one], held_out, np.array([0]), 4).tolist() == [[1, 2, -1, -1]]


def test_true_pairs_are_padded_with_minus_one() -> None:
    held_out = Graph.from_pairs(5, [0, 0, 1], [1, 2, 3])
    assert true_pairs(held_out, np.array([0, 2, 4])).tolist() == [[1, 2], [0, -1], [-1, -1]]


def test_ranks_and_ties_by_hand() -> None:
    friends, others = np.array([[1, 2, -1]]), np.array([[3, 4, 5, -1]])
    told = against(friends, np.array([[0.9, 0.5, 99]]), others, np.array([[0.5, 0.1, 0.0, 99]]))
    assert told is not None
    assert told.auc == pytest.approx((1 + (2 + 0.5) / 3) / 2)
    assert told.mrr == pytest.approx((1 + 1 / 1.5) / 2)


def test_pairs_that_are_no_candidates_tie_below_all_others() -> None:
    lowest = -np.inf
    told = against(np.array([[1]]), np.array([[lowest]]), np.array([[2, 3]]), np.array([[lowest, 0.2]]))
    assert told is not None
    assert told.auc == pytest.approx(0.25)
    assert told.mrr == pytest.approx(1 / 2.5)


def test_auc_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    friends, others = np.ones((1, 30), np.int32), np.ones((1, 70), np.int32)
    mine, rest = random.integers(10, size=(1, 30)) + 2.0, random.integers(10, size=(1, 70)) + 0.0
    told = against(friends, mine, others, rest)
    assert told is not None
    truth = np.repeat([1, 0], [30, 70])
    assert told.auc == pytest.approx(roc_auc_score(truth, np.concatenate([mine[0], rest[0]])))


def test_no_pairs_to_compare_is_none() -> None:
    nobody = np.full((2, 3), -1)
    assert against(nobody, np.zeros((2, 3)), np.ones((2, 3)), np.zeros((2, 3))) is None
