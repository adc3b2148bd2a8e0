"""Candidates of random networks: which rows must never appear, and which changes must not matter."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator, Pools
from models.schema.candidate_sources import Source
from tests.support.offline.candidate_networks import random_inputs

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
