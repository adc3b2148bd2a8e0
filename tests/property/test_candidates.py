"""Candidates of random networks: which rows must never appear, and which changes must not matter."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator, Pools
from models.candidates.inputs import CandidateInputs
from models.features.inductive import ProfileMap
from models.features.profile_affinity import fit_profile_affinity
from models.features.towers import TowerShape, closed_form_towers
from models.graph import Graph
from models.schema.candidate_sources import Source
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS
from models.schema.profiles import (
    CategoricalColumn,
    MultiColumn,
    NumericColumn,
    Profiles,
)
from tests.support.tables import coded_profiles

SMALL = CandidateConfig(
    kept=12,
    friends_of_friends=6,
    walks=6,
    three_hops=4,
    nearest=5,
    group_members=3,
    rare_group=6,
    few_friends=2,
    least=9,
)


class RandomNearest:
    """Returns random nearest rows, the user and friends included, without duplicates; sometimes -1."""

    def __init__(self, n: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._table = np.stack([random.permutation(np.arange(-1, n))[:5] for _ in range(n)]).astype(np.int32)
        self._table = np.concatenate([self._table, np.full((n, 5), -1, np.int32)], axis=1)

    def nearest(self, rows: np.ndarray, count: int) -> np.ndarray:
        return np.ascontiguousarray(self._table[rows, :count])


def random_inputs(seed: int) -> tuple[CandidateInputs, RandomNearest]:
    """A network of 1 to 40 people with profiles, embeddings, forbidden pairs and some who may not be shown."""
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 41))
    m = int(random.integers(0, 3 * n))
    graph = Graph.from_pairs(n, random.integers(n, size=m), random.integers(n, size=m))
    sets = [np.sort(random.permutation(5)[: random.integers(0, 4)]) for _ in range(n)]
    profiles = Profiles(
        n,
        {
            "age": NumericColumn(np.where(random.random(n) < 0.2, np.nan, random.normal(size=n))),
            "clubs": MultiColumn(
                np.cumsum([0, *map(len, sets)]).astype(np.int64), np.concatenate(sets).astype(np.int32), list("abcde")
            ),
            "team": CategoricalColumn(random.integers(-1, 4, n).astype(np.int32), list("wxyz")),
        },
    )
    vectors = random.normal(size=(2, n, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    inputs = CandidateInputs(
        graph=graph,
        known=Graph.from_directed(n, random.integers(n, size=n), random.integers(n, size=n)),
        suggestible=random.random(n) < 0.8,
        spectral=vectors[0],
        eigenvalues=np.ones(3, np.float32),
        towers=closed_form_towers(vectors[0], np.full(3, 0.5, np.float32), TowerShape(dimensions=2)),
        profiles=ProfileMap.zero(0, 3, 3),
        embeddings=vectors[1],
        profile_affinity=fit_profile_affinity(coded_profiles(profiles), graph),
        prerank_weights=DEFAULT_PRERANK_WEIGHTS,
    )
    return inputs, RandomNearest(n, seed)


def same(first: Pools, second: Pools) -> None:
    """Both hold the same, up to each user's count."""
    np.testing.assert_array_equal(first.users, second.users)
    np.testing.assert_array_equal(first.counts, second.counts)
    for at, count in enumerate(first.counts):
        for name in ("rows", "sources", "values"):
            one, other = (getattr(pools, name)[at, ..., :count] for pools in (first, second))
            np.testing.assert_array_equal(one, other, err_msg=name)


def reordered(pools: Pools, order: np.ndarray) -> Pools:
    return Pools(**{name: getattr(pools, name)[order] for name in pools.__dataclass_fields__})


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_users_who_must_not_be_shown_never_are(seed: int) -> None:
    inputs, nearest = random_inputs(seed)
    pools = CandidateGenerator(inputs, nearest, SMALL, 1).pools(np.arange(inputs.graph.n))
    for user, rows, sources, count in zip(pools.users, pools.rows, pools.sources, pools.counts, strict=True):
        shown = rows[:count]
        assert count <= SMALL.kept
        assert user not in shown
        assert len(np.unique(shown)) == count
        assert not inputs.graph.contains(user, shown).any()
        assert not inputs.known.contains(user, shown).any()
        assert inputs.suggestible[shown].all()
        assert sources[:count].all()
        for source, limit in ((Source.FRIENDS_OF_FRIENDS, 6), (Source.RANDOM_WALK, 6), (Source.THREE_HOPS, 4)):
            assert np.count_nonzero(sources[:count] & source) <= limit


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_many_users_in_one_thread_equal_each_alone(seed: int) -> None:
    inputs, nearest = random_inputs(seed)
    generator = CandidateGenerator(inputs, nearest, SMALL, 1)
    everybody = np.arange(inputs.graph.n)
    whole = generator.pools(everybody)
    same(whole, generator.pools(everybody))
    for row in everybody:
        same(reordered(whole, np.array([row])), generator.pools(np.array([row])))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5))
def test_threads_and_the_order_of_users_change_nothing(seed: int, threads: int) -> None:
    inputs, nearest = random_inputs(seed)
    everybody = np.arange(inputs.graph.n)
    whole = CandidateGenerator(inputs, nearest, SMALL, 1).pools(everybody)
    same(whole, CandidateGenerator(inputs, nearest, SMALL, threads).pools(everybody))
    order = np.random.default_rng(seed).permutation(everybody)
    same(reordered(whole, order), CandidateGenerator(inputs, nearest, SMALL, threads).pools(order))


def test_small_budgets_leave_nothing_behind_for_the_next_user() -> None:
    hasty = SMALL.model_copy(update={"walk_edges": 3, "path_edges": 5})
    for seed in range(40):
        inputs, nearest = random_inputs(seed)
        generator = CandidateGenerator(inputs, nearest, hasty, 1)
        whole = generator.pools(np.arange(inputs.graph.n))
        for row in range(inputs.graph.n):
            same(reordered(whole, np.array([row])), generator.pools(np.array([row])))
