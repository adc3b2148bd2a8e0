"""What the steps of a night share."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.candidates.ann_index_builder import BuildIndex, build_index_in_own_process
from models.features.leading_vectors import Basis
from models.features.profile_encoder import ProfileEncoder
from models.features.towers import TowerShape
from models.graph import Graph
from models.networks.encoder import Encoder
from offline.features.graph_features import (
    Floats,
    GraphFeatures,
    People,
    SpectralReference,
    compute_graph_features,
)
from offline.features.temporal_graph import Friendships, UserHistory
from offline.night.candidates import CandidateBuilder, local_generator
from offline.night.config import NightConfig
from offline.snapshot.snapshot import Snapshot
from offline.spark.engine import SparkEngine
from offline.training.processes import ALONE, Processes


@dataclass(frozen=True)
class NightContext:
    """The input of a night, and how it works on it; no step changes any of it."""

    snapshot: Snapshot
    encoder: ProfileEncoder
    history: UserHistory
    """every user of the snapshot beside their friendships, encoded"""
    known: Friendships
    """the whole graph: what a version is built from"""
    config: NightConfig
    started_at: datetime
    build_index: BuildIndex = build_index_in_own_process
    group_column: str = ""
    """categorical column whose groups the report compares; empty: none"""
    processes: Processes = ALONE
    """which train; the night is rank 0 of them"""
    engine: SparkEngine | None = None
    """finds candidates; None: this process does"""
    spectra: Path | None = None
    """directory of what the spectrum of a step's graph may begin with; None: each begins anew"""

    @property
    def seed(self) -> int:
        """Of the splits; each draw adds a number of its own."""
        return self.config.split.seed

    def candidates(self, encoder: Encoder, prerank_weights: Floats, towers: TowerShape) -> CandidateBuilder:
        """Builds candidates with these weights and towers of this shape."""
        config, make = self.config, local_generator if self.engine is None else self.engine.generator
        return CandidateBuilder(
            encoder,
            prerank_weights,
            config.candidates,
            config.index,
            towers,
            self.build_index,
            processes=self.processes,
            make_generator=make,
        )

    def graph_features(
        self, graph: Graph, people: People, reference: SpectralReference, directory: Path, *, step: str, after: str
    ) -> GraphFeatures:
        """The features of the graph that a step finds candidates in; `directory` takes the files of the engine.

        The spectrum begins with that of the step before, whose graph knew less.
        """
        engine = self.engine
        found = None if engine is None else engine.neighbourhoods(graph, people.suggestible, directory)
        features = compute_graph_features(graph, people, reference, found, near=self._basis(after))
        self.keep_basis(step, features)
        return features

    def keep_basis(self, step: str, features: GraphFeatures) -> None:
        """Keeps what the spectra of steps to come may begin with, for a night that is resumed too."""
        if self.spectra is not None and (basis := features.spectral.basis) is not None:
            self.spectra.mkdir(exist_ok=True)
            basis.save(self.spectra / step)

    def _basis(self, step: str) -> Basis | None:
        return None if self.spectra is None else Basis.open(self.spectra / step)
