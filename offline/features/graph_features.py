"""What networks read of one graph: statistics of its users, their spectrum, and the input columns of encoders.

A night computes them for each graph of the training, for the one of its evaluation, and for the whole.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.features.profile_affinity import CodedProfiles
from models.features.profile_codes import ProfileCoder
from models.features.spectral import Spectral, spectral_embedding
from models.features.user_statistics import tower_statistics, user_statistics
from models.graph import Graph
from models.schema.statistic_names import DATED_STATISTICS
from offline.steps.stages import stage


@dataclass(frozen=True)
class People:
    """What is known of n users beside their friendships."""

    profile: Float32s
    """(n, p) encoded profiles"""
    coder: ProfileCoder
    coded: CodedProfiles
    """the profiles as the coder codes them"""
    activity: Float32s
    """(n, a) logarithms of counts of recent activity, up to the cut of the graph"""
    known: Graph
    """directed: who must not be shown to whom"""
    suggestible: NDArray[np.bool_]
    """(n,)"""
    dated: Float32s | None = None
    """(n, len(DATED_STATISTICS)) of models.features.user_statistics; None if friendships have no dates"""

    @property
    def n(self) -> int:
        return len(self.suggestible)

    @property
    def late(self) -> Float32s | None:
        """(n,) ln(1 + friendships made of late); None if friendships have no dates."""
        return None if self.dated is None else self.dated[:, DATED_STATISTICS.index("late_10")]


@dataclass(frozen=True)
class GraphFeatures:
    """The inputs of encoders and of the ranker's towers that come from one graph and its users."""

    graph: Graph
    statistics: Float32s
    """(n, s) of models.features.user_statistics"""
    spectral: Spectral
    positions: Float32s
    """(n, k) the weighted eigenvectors, rotated onto those that the networks were trained with"""
    inputs: Float32s
    """(n, f) inputs of encoders: profile, activity, statistics, spectrum"""
    structural: slice
    """the columns of `inputs` that come from the graph"""
    carried: slice
    """the columns of `inputs` that embeddings begin as"""


def compute_graph_features(
    graph: Graph,
    people: People,
    reference: "SpectralReference | None" = None,
    neighbourhoods: Float32s | None = None,
    known: GraphFeatures | None = None,
) -> GraphFeatures:
    """Statistics, spectrum and GraphSAGE's features of a graph; the spectrum rotated onto the reference's.

    `neighbourhoods` (n, 2) as in models.features.user_statistics, if they were computed elsewhere;
    `known` are features of the same graph with another reference or other profiles.
    """
    if known is None:
        with stage("spectrum", people=graph.n):
            spectral = spectral_embedding(graph)
    else:
        spectral = known.spectral
    positions = spectral.positions()
    if reference is not None:
        positions = spectral.aligned(reference.spectral, reference.mine, reference.theirs)
    if known is not None:
        statistics = known.statistics
    else:
        statistics = user_statistics(graph, spectral.norms(), neighbourhoods)
        if people.dated is not None:
            statistics = np.concatenate([statistics, people.dated], axis=1)
    # the inputs, in one table that nothing copies
    parts = [people.profile, people.activity, tower_statistics(statistics), positions]
    ends = np.cumsum([part.shape[1] for part in parts]).tolist()
    inputs = np.empty((graph.n, ends[-1]), np.float32)
    for part, end in zip(parts, ends, strict=True):
        np.clip(part, -8, 8, out=inputs[:, end - part.shape[1] : end], casting="same_kind")
    structural, carried = slice(ends[1], ends[-1]), slice(ends[2], ends[-1])
    return GraphFeatures(graph, statistics, spectral, positions, inputs, structural, carried)


@dataclass(frozen=True)
class SpectralReference:
    """The spectrum that the networks were trained with, and the rows of the users that a graph shares with it."""

    spectral: Float32s
    """(n', k)"""
    mine: NDArray[np.int64]
    """(s,) rows of the shared users in the graph"""
    theirs: NDArray[np.int64]
    """(s,) rows of the same users in `spectral`"""

    @classmethod
    def of(cls, graph_features: GraphFeatures) -> "SpectralReference":
        """A reference for graphs of the same users."""
        rows = np.arange(graph_features.graph.n)
        return cls(graph_features.positions, rows, rows)
