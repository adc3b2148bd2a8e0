"""One graph as trained weights see it: embeddings, nearest neighbours, and the inputs of candidate generation."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.candidates.ann_index_builder import BuildIndex, build_index_in_own_process
from models.candidates.config import CandidateConfig, IndexConfig
from models.candidates.generator import CandidateGenerator, Nearest
from models.candidates.inputs import CandidateInputs, profile_values
from models.features.inductive import ProfileMap, shrink_towards_profile
from models.features.profile_affinity import fit_profile_affinity
from models.features.towers import TowerShape, closed_form_towers
from models.features.user_statistics import late_of
from models.networks.encoder import Encoder
from models.system import files
from offline.encoders.embed import embedded
from offline.features.graph_features import GraphFeatures, People
from offline.steps.stages import stage
from offline.training.processes import ALONE, Processes

MakeGenerator = Callable[[CandidateInputs, Nearest, CandidateConfig, Path], CandidateGenerator]
"""makes the generator of a graph; the directory takes what it needs of files"""
MANY = 20_000
"""users from which on few of them are not worth an index"""
FEW_ASK = 0.2
"""share of the users who may ask without one"""


@dataclass(frozen=True)
class CandidateBuild:
    """A graph with its embeddings and candidates."""

    graph_features: GraphFeatures
    embeddings: Float32s
    """(n, d) L2-normalised"""
    candidate_inputs: CandidateInputs
    generator: CandidateGenerator
    """of the rows that the candidates were built for"""

    def with_towers(self, shape: TowerShape) -> "CandidateBuild":
        """The same with other towers of the same coordinates."""
        inputs = self.candidate_inputs
        towers = closed_form_towers(inputs.spectral, inputs.eigenvalues, shape)
        if towers.dimensions == inputs.towers.dimensions:
            return self
        inputs = replace(inputs, towers=towers)
        return replace(self, candidate_inputs=inputs, generator=self.generator.reading(inputs))


def local_generator(inputs: CandidateInputs, nearest: Nearest, config: CandidateConfig, _: Path) -> CandidateGenerator:
    """A generator that works in this process."""
    return CandidateGenerator(inputs, nearest, config)


@dataclass(frozen=True)
class CandidateBuilder:
    """Builds candidates the same way in every graph of a night."""

    encoder: Encoder
    prerank_weights: Float32s
    candidates: CandidateConfig
    index: IndexConfig
    towers: TowerShape
    build_index: BuildIndex = build_index_in_own_process
    processes: Processes = ALONE
    """which embed the users; this is rank 0 of them"""
    make_generator: MakeGenerator = local_generator

    def build(
        self,
        graph_features: GraphFeatures,
        people: People,
        rows: NDArray[np.int64],
        directory: Path,
        *,
        keeps_index: bool = False,
    ) -> CandidateBuild:
        """Embeds every user, builds the index under `directory`/index, and prepares the candidates of `rows`.

        An index that is not kept is brute force where few of many users ask (FEW_ASK): that is exact, and costs less
        than linking everybody.
        """
        directory.mkdir(parents=True, exist_ok=True)
        # embeddings, shrunk towards those of the profile
        graph = graph_features.graph
        profile_affinity = fit_profile_affinity(people.coded, graph)
        values = profile_values(profile_affinity)
        coordinates = graph_features.spectral.coordinates()
        with stage("embedding", people=graph.n):
            embeddings = embedded(self.encoder, graph_features.inputs, graph, processes=self.processes)
        with stage("profiles", people=graph.n, values=values.shape[1]):
            profiles = ProfileMap.fit(values, coordinates, embeddings, graph.degrees)
            coordinates, embeddings = shrink_towards_profile(profiles, values, coordinates, embeddings, graph.degrees)
        files.write_array(directory / "embeddings.npy", embeddings)

        # the nearest neighbours of each row by embedding
        nearest = directory / "nearest.npy"
        source, count = directory / "embeddings.npy", self.candidates.nearest
        index = self.index if keeps_index else index_for_once(self.index, graph.n, len(rows))
        with stage("index", people=graph.n, viewers=len(rows)):
            self.build_index(source, directory / "index", nearest, rows, count, index)

        # what candidates are generated and scored from
        candidate_inputs = CandidateInputs(
            graph=graph,
            known=people.known,
            suggestible=people.suggestible,
            spectral=coordinates,
            eigenvalues=graph_features.spectral.values,
            profiles=profiles,
            embeddings=embeddings,
            profile_affinity=profile_affinity,
            towers=closed_form_towers(coordinates, graph_features.spectral.values, self.towers),
            prerank_weights=self.prerank_weights,
            late=late_of(graph_features.statistics),
        )
        found = KnownNearest(rows, files.read_array(nearest, np.int32, (len(rows), count)), graph.n)
        return CandidateBuild(
            graph_features=graph_features,
            embeddings=embeddings,
            candidate_inputs=candidate_inputs,
            generator=self.make_generator(candidate_inputs, found, self.candidates, directory),
        )


def index_for_once(config: IndexConfig, users: int, viewers: int) -> IndexConfig:
    """The index of so many users that is searched once, for so many viewers, and thrown away."""
    if users < MANY or viewers > FEW_ASK * users:
        return config
    return config.model_copy(update={"flat_below": users + 1})


class KnownNearest:
    """Nearest neighbours that were found before, for models.candidates.generator."""

    def __init__(self, rows: NDArray[np.int64], nearest: NDArray[np.int32], n: int) -> None:
        self._at = np.full(n, -1, np.int64)
        self._at[rows] = np.arange(len(rows))
        self._nearest = nearest

    def nearest(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
        """(u, count) int32; raises KeyError for a row without them."""
        at = self._at[rows]
        if (at < 0).any():
            raise KeyError(int(rows[at < 0][0]))
        return np.ascontiguousarray(self._nearest[at, :count])
