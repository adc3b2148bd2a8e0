"""The log-odds of profile columns, on networks with obvious effects of shared values."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from models.features.profile_affinity import LARGEST, fit_profile_affinity
from models.features.profile_codes import BINS
from models.graph import Graph
from models.kernels.profile_affinity import MOST_WEIGHED, ProfileAffinityTables, viewer_profile_affinity
from models.schema.profiles import (
    CategoricalColumn,
    Column,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    Profiles,
    TextColumn,
    TimestampColumn,
)
from tests.support.tables import coded_profiles

N, GROUPS = 600, 6
GROUP = np.arange(N) % GROUPS


def pair_profile_affinity(fitted: ProfileAffinityTables, viewer: int, candidate: int) -> float:
    """The affinity of one pair, found among others."""
    pool = np.array([viewer, candidate, viewer], np.int32)
    out = np.empty(3, np.float32)
    viewer_profile_affinity(fitted, viewer, pool, out)
    return float(out[1])


def homophilous_graph(seed: int = 0, within: float = 0.9) -> Graph:
    """3,000 friendships of N people, nine in ten of them inside one of six groups."""
    random = np.random.default_rng(seed)
    a = random.integers(N, size=3000)
    same = random.random(3000) < within
    b = np.where(same, random.integers(N // GROUPS, size=3000) * GROUPS + GROUP[a], random.integers(N, size=3000))
    return Graph.from_pairs(N, a, b)


GRAPH = homophilous_graph()


def tables(column: Column, graph: Graph = GRAPH) -> ProfileAffinityTables:
    return fit_profile_affinity(coded_profiles(Profiles(graph.n, {"column": column})), graph)


def categorical(codes: NDArray[np.integer], size: int) -> CategoricalColumn:
    return CategoricalColumn(codes.astype(np.int32), [f"{one:03}" for one in range(size)])


def sets(owned: list[list[int]], size: int) -> MultiColumn:
    indptr = np.cumsum([0, *map(len, owned)]).astype(np.int64)
    return MultiColumn(indptr, np.array([c for one in owned for c in one], np.int32), [f"{v:03}" for v in range(size)])


def of_pairs(fitted: ProfileAffinityTables, pairs: list[tuple[int, int]]) -> list[float]:
    return [pair_profile_affinity(fitted, a, b) for a, b in pairs]


def test_equal_values_have_positive_log_odds_if_friends_share_them_and_others_negative() -> None:
    fitted = tables(categorical(GROUP, GROUPS))
    log_odds = fitted.matrices.reshape(GROUPS, GROUPS)
    equal = np.eye(GROUPS, dtype=bool)
    # of friends 92% share the group, of strangers a sixth
    np.testing.assert_allclose(log_odds[equal], np.log(0.917 * 6), atol=0.1)
    np.testing.assert_allclose(log_odds[~equal], np.log(0.083 / 5 * 6), atol=0.8)
    assert of_pairs(fitted, [(0, 6), (0, 7)]) == [pytest.approx(log_odds[0, 0]), pytest.approx(log_odds[0, 1])]


def test_a_random_column_has_log_odds_near_zero() -> None:
    codes = np.random.default_rng(1).integers(0, GROUPS, N)
    assert np.abs(tables(categorical(codes, GROUPS)).matrices).max() < 0.35
    fitted = tables(categorical(np.random.default_rng(1).integers(0, 60, N), 60))
    assert np.abs(fitted.same).max() < 0.5
    assert abs(fitted.different[0]) < 0.02


def test_popularity_is_no_evidence() -> None:
    # users of value 0 have ten times the friends of others, of any value
    random = np.random.default_rng(2)
    codes = (np.arange(N) >= N // 2).astype(np.int64)
    weights = np.where(codes == 0, 10.0, 1.0)
    a, b = random.choice(N, size=(2, 4000), p=weights / weights.sum())
    assert np.abs(tables(categorical(codes, 2), Graph.from_pairs(N, a, b)).matrices).max() < 0.35


def test_columns_of_many_values_compare_by_equality_alone() -> None:
    codes = GROUP * 10 + np.random.default_rng(3).integers(0, 2, N)
    fitted = tables(categorical(codes, 60))
    used = np.unique(codes)
    assert fitted.matrix_at[0] == -1
    assert (fitted.same[used] > 1.5).all()
    assert -1 < fitted.different[0] < -0.3
    alike, unlike = int(np.flatnonzero(codes == codes[0])[1]), int(np.flatnonzero(codes != codes[0])[0])
    assert of_pairs(fitted, [(0, alike), (0, unlike)]) == pytest.approx([fitted.same[codes[0]], fitted.different[0]])


def test_a_value_without_friendships_has_the_log_odds_of_its_column() -> None:
    # no user has code 6
    log_odds = tables(categorical(GROUP, GROUPS + 1)).matrices.reshape(GROUPS + 1, GROUPS + 1)
    assert log_odds[6, 6] > 1.5
    assert (log_odds[6, :6] < -1.5).all()


def test_a_missing_value_adds_nothing() -> None:
    codes = GROUP.copy()
    codes[::2] = -1
    columns: list[Column] = [
        categorical(codes, GROUPS),
        categorical(np.where(codes < 0, -1, codes * 10), 60),
        NumericColumn(np.where(codes < 0, np.nan, codes)),
        TimestampColumn(np.where(codes < 0, np.nan, codes * 1e6)),
        LocationColumn(np.where(codes[:, None] < 0, np.nan, np.stack([codes, codes], axis=1)).astype(np.float32)),
        TextColumn([None if code < 0 else f"word{code} word{code + 1}" for code in codes]),
        sets([[] if code < 0 else [int(code)] for code in codes], GROUPS),
    ]
    for column in columns:
        fitted = tables(column)
        assert of_pairs(fitted, [(0, 6), (0, 1), (1, 0), (0, 0)]) == [0, 0, 0, 0]
        assert pair_profile_affinity(fitted, 1, 7) > 0.3


def test_log_odds_are_bounded_and_symmetric() -> None:
    # two halves that never mix
    random = np.random.default_rng(4)
    half = np.arange(N) % 2
    a = random.integers(N, size=20_000)
    graph = Graph.from_pairs(N, a, random.integers(N // 2, size=20_000) * 2 + half[a])
    for size in (2, 60):
        fitted = tables(categorical(half, size), graph)
        every = np.concatenate([fitted.matrices, fitted.same, fitted.different])
        assert np.abs(every).max() <= LARGEST
        assert pair_profile_affinity(fitted, 0, 1) < -3
    fitted = fit_profile_affinity(
        coded_profiles(Profiles(N, {"a": categorical(half, 2), "b": sets([[int(one)] for one in GROUP], GROUPS)})),
        graph,
    )
    for first, second in product(range(8), repeat=2):
        assert pair_profile_affinity(fitted, first, second) == pytest.approx(
            pair_profile_affinity(fitted, second, first)
        )


def test_columns_add_up() -> None:
    first, second = categorical(GROUP, GROUPS), sets([[int(one)] for one in GROUP], GROUPS)
    both = fit_profile_affinity(coded_profiles(Profiles(N, {"a": first, "b": second, "c": first})), GRAPH)
    expected = 2 * pair_profile_affinity(tables(first), 0, 6) + pair_profile_affinity(tables(second), 0, 6)
    assert pair_profile_affinity(both, 0, 6) == pytest.approx(expected, rel=1e-5)


def test_each_shared_value_of_a_set_counts_and_one_not_shared_does_not() -> None:
    random = np.random.default_rng(5)
    owned = [sorted({int(group), 6 + int(random.integers(4))}) for group in GROUP]
    fitted = tables(sets(owned, 10))
    assert (fitted.set_weights[:6] > 1).all()
    assert np.abs(fitted.set_weights[6:]).max() < 0.35
    for a, b in ((0, 6), (0, 1), (3, 9), (3, 10)):
        shared = set(owned[a]) & set(owned[b])
        assert pair_profile_affinity(fitted, a, b) == pytest.approx(sum(fitted.set_weights[list(shared)]), abs=1e-6)


def test_values_of_sets_too_many_for_a_table_of_them_all_count_the_same() -> None:
    owned = [[code, 6 + at % 4] for at, code in enumerate(GROUP.tolist())]
    few = tables(sets(owned, 10))
    many = few._replace(set_weights=np.pad(few.set_weights, (0, MOST_WEIGHED)))
    pairs = [(0, 6), (0, 1), (3, 9), (0, 12), (5, 5)]
    assert of_pairs(many, pairs) == pytest.approx(of_pairs(few, pairs))


def test_two_columns_of_sets_do_not_share_their_codes() -> None:
    first, second = sets([[0]] * N, 1), sets([[int(one)] for one in GROUP], GROUPS)
    fitted = fit_profile_affinity(coded_profiles(Profiles(N, {"a": first, "b": second})), GRAPH)
    assert len(fitted.set_weights) == 1 + GROUPS
    assert pair_profile_affinity(fitted, 0, 1) == pytest.approx(fitted.set_weights[0])
    assert pair_profile_affinity(fitted, 0, 6) == pytest.approx(fitted.set_weights[[0, 1]].sum())


def test_people_near_each_other_are_likelier_friends() -> None:
    random = np.random.default_rng(6)
    centres = np.array([[52.5, 13.4], [48.1, 11.6], [40.7, -74.0], [-33.9, 151.2], [35.7, 139.7], [19.4, -99.1]])
    places = (centres[GROUP] + random.normal(0, 0.05, (N, 2))).astype(np.float32)
    fitted = tables(LocationColumn(places))
    near, far, elsewhere = of_pairs(fitted, [(0, 6), (0, 1), (0, 3)])
    assert near > 1
    assert elsewhere < -1
    assert elsewhere - 0.5 < far < near  # Berlin and Munich are nearer than Berlin and Sydney, in another bin
    assert np.abs(fitted.point_weights).max() <= LARGEST


def test_a_location_counts_once_though_it_also_forms_groups() -> None:
    centres = np.random.default_rng(8).uniform(-50, 50, (GROUPS, 2))
    places = (centres[GROUP] + np.random.default_rng(9).normal(0, 0.01, (N, 2))).astype(np.float32)
    coded = coded_profiles(Profiles(N, {"home": LocationColumn(places)}))
    assert (coded.codes >= 0).all()
    assert coded.cardinality[0] >= GROUPS
    fitted = fit_profile_affinity(coded, GRAPH)
    # of friends 92% share the place, of strangers a sixth
    assert pair_profile_affinity(fitted, 0, 6) == pytest.approx(np.log(0.917 * 6), abs=0.2)


def test_people_without_a_place_do_not_count_as_far_apart() -> None:
    random = np.random.default_rng(6)
    places = (np.stack([GROUP * 15, GROUP * 15], axis=1) + random.normal(0, 0.05, (N, 2))).astype(np.float32)
    a, b = GRAPH.pairs()
    placed = random.random(N) < 0.5
    both = placed[a] & placed[b]
    some = tables(LocationColumn(np.where(placed[:, None], places, np.nan)))
    alone = tables(LocationColumn(np.where(placed[:, None], places, np.nan)), Graph.from_pairs(N, a[both], b[both]))
    np.testing.assert_allclose(some.point_weights, alone.point_weights, atol=0.25)


def test_texts_of_the_same_words_have_positive_log_odds() -> None:
    words = ["rowing boats river", "chess openings endgames", "bread ovens flour"]
    words += ["trains timetables models", "jazz trumpet records", "orchids greenhouse soil"]
    fitted = tables(TextColumn([words[group] for group in GROUP]))
    alike, unlike = of_pairs(fitted, [(0, 6), (0, 1)])
    assert alike > 1
    assert unlike < -1


def test_numbers_and_timestamps_are_compared_in_quantiles() -> None:
    random = np.random.default_rng(7)
    ages = GROUP * 10 + random.random(N)
    coded = coded_profiles(Profiles(N, {"age": NumericColumn(ages), "since": TimestampColumn(ages * 1e7)}))
    assert coded.cardinality.tolist() == [BINS, BINS]
    assert np.bincount(coded.codes[:, 0], minlength=BINS).tolist() == [N // BINS] * BINS
    np.testing.assert_array_equal(coded.codes[:, 0], coded.codes[:, 1])
    assert (np.diff(coded.codes[np.argsort(ages), 0]) >= 0).all()
    fitted = tables(NumericColumn(ages))
    assert pair_profile_affinity(fitted, 0, 6) > 1 > -1 > pair_profile_affinity(fitted, 0, 3)


@pytest.mark.parametrize("n", [0, 1, 30])
def test_without_friendships_or_columns_log_odds_are_zero(n: int) -> None:
    graph = Graph.from_pairs(n, [], [])
    assert len(fit_profile_affinity(coded_profiles(Profiles(n)), graph).matrices) == 0
    every: dict[str, Column] = {
        "a": categorical(np.arange(n) % 3, 3),
        "b": categorical(np.arange(n), 60),
        "c": sets([[0]] * n, 1),
        "d": LocationColumn(np.ones((n, 2), np.float32)),
        "e": TextColumn(["same words"] * n),
        "f": NumericColumn(np.full(n, np.nan)),
    }
    fitted = fit_profile_affinity(coded_profiles(Profiles(n, every)), graph)
    for first, second in ((0, n - 1), (0, 0)) if n else ():
        assert pair_profile_affinity(fitted, first, second) == pytest.approx(0, abs=1e-6)
