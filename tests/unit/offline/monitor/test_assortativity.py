"""How much more alike friends are than chance, against networkx and on graphs whose answer is obvious."""

import networkx as nx
import numpy as np
import pytest

from models.schema.profiles import (
    CategoricalColumn,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    TextColumn,
    TimestampColumn,
)
from offline.monitor.assortativity import LEAST_PAIRS, assortativity

N = 200


def edges(inside: float) -> tuple[np.ndarray, np.ndarray]:
    """2,000 friendships of two groups, the even and the odd, of which this share is inside a group."""
    random = np.random.default_rng(5)
    a = random.integers(N, size=2000)
    same = random.random(2000) < inside
    b = (random.integers(N // 2, size=2000) * 2 + (a + ~same) % 2) % N
    kept = a != b
    return a[kept].astype(np.int32), b[kept].astype(np.int32)


GROUPS = CategoricalColumn((np.arange(N) % 2).astype(np.int32), ["even", "odd"])


@pytest.mark.parametrize("inside", [1.0, 0.8, 0.5])
def test_categories_have_newmans_coefficient(inside: float) -> None:
    a, b = edges(inside)
    graph = nx.MultiGraph(zip(a.tolist(), b.tolist(), strict=True))
    nx.set_node_attributes(graph, {row: row % 2 for row in graph}, "group")
    found = assortativity(GROUPS, a, b)
    assert found is not None
    assert found[0] == pytest.approx(nx.attribute_assortativity_coefficient(graph, "group"), abs=1e-6)
    assert found[0] == pytest.approx(2 * inside - 1, abs=4 * found[1] + 0.01)


def test_numbers_and_timestamps_correlate_by_rank() -> None:
    a, b = edges(0.9)
    numbers = np.where(np.arange(N) % 2, 30.0, 60.0) + np.random.default_rng(1).random(N)
    found = assortativity(NumericColumn(numbers), a, b)
    assert found is not None
    assert found[0] > 0.5
    outlier = numbers.copy()
    outlier[0] = 1e12
    assert assortativity(NumericColumn(outlier), a, b) == pytest.approx(found, abs=0.05)
    assert assortativity(TimestampColumn(numbers), a, b) == found


def test_sets_texts_and_places() -> None:
    a, b = edges(0.9)
    sets = MultiColumn(np.arange(N + 1), (np.arange(N) % 2).astype(np.int32), ["folk", "jazz"])
    texts = TextColumn(["likes folk" if row % 2 else "hears Jazz" for row in range(N)])
    degrees = np.where(np.arange(N)[:, None] % 2, [48.1, 11.6], [-33.9, 151.2]).astype(np.float32)
    for column in (sets, texts, LocationColumn(degrees)):
        found = assortativity(column, a, b)
        assert found is not None
        assert found[0] == pytest.approx(0.8, abs=0.06)


def test_shuffled_values_have_none_and_too_few_friendships_tell_nothing() -> None:
    a, b = edges(0.9)
    shuffled = CategoricalColumn(np.random.default_rng(1).permutation(GROUPS.codes), GROUPS.values)
    found = assortativity(shuffled, a, b)
    assert found is not None
    assert abs(found[0]) < 0.15
    assert assortativity(GROUPS, a[: LEAST_PAIRS - 1], b[: LEAST_PAIRS - 1]) is None
    nobody = CategoricalColumn(np.full(N, -1, np.int32), [])
    assert assortativity(nobody, a, b) is None
    everybody = CategoricalColumn(np.zeros(N, np.int32), ["one"])
    assert assortativity(everybody, a, b) is None
