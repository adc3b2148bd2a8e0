"""Ranking metrics: by hand, and in agreement with PyG and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score
from torch_geometric.metrics import LinkPredHitRatio, LinkPredMRR, LinkPredNDCG, LinkPredRecall

from offline.evaluation import metrics

HITS = np.array([[False, True, False, True], [False, False, False, False], [True, True, True, True]])
MADE = np.array([2, 3, 10])


def test_metrics_are_what_their_definitions_give_by_hand() -> None:
    log = [1 / math.log2(place + 2) for place in range(4)]
    assert metrics.recall(HITS, MADE, 4).tolist() == [1.0, 0.0, 0.4]
    assert metrics.recall(HITS, MADE, 2).tolist() == [0.5, 0.0, 0.2]
    assert metrics.ndcg(HITS, MADE, 4) == pytest.approx([(log[1] + log[3]) / (log[0] + log[1]), 0, 1])
    assert metrics.ndcg(HITS, MADE, 1).tolist() == [0, 0, 1]
    assert metrics.mrr(HITS, MADE, 4).tolist() == [0.5, 0, 1]
    assert metrics.mrr(HITS, MADE, 1).tolist() == [0, 0, 1]
    assert metrics.hit_rate(HITS, MADE, 2).tolist() == [1, 0, 1]


def test_a_list_shorter_than_the_limit_is_compared_with_the_whole_ideal_list() -> None:
    ideal = sum(1 / math.log2(place + 2) for place in range(10))
    found = sum(1 / math.log2(place + 2) for place in range(4))
    assert metrics.ndcg(HITS[2:], MADE[2:], 20)[0] == pytest.approx(found / ideal)
    assert metrics.recall(HITS[2:], MADE[2:], 20)[0] == 0.4


def test_nothing_to_find_and_nothing_listed_are_zero() -> None:
    none, empty = np.zeros(1, np.int64), np.zeros((1, 0), bool)
    for metric in (metrics.recall, metrics.ndcg, metrics.mrr, metrics.hit_rate):
        assert metric(np.zeros((1, 5), bool), none, 5).tolist() == [0]
        assert metric(empty, np.ones(1, np.int64), 5).tolist() == [0]


@pytest.mark.parametrize("limit", [1, 5, 20])
def test_metrics_agree_with_torch_geometric(limit: int) -> None:
    random = np.random.default_rng(1)
    users, people = 40, 60
    lists = np.argsort(random.random((users, people)), axis=1)[:, :20]
    truth = random.random((users, people)) < 0.1
    truth[:, 0] = True  # the library drops users without a held-out friend
    hits, made = np.take_along_axis(truth, lists, axis=1), truth.sum(axis=1)
    edges = torch.from_numpy(np.stack(np.nonzero(truth)))
    theirs = {
        metrics.recall: LinkPredRecall(limit),
        metrics.ndcg: LinkPredNDCG(limit),
        metrics.mrr: LinkPredMRR(limit),
        metrics.hit_rate: LinkPredHitRatio(limit),
    }
    for ours, library in theirs.items():
        library.update(torch.from_numpy(lists[:, :limit]), edges)
        assert ours(hits, made, limit).mean() == pytest.approx(float(library.compute()), abs=1e-6)


def test_ndcg_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(2)
    truth, scores = random.random((30, 50)) < 0.2, random.random((30, 50))
    truth[:, 0] = True
    best = np.argsort(-scores, axis=1)
    hits = np.take_along_axis(truth, best, axis=1)
    assert metrics.ndcg(hits, truth.sum(axis=1), 20).mean() == pytest.approx(ndcg_score(truth, scores, k=20))


def test_scored_lists_are_ranked_by_score_and_then_by_place() -> None:
    scores = np.array([[0.1, 0.9, 0.9, -np.inf]], np.float32)
    one = np.array([1])
    assert metrics.ndcg_of_lists(scores, np.array([[False, True, False, False]]), one) == 1
    assert metrics.ndcg_of_lists(scores, np.array([[False, False, True, False]]), one) == pytest.approx(
        1 / math.log2(3)
    )
