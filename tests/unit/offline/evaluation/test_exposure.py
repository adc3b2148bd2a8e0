"""Who is shown, by hand and in agreement with PyG."""

import numpy as np
import pytest
import torch
from torch_geometric.metrics import LinkPredAveragePopularity, LinkPredCoverage

from offline.evaluation.exposure import exposure, gini


def test_exposure_by_hand() -> None:
    lists = np.array([[0, 1], [0, -1], [0, -1]], np.int32)
    told = exposure(lists, np.array([6, 2, 1, 1], np.int32))
    assert told.coverage == 0.5
    assert told.mean_degree == (6 + 2 + 6 + 6) / 4
    assert told.gini == pytest.approx(5 / 8)
    among = exposure(lists, np.array([6, 2, 1, 1], np.int32), np.array([True, True, False, False]))
    assert among.coverage == 1


def test_empty_lists_have_no_inequality() -> None:
    told = exposure(np.full((3, 5), -1, np.int32), np.array([1, 1], np.int32))
    assert (told.coverage, told.gini, told.mean_degree) == (0, 0, 0)
    assert exposure(np.full((0, 5), -1, np.int32), np.zeros(0, np.int32)).coverage == 0


def test_gini_of_equals_one_winner_and_pairwise_differences() -> None:
    assert gini(np.full(9, 4)) == 0
    assert gini(np.array([0, 0, 0, 12])) == pytest.approx(3 / 4)
    amounts = np.random.default_rng(0).integers(50, size=40)
    differences = np.abs(amounts[:, None] - amounts[None, :]).mean()
    assert gini(amounts) == pytest.approx(differences / (2 * amounts.mean()))


def test_coverage_and_popularity_agree_with_torch_geometric() -> None:
    random = np.random.default_rng(1)
    lists = np.argsort(random.random((30, 100)), axis=1)[:, :4].astype(np.int32)
    degrees = random.integers(1, 20, size=100).astype(np.int32)
    told = exposure(lists, degrees)
    edges = torch.tensor([[0], [0]])
    coverage, popularity = LinkPredCoverage(4, num_dst_nodes=100), LinkPredAveragePopularity(4, torch.tensor(degrees))
    for library in (coverage, popularity):
        library.update(torch.tensor(lists, dtype=torch.long), edges)
    assert told.coverage == pytest.approx(float(coverage.compute()))
    assert told.mean_degree == pytest.approx(float(popularity.compute()))
