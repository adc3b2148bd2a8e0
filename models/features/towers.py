"""The towers in closed form, from the spectrum of a graph."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.features.spectral import NOISE
from models.version.towers import Towers

LEVELS = 127
"""largest code of a vector's entry"""
NEGLIGIBLE = 1e-4
"""an eigenvalue of a tiny graph that is zero but for rounding, whose inverse would fit no float32"""


class TowerShape(BaseModel):
    """What a night chose of the towers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimensions: int = Field(default=128, ge=1)
    """of both vectors, at most as many as the spectrum has"""


def spectral_filter(eigenvalues: NDArray[np.float32]) -> NDArray[np.float64]:
    """(k,) float64, m^3 / (m^2 + NOISE) of eigenvalues m: how much of each is a friendship, and not noise."""
    values = np.maximum(eigenvalues.astype(np.float64), 0)
    return np.asarray(values**3 / (values**2 + NOISE))


def closed_form_towers(coordinates: NDArray[np.float32], eigenvalues: NDArray[np.float32], shape: TowerShape) -> Towers:
    """The towers from spectral coordinates (n, k), R V sqrt(F), and eigenvalues (k,), in their leading dimensions.

    Coordinates that were moved towards a profile's prediction move candidate and query alike.
    """
    d = min(shape.dimensions, coordinates.shape[1])
    values = np.maximum(eigenvalues[:d].astype(np.float64), 0)
    weights = np.where(values > NEGLIGIBLE, spectral_filter(eigenvalues[:d]), 0)
    inverse = np.where(weights > 0, 1 / np.where(weights > 0, weights, 1), 0)
    fold = np.where(weights > 0, inverse / np.where(weights > 0, values, 1), 0)
    vectors = coordinates[:, :d] * np.sqrt(weights).astype(np.float32)
    scales = (np.abs(vectors).max(axis=0, initial=0) / LEVELS).astype(np.float32)
    codes = np.rint(vectors / np.where(scales > 0, scales, 1)).astype(np.int8)
    return Towers(codes, scales, inverse.astype(np.float32), fold.astype(np.float32))


def query_at(coordinates: NDArray[np.float32], towers: Towers) -> NDArray[np.float32]:
    """(d,) float32: the query of a user at these spectral coordinates (k,)."""
    return np.asarray(coordinates[: towers.dimensions] * np.sqrt(towers.own), dtype=np.float32)
