"""Nights in the test's own process: whole ones on a store in memory, and quick ones without training."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.candidates.ann_index_builder import build_index_here
from models.candidates.config import IndexConfig
from models.features.profile_encoder import ProfileEncoder
from models.networks.config import GraphSageConfig
from models.networks.graphsage import GraphSage
from models.publishing.pointer import read_pointer
from models.schema.candidate_sources import NIGHTLY
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS, PAIR_FEATURES
from models.store.keys import Keys
from models.system import files
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from offline.features.graph_features import SpectralReference, compute_graph_features
from offline.features.temporal_graph import friendships, user_history
from offline.night.build_version import build_version
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.former import Retrain
from offline.night.model_bundle import ModelBundle, Training
from offline.night.nightly import Night
from offline.snapshot.live_events import LiveEvents
from offline.snapshot.snapshot import Snapshot, write_snapshot
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")
CONFIG = NightConfig(index=IndexConfig(threads=1))
FORBIDDEN_DAYS = 90


@dataclass(frozen=True)
class NightHarness:
    """A home, the dataset of its nights, and the store in memory that they publish to."""

    home: Path
    data: Path
    config: NightConfig
    store: MemoryStore = field(default_factory=MemoryStore)

    def night(self, retrain: Retrain = "auto", **changed: Any) -> Manifest:
        """Runs a night with `changed` fields of the configuration; returns the manifest of its version."""
        config = self.config.model_copy(update=changed)
        night = Night(data=self.data, home=self.home, store=self.store, keys=KEYS, config=config, retrain=retrain)
        version, _ = night.run()
        return self.versions.manifest(version)

    def tables(self, version: str) -> Tables:
        return Tables.open(self.versions.path(version) / "tables")

    @property
    def versions(self) -> Versions:
        return Versions(self.home)

    @property
    def active(self) -> str | None:
        pointer = read_pointer(self.store, keys=KEYS)
        return None if pointer is None else pointer.version


def make_untrained_night(
    data: Path, versions: Versions, number: int, live: LiveEvents | None, weights: Callable[[Snapshot], ModelBundle]
) -> str:
    """Runs the steps of a night without training, evaluation and publication; returns the id of the version."""
    started = datetime.now(UTC)
    version = f"{started:%Y%m%dT%H%M%SZ}-{number:06x}"
    frozen = versions.directory.parent / f"snapshot-{version}"
    write_snapshot(data, frozen, started_at=started, live=live, forbidden_days=FORBIDDEN_DAYS)
    snapshot = Snapshot.open(frozen)
    bundle, whole = weights(snapshot), friendships(snapshot)
    history = user_history(snapshot, bundle.encoder)
    night = NightContext(snapshot, bundle.encoder, history, whole, CONFIG, started, build_index_here)
    with versions.staging(version) as directory:
        bundle.save(directory)
        build_version(night, bundle, directory)
        files.write_json(directory / "report.json", {})
        manifest = Manifest(
            version=version,
            created_at=started,
            cut=datetime.fromtimestamp(snapshot.cut, UTC),
            live_cut=snapshot.live_cut,
            erasures=snapshot.description.erasures,
            users=snapshot.n,
            connections=whole.count,
            vocabulary=snapshot.vocabulary.digest,
            pair_features=PAIR_FEATURES,
            sources=tuple(source.name.lower() for source in NIGHTLY if source.name),
            ranker={"kind": "resource_allocation"},
            metrics={},
        )
        manifest.with_files(directory).write(directory)
    shutil.rmtree(frozen)
    return version


def untrained_bundle(snapshot: Snapshot) -> ModelBundle:
    """Returns a model whose encoder is not trained: embeddings are the graph's coordinates."""
    encoder, whole = ProfileEncoder.fit(snapshot.profiles, None), friendships(snapshot)
    around = compute_graph_features(whole.graph, user_history(snapshot, encoder).before(snapshot.cut + 1, whole))
    shape = GraphSageConfig(
        inputs=around.inputs.shape[1],
        hidden=8,
        outputs=16,
        structural_columns=(around.structural.start, around.structural.stop),
        carried_columns=(around.carried.start, around.carried.stop),
    )
    count = whole.count
    training = Training(trained_at=datetime.now(UTC), users=snapshot.n, connections=count)
    spectral = SpectralReference.of(around).spectral
    return ModelBundle(
        encoder, GraphSage(shape).eval(), None, DEFAULT_PRERANK_WEIGHTS, spectral, snapshot.vocabulary, training
    )
