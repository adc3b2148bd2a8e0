"""Lists to learn from: the blocks that serving would see, of a graph that does not hold the answers."""

import numpy as np
import pytest

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator
from models.candidates.inputs import CandidateInputs
from models.features.inductive import ProfileMap
from models.features.profile_affinity import fit_profile_affinity
from models.graph import Graph
from models.schema.pair_features import COMMON, DEFAULT_PRERANK_WEIGHTS, PAIR_FEATURES
from models.schema.profiles import Profiles
from models.version.towers import Towers
from offline.night.candidates import KnownNearest
from offline.ranker.training_lists import TrainingLists, training_lists
from tests.support.tables import coded_profiles

KEPT = 5
CLIQUE = Graph.from_pairs(8, *np.triu_indices(6, 1))
"""rows 0 to 5 all friends; 6 and 7 know nobody"""
HIDDEN = Graph.from_pairs(8, [0, 2, 0], [1, 3, 6])
"""friendships to learn from; nothing leads to the last"""


def generator(graph: Graph) -> CandidateGenerator:
    nothing = np.zeros((graph.n, 1), np.float32)
    land = CandidateInputs(
        graph=graph,
        known=Graph.from_directed(graph.n, [], []),
        suggestible=np.ones(graph.n, np.bool_),
        spectral=nothing,
        towers=Towers.none(graph.n),
        eigenvalues=np.ones(1, np.float32),
        profiles=ProfileMap.zero(0, 1, 1),
        embeddings=nothing,
        profile_affinity=fit_profile_affinity(coded_profiles(Profiles(graph.n)), graph),
        prerank_weights=DEFAULT_PRERANK_WEIGHTS,
    )
    everybody = np.arange(graph.n)
    nearest = KnownNearest(everybody, np.full((graph.n, 3), -1, np.int32), graph.n)
    return CandidateGenerator(land, nearest, CandidateConfig(kept=KEPT, least=0), 1)


@pytest.fixture
def lists() -> TrainingLists:
    return training_lists(generator(CLIQUE.without(*HIDDEN.pairs())), np.array([0, 3, 6]), HIDDEN, KEPT)


def test_outcomes_are_the_hidden_friendships_found_and_unfound_ones_are_counted(lists: TrainingLists) -> None:
    assert lists.users.tolist() == [0, 3, 6]
    assert lists.counts.tolist() == [1, 1, 0]
    assert lists.rows[:, 0].tolist() == [1, 2, 0]
    assert lists.outcomes.tolist() == [[True, *[False] * 4], [True, *[False] * 4], [False] * 5]
    assert lists.friends_made.tolist() == [2, 1, 1]
    assert lists.in_use.sum(axis=1).tolist() == [1, 1, 0]
    assert len(lists) == 3


def test_a_pair_to_learn_from_is_seen_without_its_own_friendship(lists: TrainingLists) -> None:
    # 0 and 1 share 2 to 5, as if they were strangers; with all known, neither is a candidate of the other
    values = lists.codes * lists.step[:, :, None] + lists.low[:, :, None]
    assert np.expm1(values[0, COMMON, 0]) == pytest.approx(4, rel=1e-5)
    leaked = training_lists(generator(CLIQUE), np.array([0, 3]), HIDDEN, KEPT)
    assert not leaked.outcomes.any()


def test_a_list_is_what_the_block_keeps() -> None:
    random = np.random.default_rng(0)
    graph = Graph.from_pairs(30, random.integers(30, size=60), random.integers(30, size=60))
    made = generator(graph)
    kept = training_lists(made, np.arange(30), Graph.from_pairs(30, [], []), KEPT)
    assert kept.codes.shape == (30, len(PAIR_FEATURES), KEPT)
    for row in range(30):
        block, m = made.block(row), kept.counts[row]
        assert len(block) == m
        np.testing.assert_array_equal(kept.rows[row, :m], block.rows)
        np.testing.assert_array_equal(kept.sources[row, :m], block.sources)
        values = kept.codes[row] * kept.step[row][:, None] + kept.low[row][:, None]
        np.testing.assert_array_equal(values[:-1, :m], block.values())


def test_part_of_the_lists_and_part_of_the_places(lists: TrainingLists) -> None:
    part = lists.take(np.array([1]))
    assert (part.users.tolist(), part.rows[:, 0].tolist(), len(part)) == ([3], [2], 1)
    statistics = np.random.default_rng(0).random((8, 4)).astype(np.float32)
    whole, places = lists.pair_inputs(statistics), np.array([[0, 3], [4, 0], [2, 2]])
    some = lists.pair_inputs(statistics, places)
    np.testing.assert_array_equal(some, np.take_along_axis(whole, places[:, :, None], axis=1))


def test_neighbours_that_were_not_looked_up_are_not_made_up() -> None:
    nearest = KnownNearest(np.array([2, 4]), np.array([[5, 1], [0, -1]], np.int32), 6)
    assert nearest.nearest(np.array([4, 2]), 2).tolist() == [[0, -1], [5, 1]]
    assert nearest.nearest(np.array([2]), 1).tolist() == [[5]]
    with pytest.raises(KeyError, match="3"):
        nearest.nearest(np.array([2, 3]), 1)
