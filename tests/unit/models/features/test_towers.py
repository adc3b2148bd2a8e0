"""The towers of graphs whose spectrum is degenerate."""

import numpy as np
import pytest

from models.features.towers import TowerShape, closed_form_towers


@pytest.mark.parametrize("least", [3.3e-16, 1e-30, 0.0, -1e-9], ids=str)
def test_an_eigenvalue_that_is_zero_but_for_rounding_adds_nothing(least: float) -> None:
    coordinates = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    towers = closed_form_towers(coordinates, np.array([0.5, 0.1, least], np.float32), TowerShape(dimensions=3))
    assert all(np.isfinite(one).all() for one in (towers.scales, towers.own, towers.fold))
    assert not towers.codes[:, 2].any()
    assert towers.own[2] == towers.fold[2] == 0
    assert towers.codes[:, :2].any()
