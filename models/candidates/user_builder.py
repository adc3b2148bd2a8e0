"""Builds out-of-graph users: a new user, or a user whose friends changed, in the spaces of a version."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.candidates.inputs import CandidateInputs, values_of
from models.candidates.out_of_graph_user import NO_ROW, OutOfGraphUser
from models.features.inductive import from_friends, unit
from models.features.profile_codes import ProfileCoder
from models.features.towers import query_at
from models.features.user_statistics import (
    SHORTEST,
    nobody_yet,
    user_statistics,
    with_new_friends,
)
from models.graph import Graph
from models.kernels.profile_affinity import MISSING
from models.schema.profiles import one_profile
from models.schema.statistic_names import STATISTICS
from models.schema.vocabulary import Row
from models.version.tables import Tables
from models.version.towers import PROFILE_PRIOR_FRIENDS


class OutOfGraphUserBuilder:
    """Builds out-of-graph users of one version."""

    def __init__(self, tables: Tables, candidate_inputs: CandidateInputs, coder: ProfileCoder) -> None:
        self._tables = tables
        self._inputs = candidate_inputs
        self._coder = coder
        self._kinds = {name: column.kind for name, column in coder.columns.items()}
        self._value_indptr, self._value_codes, _ = values_of(candidate_inputs.profile_affinity)
        self._starts = np.concatenate([[0], np.cumsum(candidate_inputs.profile_affinity.cardinality)]).astype(np.int64)

    @classmethod
    def open(cls, version: Path, tables: Tables, candidate_inputs: CandidateInputs) -> "OutOfGraphUserBuilder":
        """The builder of a version directory. Raises ArtefactError if a file is missing or altered."""
        return cls(tables, candidate_inputs, ProfileCoder.open(version / "candidates"))

    def existing_user(self, row: Row, friends: NDArray[np.int32], known: NDArray[np.int32]) -> OutOfGraphUser:
        """A user of the version with a changed list of friends (rows ascending)."""
        profile_affinity = self._inputs.profile_affinity
        sets = profile_affinity.set_codes[profile_affinity.set_indptr[row] : profile_affinity.set_indptr[row + 1]]
        values = self._value_codes[self._value_indptr[row] : self._value_indptr[row + 1]]
        graph, before = self._inputs.graph, self._inputs.graph.neighbours(row)
        added, removed = np.setdiff1d(friends, before), np.setdiff1d(before, friends)
        query = self._inputs.towers.changed(graph, row, added, removed)
        embedding = self._position(values, friends)[1]
        if len(before) and not len(added) and not len(removed):
            embedding = self._inputs.embeddings[row]
        codes, points = profile_affinity.codes[row], profile_affinity.points[row]
        return OutOfGraphUser(row, friends, known, codes, sets, points, values, query, embedding)

    def new_user(
        self, profile: Mapping[str, Any], friends: NDArray[np.int32], known: NDArray[np.int32]
    ) -> OutOfGraphUser:
        """A user without a row, from a stored profile; values unknown to the version are ignored."""
        coded = self._coder.coded(one_profile(self._kinds, profile))
        single = coded.codes[0] != MISSING
        values = np.concatenate([(coded.codes[0] + self._starts[:-1])[single], coded.set_codes + self._starts[-1]])
        values = np.sort(values).astype(np.int32)
        coordinates, embedding = self._position(values, friends)
        query = query_at(coordinates, self._inputs.towers)
        return OutOfGraphUser(
            NO_ROW, friends, known, coded.codes[0], coded.set_codes, coded.points[0], values, query, embedding
        )

    def statistics(self, user: OutOfGraphUser) -> Float32s:
        """(s,) float32 of models.features.user_statistics, with these friends instead of the graph's.

        Friends whom the version does not have as such were made of late, all of them.
        """
        graph, friends = self._inputs.graph, user.friends
        near = np.concatenate([graph.neighbours(one) for one in friends.tolist()] or [friends])
        among = near[np.isin(near, friends)]
        owner = np.repeat(friends, graph.degrees[friends])[np.isin(near, friends)]
        rows = np.searchsorted(friends, np.stack([owner, among])) + 1
        own = np.zeros((2, len(friends)), np.int64)
        own[1] = np.arange(1, len(friends) + 1)
        small = Graph.from_pairs(len(friends) + 1, *np.concatenate([own, rows], axis=1))
        position = from_friends(graph, self._inputs.eigenvalues, self._inputs.spectral, friends)
        statistics = user_statistics(
            small, np.full(small.n, max(float(np.linalg.norm(position)), SHORTEST), np.float32)
        )
        found: Float32s = statistics[0]
        if len(friends):
            found[2] = np.log1p(graph.degrees[friends].astype(np.float32)).mean()
        if not len(self._inputs.late):  # no dates
            return found
        is_new = user.viewer == NO_ROW
        before = friends[:0] if is_new else graph.neighbours(user.viewer)
        dated = nobody_yet() if is_new else self._tables.statistics[user.viewer, len(STATISTICS) :]
        new = len(np.setdiff1d(friends, before))
        return np.concatenate([found, with_new_friends(dated, len(before), new)])

    def _position(self, values: NDArray[np.int32], friends: NDArray[np.int32]) -> tuple[Float32s, Float32s]:
        return position_of(self._inputs, values, friends)


def position_of(
    inputs: CandidateInputs, values: NDArray[np.int32], friends: NDArray[np.int32]
) -> tuple[Float32s, Float32s]:
    """Coordinates (k,) and embedding (d,) from friends in a graph, with the profile values as prior."""
    count = len(friends)
    likely_coordinates, likely_embedding = inputs.profiles.predict_one(values)
    weight = (
        np.float32(PROFILE_PRIOR_FRIENDS / (count + PROFILE_PRIOR_FRIENDS))
        if len(values) or not count
        else np.float32(0)
    )
    coordinates = from_friends(inputs.graph, inputs.eigenvalues, inputs.spectral, friends) + weight * likely_coordinates
    embedding = inputs.embeddings[friends].sum(axis=0) + (
        np.float32(PROFILE_PRIOR_FRIENDS) * likely_embedding if len(values) or not count else 0
    )
    return coordinates.astype(np.float32), unit(embedding.astype(np.float32))
