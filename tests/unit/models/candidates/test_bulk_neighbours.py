"""Neighbours of many users at once: nearly all that brute force finds, never the user, and as wide as asked for."""

import numpy as np
from numpy.typing import NDArray

from models.candidates.bulk_neighbours import BLOCK, bulk_neighbours

PEOPLE = 6000


def embeddings(seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    made = random.standard_normal((60, 24))[random.integers(60, size=PEOPLE)] + 0.6 * random.standard_normal(
        (PEOPLE, 24)
    )
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def test_nearly_all_of_the_nearest_are_found_and_never_the_user() -> None:
    table, rows = embeddings(), np.arange(0, PEOPLE, 1, dtype=np.int64)[: BLOCK + 500]
    found = np.concatenate(list(bulk_neighbours(table, rows, 50, 0.98)))
    assert found.shape == (len(rows), 50)
    assert not (found == rows[:, None]).any()
    sample = np.arange(0, len(rows), 41)
    products = table[rows[sample]] @ table.T
    products[np.arange(len(sample)), rows[sample]] = -2
    exact = -np.sort(-products, axis=1)[:, 49]
    near = np.take_along_axis(products, found[sample].astype(np.int64), axis=1)
    assert (near >= exact[:, None] - 1e-5).mean() >= 0.97
    assert (np.diff(near, axis=1) <= 1e-5).all()


def test_past_the_last_neighbour_there_is_none() -> None:
    table = embeddings()[:40]
    (found,) = bulk_neighbours(table, np.array([3, 7]), 60, 1.0)
    assert found.shape == (2, 60)
    assert all(
        sorted(one[one >= 0].tolist()) == [row for row in range(40) if row != own]
        for one, own in zip(found, (3, 7), strict=True)
    )
