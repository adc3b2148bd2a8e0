"""One graph as the learnt weights see it: statistics, spectra, embeddings, neighbours, and the landscape of candidates.

A night looks at three graphs: the one that training may read, the one the gate is judged on, and the whole.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import files
from models.affinity import CodedProfiles, fit_affinity
from models.candidates import CandidateConfig, CandidateMaker
from models.features.comparison import ProfileCoder
from models.features.spectral import Spectral, spectral_embedding
from models.features.statistics import tower_statistics, user_statistics
from models.graph import Graph
from models.index import IndexConfig
from models.index_process import BuildIndex, build_index_in_own_process
from models.inductive import ProfileMap, settled
from models.landscape import Landscape, profile_values
from offline.embedding import Network, embedded

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class People:
    """What is known of n people beside their friendships."""

    profile: Floats
    """(n, p) encoded profiles"""
    coder: ProfileCoder
    coded: CodedProfiles
    """the profiles as the coder codes them"""
    activity: Floats
    """(n, a) logarithms of counts of what they lately did, up to the cut that the graph has"""
    known: Graph
    """directed: who is never to be shown to whom"""
    suggestible: NDArray[np.bool_]
    """(n,)"""

    @property
    def n(self) -> int:
        return len(self.suggestible)


@dataclass(frozen=True)
class Surroundings:
    """What the networks read of a graph before anything is learnt of it."""

    graph: Graph
    statistics: Floats
    """(n, s) of models.features.statistics"""
    spectral: Spectral
    positions: Floats
    """(n, k) the weighted eigenvectors, turned to where the networks learnt them"""
    inputs: Floats
    """(n, f) what encoders read: profile, activity, statistics, spectrum"""
    structural: slice
    """the columns of `inputs` that come from the graph"""
    carried: slice
    """the columns of `inputs` that embeddings begin as"""


def survey(graph: Graph, people: People, reference: "Reference | None" = None) -> Surroundings:
    """Statistics, spectrum and GraphSAGE's features of a graph; the spectrum turned to the reference's."""
    spectral = spectral_embedding(graph)
    positions = spectral.positions()
    if reference is not None:
        positions = spectral.aligned(reference.spectral, reference.mine, reference.theirs)
    statistics = user_statistics(graph, spectral.norms())
    scaled = tower_statistics(statistics)
    left = people.profile.shape[1] + people.activity.shape[1]
    inputs = np.concatenate([people.profile, people.activity, scaled, positions], axis=1).astype(np.float32)
    width = inputs.shape[1]
    structural, carried = slice(left, width), slice(width - positions.shape[1], width)
    return Surroundings(graph, statistics, spectral, positions, np.clip(inputs, -8, 8), structural, carried)


@dataclass(frozen=True)
class Reference:
    """The spectrum that the networks learnt with, and where its people stand."""

    spectral: Floats
    """(n', k)"""
    mine: NDArray[np.int64]
    """(s,) rows of shared people here"""
    theirs: NDArray[np.int64]
    """(s,) rows of the same people in `spectral`"""

    @classmethod
    def of(cls, surroundings: Surroundings) -> "Reference":
        """A reference for graphs of the same people."""
        rows = np.arange(surroundings.graph.n)
        return cls(surroundings.positions, rows, rows)


@dataclass(frozen=True)
class Perspective:
    """A graph with its embeddings and candidates."""

    surroundings: Surroundings
    embeddings: Floats
    """(n, d) L2-normalised"""
    tower_inputs: Floats
    """(n, k) what the ranker's towers read, rounded as the version keeps it"""
    landscape: Landscape
    maker: CandidateMaker
    """for the rows that the perspective was made for"""


def perspective(
    surroundings: Surroundings,
    people: People,
    encoder: Network,
    cheap: Floats,
    rows: NDArray[np.int64],
    directory: Path,
    candidates: CandidateConfig,
    index: IndexConfig,
    build_index: BuildIndex = build_index_in_own_process,
) -> Perspective:
    """Embeds everybody, builds the index under `directory`/index, and makes ready for candidates of `rows`."""
    directory.mkdir(parents=True, exist_ok=True)
    graph = surroundings.graph
    affinity = fit_affinity(people.coded, graph)
    values = profile_values(affinity)
    coordinates = surroundings.spectral.coordinates()
    embeddings = embedded(encoder, surroundings.inputs, graph)
    profiles = ProfileMap.fit(values, coordinates, embeddings, graph.degrees)
    coordinates, embeddings = settled(profiles, values, coordinates, embeddings, graph.degrees)
    files.write_array(directory / "embeddings.npy", embeddings)
    nearest = directory / "nearest.npy"
    build_index(directory / "embeddings.npy", directory / "index", nearest, rows, candidates.nearest, index)
    landscape = Landscape(
        graph=graph,
        known=people.known,
        suggestible=people.suggestible,
        spectral=coordinates,
        eigenvalues=surroundings.spectral.values,
        profiles=profiles,
        embeddings=embeddings,
        affinity=affinity,
        cheap=cheap,
    )
    found = KnownNearest(rows, files.read_array(nearest, np.int32, (len(rows), candidates.nearest)), graph.n)
    scaled = tower_statistics(surroundings.statistics)
    tower = np.concatenate([embeddings, people.profile, people.activity, scaled], axis=1)
    return Perspective(
        surroundings=surroundings,
        embeddings=embeddings,
        tower_inputs=tower.astype(np.float16).astype(np.float32),
        landscape=landscape,
        maker=CandidateMaker(landscape, found, candidates),
    )


class KnownNearest:
    """Nearest neighbours that were looked up before, for models.candidates."""

    def __init__(self, rows: NDArray[np.int64], nearest: NDArray[np.int32], n: int) -> None:
        self._at = np.full(n, -1, np.int64)
        self._at[rows] = np.arange(len(rows))
        self._nearest = nearest

    def nearest(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
        """(u, count) int32; raises KeyError for a row that was not looked up."""
        at = self._at[rows]
        if (at < 0).any():
            raise KeyError(int(rows[at < 0][0]))
        return np.ascontiguousarray(self._nearest[at, :count])
