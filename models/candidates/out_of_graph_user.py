"""Users whom a version's tables do not hold as they are: new users, and users whose friends changed since."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels.candidate_arrays import CandidateArrays
from models.kernels.profile_affinity import ProfileAffinityTables
from models.schema.vocabulary import Row

NO_ROW = Row((1 << 24) - 1)
"""viewer of a block for a user without a row"""
MOST_FRIENDS = 5_000
"""most friends read of an out-of-graph user"""
MOST_KNOWN = 20_000
"""most hidden users read of an out-of-graph user"""
MOST_VALUES = 1_000
"""most profile values read of an out-of-graph user"""


@dataclass(frozen=True)
class OutOfGraphUser:
    """A user's inputs of candidate generation; everyone else is a row of the version."""

    viewer: Row
    """the user's row, or NO_ROW"""
    friends: NDArray[np.int32]
    """ascending"""
    known: NDArray[np.int32]
    """users who must not be shown, beside the friends"""
    codes: NDArray[np.int32]
    """(C,) as in ProfileAffinityTables"""
    set_codes: NDArray[np.int32]
    """ascending"""
    points: NDArray[np.float32]
    """(P,)"""
    values: NDArray[np.int32]
    """profile values that form groups, ascending"""
    query: NDArray[np.float32]
    """(d,) of models.version.towers"""
    embedding: NDArray[np.float32]
    """(d,) L2-normalised, or zero"""


class AppendedRow:
    """Candidate arrays with one row more, for an out-of-graph user; copies the arrays with an entry for each user."""

    def __init__(self, arrays: CandidateArrays) -> None:
        self.row = Row(len(arrays.indptr) - 1)
        profile_affinity = arrays.profile_affinity
        self._arrays = arrays._replace(
            indptr=_longer(arrays.indptr, 1),
            indices=_longer(arrays.indices, MOST_FRIENDS),
            known_indptr=_longer(arrays.known_indptr, 1),
            known_indices=_longer(arrays.known_indices, MOST_KNOWN),
            suggestible=_longer(arrays.suggestible, 1),
            towers=_longer(arrays.towers, 1),
            appended_query=np.zeros(arrays.towers.shape[1], np.float32),
            embeddings=_longer(arrays.embeddings, 1),
            late=_longer(arrays.late, 1) if len(arrays.late) else arrays.late,
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

    def fill(self, user: OutOfGraphUser) -> CandidateArrays:
        """The arrays with this user in the last row, until the next call."""
        arrays, row = self._arrays, self.row
        _put(arrays.indptr, arrays.indices, row, user.friends[:MOST_FRIENDS])
        own = [] if user.viewer == NO_ROW else [user.viewer]
        _put(arrays.known_indptr, arrays.known_indices, row, np.concatenate([own, user.known[: MOST_KNOWN - 1]]))
        _put(arrays.value_indptr, arrays.value_codes, row, user.values[:MOST_VALUES])
        _put(arrays.profile_affinity.set_indptr, arrays.profile_affinity.set_codes, row, user.set_codes[:MOST_VALUES])
        arrays.appended_query[:], arrays.embeddings[row] = user.query, user.embedding
        arrays.profile_affinity.codes[row], arrays.profile_affinity.points[row] = user.codes, user.points
        return arrays


def _longer(array: NDArray[Any], more: int) -> NDArray[Any]:
    """A copy with `more` zeros appended along the first axis."""
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])


def _put(indptr: NDArray[np.int64], items: NDArray[np.int32], row: int, new: NDArray[np.generic]) -> None:
    """Makes `new` the items of the last row."""
    start = indptr[row]
    items[start : start + len(new)] = new
    indptr[row + 1] = start + len(new)
