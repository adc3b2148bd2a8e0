"""One graph as the learnt weights see it: statistics, spectra, embeddings, neighbours, and the landscape of
candidates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.candidates.ann_index import IndexConfig
from models.candidates.ann_index_builder import BuildIndex, build_index_in_own_process
from models.candidates.generator import CandidateConfig, CandidateGenerator
from models.candidates.inputs import CandidateInputs, profile_values
from models.features.inductive import ProfileMap, shrink_towards_profile
from models.features.profile_affinity import fit_profile_affinity
from models.features.user_statistics import tower_statistics
from models.system import files
from offline.encoders.embed import Network, embedded
from offline.features.graph_features import Floats, GraphFeatures, People


@dataclass(frozen=True)
class CandidateBuild:
    """A graph with its embeddings and candidates."""

    graph_features: GraphFeatures
    embeddings: Floats
    """(n, d) L2-normalised"""
    tower_inputs: Floats
    """(n, k) what the ranker's towers read, rounded as the version keeps it"""
    candidate_inputs: CandidateInputs
    generator: CandidateGenerator
    """for the rows that the perspective was made for"""


def build_candidates(
    graph_features: GraphFeatures,
    people: People,
    encoder: Network,
    prerank_weights: Floats,
    rows: NDArray[np.int64],
    directory: Path,
    candidates: CandidateConfig,
    index: IndexConfig,
    build_index: BuildIndex = build_index_in_own_process,
) -> CandidateBuild:
    """Embeds everybody, builds the index under `directory`/index, and makes ready for candidates of `rows`."""
    directory.mkdir(parents=True, exist_ok=True)
    graph = graph_features.graph
    profile_affinity = fit_profile_affinity(people.coded, graph)
    values = profile_values(profile_affinity)
    coordinates = graph_features.spectral.coordinates()
    embeddings = embedded(encoder, graph_features.inputs, graph)
    profiles = ProfileMap.fit(values, coordinates, embeddings, graph.degrees)
    coordinates, embeddings = shrink_towards_profile(profiles, values, coordinates, embeddings, graph.degrees)
    files.write_array(directory / "embeddings.npy", embeddings)
    nearest = directory / "nearest.npy"
    build_index(directory / "embeddings.npy", directory / "index", nearest, rows, candidates.nearest, index)
    candidate_inputs = CandidateInputs(
        graph=graph,
        known=people.known,
        suggestible=people.suggestible,
        spectral=coordinates,
        eigenvalues=graph_features.spectral.values,
        profiles=profiles,
        embeddings=embeddings,
        profile_affinity=profile_affinity,
        prerank_weights=prerank_weights,
    )
    found = KnownNearest(rows, files.read_array(nearest, np.int32, (len(rows), candidates.nearest)), graph.n)
    scaled = tower_statistics(graph_features.statistics)
    tower = np.concatenate([embeddings, people.profile, people.activity, scaled], axis=1)
    return CandidateBuild(
        graph_features=graph_features,
        embeddings=embeddings,
        tower_inputs=tower.astype(np.float16).astype(np.float32),
        candidate_inputs=candidate_inputs,
        generator=CandidateGenerator(candidate_inputs, found, candidates),
    )


class KnownNearest:
    """Nearest neighbours that were looked up before, for models.candidates.generator."""

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
