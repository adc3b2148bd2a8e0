"""Lists without one part of the system, on a network where the effect of each part is obvious."""

from collections.abc import Mapping

import numpy as np
import pytest

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
    PRODUCT_ALONE,
    WITHOUT_EMBEDDINGS,
    ablated_lists,
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
