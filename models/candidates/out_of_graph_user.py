"""People as the candidate kernel reads them though the tables do not hold them so: newcomers, and those whose friends
are no longer the version's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels.candidate_arrays import CandidateArrays
from models.kernels.profile_affinity import ProfileAffinityTables

NOBODY = (1 << 24) - 1
"""the viewer of a block whose viewer has no row"""
MOST_FRIENDS = 5_000
"""friends of a guest that are read, at most"""
MOST_KNOWN = 20_000
"""people never to be shown to a guest that are read, at most"""
MOST_VALUES = 1_000
"""values of a guest's profile that are read, at most"""


@dataclass(frozen=True)
class OutOfGraphUser:
    """One person, with rows of the version for everybody else."""

    viewer: int
    """her own row, or NOBODY"""
    friends: NDArray[np.int32]
    """ascending"""
    known: NDArray[np.int32]
    """never to be shown to her, beside her friends"""
    codes: NDArray[np.int32]
    """(C,) as ProfileAffinityTables has them"""
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


class AppendedRow:
    """A world with one row more, at the end, which a guest takes; copies what has a place for each person."""

    def __init__(self, arrays: CandidateArrays) -> None:
        self.row = len(arrays.indptr) - 1
        profile_affinity = arrays.profile_affinity
        self._world = arrays._replace(
            indptr=_longer(arrays.indptr, 1),
            indices=_longer(arrays.indices, MOST_FRIENDS),
            known_indptr=_longer(arrays.known_indptr, 1),
            known_indices=_longer(arrays.known_indices, MOST_KNOWN),
            suggestible=_longer(arrays.suggestible, 1),
            spectral=_longer(arrays.spectral, 1),
            embeddings=_longer(arrays.embeddings, 1),
            value_indptr=_longer(arrays.value_indptr, 1),
            value_codes=_longer(arrays.value_codes, MOST_VALUES),
            profile_affinity=ProfileAffinityTables(
                **{
                    **profile_affinity._asdict(),
                    "codes": _longer(profile_affinity.codes, 1),
                    "set_indptr": _longer(profile_affinity.set_indptr, 1),
                    "set_codes": _longer(profile_affinity.set_codes, MOST_VALUES),
                    "points": _longer(profile_affinity.points, 1),
                }
            ),
        )

    def take(self, user: OutOfGraphUser) -> CandidateArrays:
        """The world with this guest in its last row, until the next one comes."""
        arrays, row = self._world, self.row
        _put(arrays.indptr, arrays.indices, row, user.friends[:MOST_FRIENDS])
        own = [] if user.viewer == NOBODY else [user.viewer]
        _put(arrays.known_indptr, arrays.known_indices, row, np.concatenate([own, user.known[: MOST_KNOWN - 1]]))
        _put(arrays.value_indptr, arrays.value_codes, row, user.values[:MOST_VALUES])
        _put(arrays.profile_affinity.set_indptr, arrays.profile_affinity.set_codes, row, user.set_codes[:MOST_VALUES])
        arrays.spectral[row], arrays.embeddings[row] = user.coordinates, user.embedding
        arrays.profile_affinity.codes[row], arrays.profile_affinity.points[row] = user.codes, user.points
        return arrays


def _longer(array: NDArray[Any], more: int) -> NDArray[Any]:
    """A copy with `more` places of zeros at the end of its first axis."""
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])


def _put(indptr: NDArray[np.int64], items: NDArray[np.int32], row: int, new: NDArray[np.generic]) -> None:
    """Makes `new` the items of the last row."""
    start = indptr[row]
    items[start : start + len(new)] = new
    indptr[row + 1] = start + len(new)
