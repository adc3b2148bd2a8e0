"""What the steps of a night share."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.arrays import Float32s
from models.candidates.ann_index_builder import BuildIndex, build_index_in_own_process
from models.features.profile_encoder import ProfileEncoder
from models.features.towers import TowerShape
from models.graph import Graph
from models.networks.encoder import Encoder
from offline.features.graph_features import (
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

    @property
    def seed(self) -> int:
        """Of the splits; each draw adds a number of its own."""
        return self.config.split.seed

    def candidates(self, encoder: Encoder, prerank_weights: Float32s, towers: TowerShape) -> CandidateBuilder:
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
        self, graph: Graph, people: People, reference: SpectralReference, directory: Path
    ) -> GraphFeatures:
        """The features of a graph that candidates are found in; `directory` takes the files of the engine."""
        engine = self.engine
        found = None if engine is None else engine.neighbourhoods(graph, people.suggestible, directory)
        return compute_graph_features(graph, people, reference, found)
