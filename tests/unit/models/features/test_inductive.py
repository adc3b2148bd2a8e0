"""The map from profile values to coordinates, fitted to users with friends, by either solver."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from models.features import inductive
from models.features.inductive import (
    ProfileMap,
    from_friends,
    shrink_towards_profile,
    unit,
)
from models.features.spectral import spectral_embedding
from models.graph import Graph

N, V, K, D = 300, 6, 4, 3


def planted(seed: int = 0) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """Values of 300 users, and vectors that are the sums of the values' weights plus little noise."""
    random = np.random.default_rng(seed)
    values = (random.random((N, V)) < 0.4).astype(np.float32)
    truth = random.normal(size=(V, K + D)).astype(np.float32)
    places = values @ truth + 1 + 0.01 * random.normal(size=(N, K + D)).astype(np.float32)
    return csr_array(values), places[:, :K].astype(np.float32), places[:, K:].astype(np.float32)


@pytest.mark.parametrize("dense", [0, 4096])
def test_the_vectors_of_values_are_found(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inductive, "DENSE_VALUES", dense)
    monkeypatch.setattr(inductive, "PENALTY", 0.01)
    values, coordinates, embeddings = planted()
    found = ProfileMap.fit(values, coordinates, embeddings, np.ones(N, np.int64))
    near, alike = found.predict(values)
    np.testing.assert_allclose(near, coordinates, atol=0.06)
    np.testing.assert_allclose(alike, embeddings, atol=0.06)
    one = np.flatnonzero(values.toarray()[7])
    np.testing.assert_allclose(found.predict_one(one)[0], near[7], rtol=1e-4)
    assert found.predict_one(one)[1].shape == (D,)


@pytest.mark.parametrize("dense", [0, 4096])
@pytest.mark.parametrize("held", [0.999, 1.0])
def test_a_value_that_nearly_everybody_holds_is_exact(dense: int, held: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200,000 people: hardly anything is left of it after the mean is taken out."""
    monkeypatch.setattr(inductive, "DENSE_VALUES", dense)
    n, random = 200_000, np.random.default_rng(2)
    values = (random.random((n, 3)) < (held, 0.3, 0.01)).astype(np.float32)
    targets = (values @ np.array([[1], [2], [3]], np.float32)).repeat(2, axis=1)
    found = ProfileMap.fit(csr_array(values), targets[:, :1], targets[:, 1:], np.ones(n, np.int64))
    near, _ = found.predict(csr_array(values))
    np.testing.assert_allclose(near, targets[:, :1], atol=0.1)


def test_users_without_friends_are_not_fitted() -> None:
    values, coordinates, embeddings = planted()
    degrees = np.where(np.arange(N) < 200, 3, 0)
    wrong = coordinates.copy()
    wrong[200:] = 1e6
    fitted = ProfileMap.fit(values, wrong, embeddings, degrees)
    assert np.abs(fitted.weights).max() < 10
    nobody = ProfileMap.fit(values, coordinates, embeddings, np.zeros(N, np.int64))
    assert not nobody.weights.any()
    assert not nobody.intercept.any()


def test_the_profile_counts_less_the_more_friends_there_are() -> None:
    values, coordinates, embeddings = planted()
    fitted = ProfileMap.fit(values, coordinates, embeddings, np.ones(N, np.int64))
    degrees = np.where(np.arange(N) % 2 == 0, 0, 1000)
    standing = np.zeros_like(coordinates)
    moved, alike = shrink_towards_profile(fitted, values, standing, unit(embeddings), degrees)
    alone = degrees == 0
    np.testing.assert_allclose(moved[alone], fitted.predict(values)[0][alone], rtol=1e-5)
    assert np.abs(moved[~alone]).max() < 0.01 * np.abs(moved[alone]).max()
    np.testing.assert_allclose(np.linalg.norm(alike[alone], axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(alike[~alone], unit(embeddings)[~alone])


def test_without_profiles_nothing_is_shrunk() -> None:
    _, coordinates, embeddings = planted()
    nothing = csr_array((N, 0), dtype=np.float32)
    fitted = ProfileMap.fit(nothing, coordinates, embeddings, np.ones(N, np.int64))
    moved, alike = shrink_towards_profile(fitted, nothing, coordinates, embeddings, np.zeros(N, np.int64))
    assert moved is coordinates
    assert alike is embeddings


def test_coordinates_from_friends_are_those_of_the_eigenvectors() -> None:
    """In a graph of two cliques, a user left out gets the coordinates of their clique."""
    a, b = np.triu_indices(20, 1)
    both = Graph.from_pairs(40, np.concatenate([a, a + 20]), np.concatenate([b, b + 20]))
    spectral = spectral_embedding(both, 2)
    coordinates = spectral.coordinates()
    place = from_friends(both, spectral.values, coordinates, np.arange(1, 20, dtype=np.int32))
    np.testing.assert_allclose(place, coordinates[1], rtol=0.1, atol=0.02)
    half = from_friends(both, spectral.values, coordinates, np.arange(1, 11, dtype=np.int32))
    assert np.linalg.norm(half) < np.linalg.norm(place)
    assert not from_friends(both, spectral.values, coordinates, np.zeros(0, np.int32)).any()
