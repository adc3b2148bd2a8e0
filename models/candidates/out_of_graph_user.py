"""People as the candidate kernel reads them though the tables do not hold them so: newcomers, and those whose friends
are no longer the version's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels.candidate_arrays import World
from models.kernels.profile_affinity import AffinityTables

NOBODY = (1 << 24) - 1
"""the viewer of a block whose viewer has no row"""
MOST_FRIENDS = 5_000
"""friends of a guest that are read, at most"""
MOST_KNOWN = 20_000
"""people never to be shown to a guest that are read, at most"""
MOST_VALUES = 1_000
"""values of a guest's profile that are read, at most"""


@dataclass(frozen=True)
class Guest:
    """One person, with rows of the version for everybody else."""

    viewer: int
    """her own row, or NOBODY"""
    friends: NDArray[np.int32]
    """ascending"""
    known: NDArray[np.int32]
    """never to be shown to her, beside her friends"""
    codes: NDArray[np.int32]
    """(C,) as AffinityTables has them"""
    set_codes: NDArray[np.int32]
    """ascending"""
    points: NDArray[np.float32]
    """(P,)"""
    values: NDArray[np.int32]
    """values of the profile that make groups, ascending"""
    coordinates: NDArray[np.float32]
    """(k,)"""
    embedding: NDArray[np.float32]
    """(d,) of length one, or zero"""


class GuestSeat:
    """A world with one row more, at the end, which a guest takes; copies what has a place for each person."""

    def __init__(self, world: World) -> None:
        self.row = len(world.indptr) - 1
        affinity = world.affinity
        self._world = world._replace(
            indptr=_longer(world.indptr, 1),
            indices=_longer(world.indices, MOST_FRIENDS),
            known_indptr=_longer(world.known_indptr, 1),
            known_indices=_longer(world.known_indices, MOST_KNOWN),
            suggestible=_longer(world.suggestible, 1),
            spectral=_longer(world.spectral, 1),
            embeddings=_longer(world.embeddings, 1),
            value_indptr=_longer(world.value_indptr, 1),
            value_codes=_longer(world.value_codes, MOST_VALUES),
            affinity=AffinityTables(
                **{
                    **affinity._asdict(),
                    "codes": _longer(affinity.codes, 1),
                    "set_indptr": _longer(affinity.set_indptr, 1),
                    "set_codes": _longer(affinity.set_codes, MOST_VALUES),
                    "points": _longer(affinity.points, 1),
                }
            ),
        )

    def take(self, guest: Guest) -> World:
        """The world with this guest in its last row, until the next one comes."""
        world, row = self._world, self.row
        _put(world.indptr, world.indices, row, guest.friends[:MOST_FRIENDS])
        own = [] if guest.viewer == NOBODY else [guest.viewer]
        _put(world.known_indptr, world.known_indices, row, np.concatenate([own, guest.known[: MOST_KNOWN - 1]]))
        _put(world.value_indptr, world.value_codes, row, guest.values[:MOST_VALUES])
        _put(world.affinity.set_indptr, world.affinity.set_codes, row, guest.set_codes[:MOST_VALUES])
        world.spectral[row], world.embeddings[row] = guest.coordinates, guest.embedding
        world.affinity.codes[row], world.affinity.points[row] = guest.codes, guest.points
        return world


def _longer(array: NDArray[Any], more: int) -> NDArray[Any]:
    """A copy with `more` places of zeros at the end of its first axis."""
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])


def _put(indptr: NDArray[np.int64], items: NDArray[np.int32], row: int, new: NDArray[np.generic]) -> None:
    """Makes `new` the items of the last row."""
    start = indptr[row]
    items[start : start + len(new)] = new
    indptr[row + 1] = start + len(new)
