"""Makes guests: where a newcomer, or somebody whose friends changed, stands in a version."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.candidates.inputs import CandidateInputs, values_of
from models.candidates.out_of_graph_user import NOBODY, OutOfGraphUser
from models.errors import ArtefactError
from models.features.inductive import PROFILE_PRIOR_FRIENDS, from_friends, unit
from models.features.profile_codes import ProfileCoder
from models.features.profile_encoder import ProfileEncoder
from models.features.user_statistics import SHORTEST, tower_statistics, user_statistics
from models.graph import Graph
from models.kernels.profile_affinity import MISSING
from models.schema.profiles import one_profile
from models.version.tables import Tables

Floats = NDArray[np.float32]

ACTIVITY = 3
"""numbers of a person's activity among the towers' inputs; a guest has none yet"""


@dataclass(frozen=True)
class OutOfGraphInputs:
    """What scoring reads of a viewer."""

    statistics: Floats
    """(s,)"""
    tower_inputs: NDArray[np.float16]
    """(k,)"""


class OutOfGraphUserBuilder:
    """Makes guests of one version."""

    def __init__(
        self, tables: Tables, candidate_inputs: CandidateInputs, coder: ProfileCoder, encoder: ProfileEncoder
    ) -> None:
        self._tables = tables
        self._land = candidate_inputs
        self._coder = coder
        self._encoder = encoder
        self._kinds = {name: column.kind for name, column in coder.columns.items()}
        self._value_indptr, self._value_codes, _ = values_of(candidate_inputs.profile_affinity)
        self._starts = np.concatenate([[0], np.cumsum(candidate_inputs.profile_affinity.cardinality)]).astype(np.int64)

    @classmethod
    def open(cls, version: Path, tables: Tables, candidate_inputs: CandidateInputs) -> "OutOfGraphUserBuilder":
        """The book of a version directory. Raises ArtefactError where a file is missing or altered."""
        return cls(
            tables, candidate_inputs, ProfileCoder.open(version / "candidates"), ProfileEncoder.open(version / "learnt")
        )

    def member(self, row: int, friends: NDArray[np.int32], known: NDArray[np.int32]) -> OutOfGraphUser:
        """Somebody of the version with other friends than it knows of (rows ascending)."""
        profile_affinity = self._land.profile_affinity
        sets = profile_affinity.set_codes[profile_affinity.set_indptr[row] : profile_affinity.set_indptr[row + 1]]
        values = self._value_codes[self._value_indptr[row] : self._value_indptr[row + 1]]
        coordinates, embedding = self._place(values, friends)
        before = self._land.graph.neighbours(row)
        if len(before) and not len(np.setxor1d(before, friends)):
            coordinates, embedding = self._land.spectral[row], self._land.embeddings[row]
        return OutOfGraphUser(
            row,
            friends,
            known,
            profile_affinity.codes[row],
            sets,
            profile_affinity.points[row],
            values,
            coordinates,
            embedding,
        )

    def user(self, profile: Mapping[str, Any], friends: NDArray[np.int32], known: NDArray[np.int32]) -> OutOfGraphUser:
        """Somebody whom the version does not know, from a stored profile; values that are new to it say nothing."""
        coded = self._coder.coded(one_profile(self._kinds, profile))
        single = coded.codes[0] != MISSING
        values = np.concatenate([(coded.codes[0] + self._starts[:-1])[single], coded.set_codes + self._starts[-1]])
        values = np.sort(values).astype(np.int32)
        coordinates, embedding = self._place(values, friends)
        return OutOfGraphUser(
            NOBODY, friends, known, coded.codes[0], coded.set_codes, coded.points[0], values, coordinates, embedding
        )

    def newcomer(
        self, profile: Mapping[str, Any], friends: NDArray[np.int32], known: NDArray[np.int32]
    ) -> tuple[OutOfGraphUser, OutOfGraphInputs]:
        """The same, with what scoring reads of her."""
        user = self.user(profile, friends, known)
        return user, self._inputs(user, self._encoder.encode(one_profile(self._kinds, profile))[0])

    def inputs(self, user: OutOfGraphUser) -> OutOfGraphInputs:
        """What scoring reads of a member of the version whose friends changed."""
        statistics = self._statistics(user)
        towers = self._tables.tower_inputs[user.viewer].copy()
        towers[-len(statistics) :] = tower_statistics(statistics)
        towers[: len(user.embedding)] = user.embedding
        return OutOfGraphInputs(statistics, towers)

    def _inputs(self, user: OutOfGraphUser, profile: Floats) -> OutOfGraphInputs:
        statistics = self._statistics(user)
        parts = [user.embedding, profile, np.zeros(ACTIVITY, np.float32), tower_statistics(statistics)]
        towers = np.concatenate(parts).astype(np.float16)
        if towers.shape != self._tables.tower_inputs.shape[1:]:
            raise ArtefactError(f"the version's towers read {self._tables.tower_inputs.shape[1]} numbers of a person")
        return OutOfGraphInputs(statistics, towers)

    def _statistics(self, user: OutOfGraphUser) -> Floats:
        """(s,) float32 as models.features.user_statistics has them, of somebody the graph does not hold so."""
        graph, friends = self._land.graph, user.friends
        near = np.concatenate([graph.neighbours(one) for one in friends.tolist()] or [friends])
        among = near[np.isin(near, friends)]
        owner = np.repeat(friends, graph.degrees[friends])[np.isin(near, friends)]
        rows = np.searchsorted(friends, np.stack([owner, among])) + 1
        own = np.zeros((2, len(friends)), np.int64)
        own[1] = np.arange(1, len(friends) + 1)
        small = Graph.from_pairs(len(friends) + 1, *np.concatenate([own, rows], axis=1))
        place = from_friends(graph, self._land.eigenvalues, self._land.spectral, friends)
        statistics = user_statistics(small, np.full(small.n, max(float(np.linalg.norm(place)), SHORTEST), np.float32))
        found: Floats = statistics[0]
        if len(friends):
            found[2] = np.log1p(graph.degrees[friends].astype(np.float32)).mean()
        return found

    def _place(self, values: NDArray[np.int32], friends: NDArray[np.int32]) -> tuple[Floats, Floats]:
        """Coordinates (k,) and embedding (d,) by the profile and the friends, whichever says more."""
        land, count = self._land, len(friends)
        near, alike = land.profiles.place(values)
        pull = (
            np.float32(PROFILE_PRIOR_FRIENDS / (count + PROFILE_PRIOR_FRIENDS))
            if len(values) or not count
            else np.float32(0)
        )
        coordinates = from_friends(land.graph, land.eigenvalues, land.spectral, friends) + pull * near
        together = land.embeddings[friends].sum(axis=0) + (
            np.float32(PROFILE_PRIOR_FRIENDS) * alike if len(values) or not count else 0
        )
        return coordinates.astype(np.float32), unit(together.astype(np.float32))
