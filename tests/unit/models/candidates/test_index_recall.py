"""The recall of an index: of as many users as it takes to tell whether it suffices."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.candidates.ann_index import VectorIndex
from models.candidates.config import IndexConfig
from models.candidates.index_build import build_index
from models.candidates.index_recall import RecallSample

USERS, K = 3_500, 10


@dataclass(frozen=True)
class Forgetful(VectorIndex):
    """An exact index that leaves out some of the neighbours that it finds, and counts who was searched for."""

    forgets: float = 0.0
    searched: list[int] = field(default_factory=list)

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        rows, products = super().search(vectors, k)
        self.searched.append(len(vectors))
        forgotten = np.random.default_rng(len(self.searched)).random(rows.shape) < self.forgets
        return np.where(forgotten, -1, rows).astype(np.int32), products


@pytest.fixture
def exact(tmp_path: Path) -> VectorIndex:
    vectors = np.random.default_rng(0).standard_normal((USERS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return build_index(vectors, IndexConfig(threads=1, flat_below=USERS + 1), tmp_path / "index")


def forgetful(index: VectorIndex, forgets: float) -> Forgetful:
    return Forgetful(index.shards, index.embeddings, index.manifest, forgets)


@pytest.mark.parametrize("forgets", [0.0, 0.3])
def test_a_thousand_users_suffice_where_they_leave_no_doubt(exact: VectorIndex, forgets: float) -> None:
    index = forgetful(exact, forgets)
    recall = RecallSample(exact.embeddings, np.arange(USERS), K).recall(index, 0.9)
    assert index.searched == [1_000]
    assert recall == pytest.approx(1 - forgets, abs=0.02)


def test_in_doubt_everybody_is_compared(exact: VectorIndex) -> None:
    index = forgetful(exact, 0.1)
    recall = RecallSample(exact.embeddings, np.arange(USERS), K).recall(index, 0.9)
    assert sum(index.searched) == USERS
    assert recall == pytest.approx(0.9, abs=0.01)


def test_without_a_recall_that_is_wanted_everybody_is_compared(exact: VectorIndex) -> None:
    index = forgetful(exact, 0.0)
    assert RecallSample(exact.embeddings, np.arange(USERS), K).recall(index) == 1.0
    assert sum(index.searched) == USERS


def test_what_brute_force_finds_holds_for_every_index(exact: VectorIndex) -> None:
    sample = RecallSample(exact.embeddings, np.arange(USERS), K)
    assert sample.recall(forgetful(exact, 0.3), 0.9) < 0.75
    assert sample.recall(replace(exact), 0.9) == 1.0


def test_of_nobody_nothing_is_found(exact: VectorIndex) -> None:
    assert RecallSample(exact.embeddings, np.arange(0), K).recall(exact, 0.9) == 0.0
