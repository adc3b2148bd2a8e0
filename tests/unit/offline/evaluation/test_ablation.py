"""Lists without one part of the system, on a network where the effect of each part is obvious."""

from collections.abc import Mapping
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator
from models.candidates.inputs import CandidateInputs
from models.features.inductive import ProfileMap
from models.features.profile_affinity import fit_profile_affinity
from models.graph import Graph
from models.ranker.ranker import FALLBACK, Ranker
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS
from models.schema.profiles import CategoricalColumn, Profiles
from models.schema.statistic_names import STATISTICS
from models.version.towers import Towers
from offline.evaluation.ablation import (
    PRERANK_ALONE,
    WITHOUT_EMBEDDINGS,
    ablated_lists,
)
from offline.evaluation.bootstrap import Interval
from offline.evaluation.rendering import render
from offline.evaluation.report import (
    PRODUCT_ALONE,
    SYSTEM,
    WITHOUT_TOWERS,
    Difference,
    Quality,
    Report,
    difference,
)
from offline.night.candidates import KnownNearest
from offline.night.evaluate import EvaluationTables
from tests.support.tables import coded_profiles

N = 9
FRIENDS = Graph.from_pairs(N, [0, 0, 1, 2, 1], [1, 2, 3, 3, 4])
"""0 knows 1 and 2; 3 is their friend both, 4 the friend of 1 alone; nobody knows 5 to 8"""
TEAM = CategoricalColumn(np.array([0, 1, 1, 1, 1, 0, 1, 1, 1], np.int32), ["ants", "bees"])
"""0 shares a team with 5 alone"""


@pytest.fixture(scope="module")
def lists() -> Mapping[str, list[int]]:
    nearest = np.full((N, 2), -1, np.int32)
    nearest[0] = [6, 3]
    land = CandidateInputs(
        graph=FRIENDS,
        known=Graph.from_directed(N, [], []),
        suggestible=np.ones(N, np.bool_),
        spectral=np.zeros((N, 1), np.float32),
        eigenvalues=np.ones(1, np.float32),
        embeddings=np.zeros((N, 1), np.float32),
        towers=Towers.none(N),
        profiles=ProfileMap.zero(0, 1, 1),
        profile_affinity=fit_profile_affinity(coded_profiles(Profiles(N, {"team": TEAM})), FRIENDS),
        prerank_weights=DEFAULT_PRERANK_WEIGHTS,
    )
    config = CandidateConfig(least=0, nearest=2, rare_group=2, walks=0, three_hops=0, few_friends=0)
    generator = CandidateGenerator(land, KnownNearest(np.arange(N), nearest, N), config, 1)
    tables = EvaluationTables(Towers.none(N), np.zeros((N, len(STATISTICS)), np.float32))
    ranker = Ranker(FALLBACK, np.array([1, 0, 0, 0], np.float32), {}, {})
    found = ablated_lists(generator, ranker, tables, np.array([0]), 6)
    return {name: [row for row in rows[0].tolist() if row >= 0] for name, rows in found.items()}


def test_removing_a_source_removes_candidates_that_no_other_found(lists: Mapping[str, list[int]]) -> None:
    assert set(lists["without popular"]) == {3, 4, 5, 6}
    assert set(lists["without embedding"]) == {3, 4, 5}  # 3 is a friend of friends too
    assert set(lists["without same_attributes"]) == {3, 4, 6}
    assert set(lists["without friends_of_friends"]) == {3, 5, 6}
    assert set(lists[WITHOUT_EMBEDDINGS]) == {3, 4, 5}


def test_the_remaining_candidates_are_ranked(lists: Mapping[str, list[int]]) -> None:
    for name in ("without popular", "without embedding", "without same_attributes"):
        assert lists[name][0] == 3  # two mutual friends
        assert lists[name][1] == 4


def test_without_towers_there_is_no_product_to_rank_by(lists: Mapping[str, list[int]]) -> None:
    assert PRODUCT_ALONE not in lists
    assert set(lists[PRERANK_ALONE]) == {3, 4, 5, 6}


def test_what_the_head_adds_to_the_towers_is_paired_by_user() -> None:
    held_out = Graph.from_pairs(5, [0, 1, 2], [3, 3, 3])
    users = np.array([0, 1, 2, 4])
    found = np.array([[3, 1], [0, 3], [3, 1], [0, 1]], np.int32)
    nothing = np.full((4, 2), -1, np.int32)
    gained = difference(held_out, users, found, nothing)
    assert gained is not None
    assert (gained.recall.value, gained.recall.low, gained.recall.high) == (1, 1, 1), "4 has nothing to find"
    assert gained.is_certain
    assert gained.ndcg.value == pytest.approx((2 + 1 / np.log2(3)) / 3)
    same = difference(held_out, users, found, found[:, ::-1])
    assert same is not None
    assert same.recall.value == 0
    assert not same.is_certain
    assert difference(held_out, np.array([4]), found[3:], nothing[3:]) is None


def test_the_report_tells_what_is_trained_and_what_is_not() -> None:
    sure = Interval(value=0.02, low=0.01, high=0.03)
    chance = Interval(value=-0.001, low=-0.01, high=0.008)
    parts = {
        PRODUCT_ALONE: Difference(recall=sure, ndcg=sure),
        WITHOUT_TOWERS: Difference(recall=chance, ndcg=chance),
    }
    quality = Quality(recall=sure, ndcg=sure, mrr=sure, hit=sure)
    console = Console(file=StringIO(), width=200)
    render(Report(users=3, held_out=3, methods={SYSTEM: {20: quality}}, parts=parts), console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "closed form, the trained head adds recall@20 0.020 [0.010, 0.030], NDCG@20 0.020 [0.010, 0.030]\n" in told
    assert "loses recall@20 -0.001 [-0.010, 0.008], NDCG@20 -0.001 [-0.010, 0.008], within chance" in told
