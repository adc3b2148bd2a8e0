"""What a model sees of one person's place in the graph, against plain counting."""

from itertools import combinations

import numpy as np
import pytest

from models.features.user_statistics import (
    LARGEST_SAMPLE,
    SHORTEST,
    dated_statistics,
    late_of,
    nobody_yet,
    user_statistics,
    with_new_friends,
)
from models.graph import Graph
from models.schema.statistic_names import (
    CLUSTERING,
    DATED_STATISTICS,
    FRIENDS_LOG_DEGREE,
    HORIZONS,
    LOG_DEGREE,
    LOG_SPECTRAL_NORM,
    STATISTICS,
)


def statistics(graph: Graph) -> np.ndarray:
    return user_statistics(graph, np.ones(graph.n, np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_they_equal_what_one_counts_by_hand(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = Graph.from_pairs(40, random.integers(36, size=200), random.integers(36, size=200))
    norms = random.random(40).astype(np.float32)
    found = user_statistics(graph, norms)
    assert found.shape == (40, len(STATISTICS))
    assert found.dtype == np.float32
    for row in range(40):
        friends = graph.neighbours(row).tolist()
        pairs = list(combinations(friends, 2))
        closed = sum(b in graph.neighbours(a) for a, b in pairs)
        assert found[row, LOG_DEGREE] == pytest.approx(np.log1p(len(friends)))
        assert found[row, CLUSTERING] == pytest.approx(closed / len(pairs) if pairs else 0)
        mean = np.mean([np.log1p(len(graph.neighbours(friend))) for friend in friends]) if friends else 0
        assert found[row, FRIENDS_LOG_DEGREE] == pytest.approx(mean, rel=1e-5)
        assert found[row, LOG_SPECTRAL_NORM] == pytest.approx(np.log(max(norms[row], SHORTEST)), rel=1e-5)


def test_cliques_are_closed_and_stars_are_open() -> None:
    clique = Graph.from_pairs(5, *np.triu_indices(5, 1))
    assert statistics(clique)[:, CLUSTERING].tolist() == [1] * 5
    star = Graph.from_pairs(5, [0] * 4, [1, 2, 3, 4])
    assert statistics(star)[:, CLUSTERING].tolist() == [0] * 5
    assert statistics(star)[1:, FRIENDS_LOG_DEGREE] == pytest.approx(np.log(5))


def test_of_many_friends_a_sample_is_looked_at() -> None:
    # 0 knows 500 people; those of the first half all know each other, which is a quarter of all pairs
    half = np.triu_indices(250, 1)
    graph = Graph.from_pairs(
        501, np.concatenate([np.zeros(500, int), half[0] + 1]), np.concatenate([np.arange(1, 501), half[1] + 1])
    )
    assert graph.degrees[0] > LARGEST_SAMPLE
    found = statistics(graph)
    assert found[0, CLUSTERING] == pytest.approx(0.25, abs=0.02)
    assert found[1, CLUSTERING] == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_without_friends_all_is_zero_but_the_spectral_length(n: int) -> None:
    found = user_statistics(Graph.from_pairs(n, [], []), np.zeros(n, np.float32))
    assert found.shape == (n, len(STATISTICS))
    np.testing.assert_allclose(found, np.tile([0, 0, 0, np.log(SHORTEST)], (n, 1)), rtol=1e-6)


def test_dated_statistics_equal_what_one_counts_by_hand() -> None:
    random = np.random.default_rng(3)
    a, b = random.integers(30, size=200), random.integers(30, 35, size=200)
    dates = random.integers(1_000, 2_000, size=200)
    dates[0], moment = 1_000, 2_000
    found = dated_statistics(40, a, b, dates, moment)
    assert found.shape == (40, len(DATED_STATISTICS))
    for row in range(40):
        ages = (moment - dates[(a == row) | (b == row)]) / 1_000
        counts = [np.log1p((ages < horizon).sum()) for horizon in HORIZONS]
        last, first = (ages.min(), ages.max()) if len(ages) else (1, 0)
        np.testing.assert_allclose(found[row], [*counts, np.log1p(1000 * last), np.log1p(1000 * first)], rtol=1e-5)
    assert late_of(np.concatenate([statistics(Graph.from_pairs(40, a, b)), found], axis=1)) == pytest.approx(
        found[:, 2]
    )


def test_a_friendship_without_date_is_as_old_as_the_first_known_one() -> None:
    dates = np.array([np.iinfo(np.int64).min, 100, 190])
    found = dated_statistics(4, np.array([0, 1, 2]), np.array([1, 2, 3]), dates, 200)
    assert found[0].tolist() == [0, 0, 0, 0, *[pytest.approx(np.log1p(1000))] * 2]
    assert found[3, 3] == pytest.approx(np.log(2))
    assert found[3, 4] == found[3, 5] == pytest.approx(np.log1p(100))


def test_new_friends_are_of_late_and_nobody_has_none() -> None:
    dates = np.array([0, 10])
    before = dated_statistics(3, np.array([0, 0]), np.array([1, 2]), dates, 1_000)
    after = with_new_friends(before[0], 2, 3)
    assert after[:4] == pytest.approx(np.log1p([3, 3, 3, 3]))
    assert after[4] == 0
    assert after[5] == before[0, 5]
    assert (with_new_friends(before[0], 2, 0) == before[0]).all()
    nobody = dated_statistics(1, dates[:0], dates[:0], dates[:0], 1_000)[0]
    assert (nobody_yet() == nobody).all()
    assert with_new_friends(nobody, 0, 2) == pytest.approx([*np.log1p([2, 2, 2, 2]), 0, 0])
