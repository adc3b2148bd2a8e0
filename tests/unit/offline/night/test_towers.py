"""The towers' dimensions: as many as the hidden friendships of a training's first graph are found best with."""

import numpy as np
import pytest

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator
from models.candidates.inputs import CandidateInputs
from models.features.inductive import ProfileMap
from models.features.profile_affinity import fit_profile_affinity
from models.features.spectral import spectral_embedding
from models.features.towers import TowerShape, closed_form_towers
from models.features.user_statistics import user_statistics
from models.graph import Graph
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS
from models.schema.profiles import Profiles
from offline.features.graph_features import GraphFeatures
from offline.night.candidates import CandidateBuild, KnownNearest
from offline.night.config import NightConfig
from offline.night.towers import chosen_towers
from tests.support.tables import coded_profiles

CLIQUES, SIZE = 12, 10
"""of people who all know each other, and a fourth as many friendships between any two people"""
N = CLIQUES * SIZE


def friendships() -> tuple[Graph, Graph]:
    """What is known, and what is hidden: a tenth of the friendships within cliques."""
    random = np.random.default_rng(3)
    one, other = np.triu_indices(SIZE, 1)
    within = np.concatenate([np.stack([one, other]) + SIZE * clique for clique in range(CLIQUES)], axis=1)
    across = random.integers(N, size=(2, CLIQUES * len(one) // 4))
    hidden = within[:, random.random(within.shape[1]) < 0.1]
    whole = np.concatenate([within, across], axis=1)
    known = Graph.from_pairs(N, *whole).without(*hidden)
    return known, Graph.from_pairs(N, *hidden)


def build_of(graph: Graph) -> CandidateBuild:
    """A graph without profiles, and embeddings that tell nothing."""
    spectral, nothing = spectral_embedding(graph), np.zeros((N, 1), np.float32)
    inputs = CandidateInputs(
        graph=graph,
        known=Graph.from_directed(N, [], []),
        suggestible=np.ones(N, np.bool_),
        spectral=spectral.coordinates(),
        eigenvalues=spectral.values,
        towers=closed_form_towers(spectral.coordinates(), spectral.values, TowerShape(dimensions=1)),
        profiles=ProfileMap.zero(0, spectral.vectors.shape[1], 1),
        embeddings=nothing,
        profile_affinity=fit_profile_affinity(coded_profiles(Profiles(N)), graph),
        prerank_weights=DEFAULT_PRERANK_WEIGHTS,
    )
    nobody = KnownNearest(np.arange(N), np.full((N, 1), -1, np.int32), N)
    statistics = user_statistics(graph, spectral.norms())
    features = GraphFeatures(graph, statistics, spectral, spectral.positions(), nothing, slice(0, 0), slice(0, 0))
    generator = CandidateGenerator(inputs, nobody, CandidateConfig(kept=N, least=0), 1)
    return CandidateBuild(features, nothing, inputs, generator)


def chosen(*dimensions: int, viewers: int = N) -> int:
    known, hidden = friendships()
    config = NightConfig.model_validate({"ranker": {"tower_dimensions": dimensions}, "candidates": {"kept": N}})
    asked = np.flatnonzero(hidden.degrees)[:viewers].astype(np.int64)
    return chosen_towers(build_of(known), asked, hidden, config).dimensions


@pytest.mark.parametrize("dimensions", [(1, 2, CLIQUES), (CLIQUES, 2 * CLIQUES, 1_000)])
def test_as_many_dimensions_as_there_are_cliques_are_chosen_among_fewer_and_more(dimensions: tuple[int, ...]) -> None:
    assert chosen(*dimensions) == CLIQUES


def test_dimensions_beyond_those_of_the_spectrum_are_one_choice() -> None:
    assert chosen(500, 1_000) == N // 4


def test_without_viewers_the_most_dimensions_are_taken() -> None:
    assert chosen(1, CLIQUES, viewers=0) == CLIQUES
