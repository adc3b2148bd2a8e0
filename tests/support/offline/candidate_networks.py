"""Random and real networks with all that candidates are found and compared by."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.candidates.ann_index_builder import build_index_here
from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator
from models.candidates.inputs import CandidateInputs
from models.features.inductive import ProfileMap
from models.features.profile_affinity import fit_profile_affinity
from models.features.towers import TowerShape, closed_form_towers
from models.graph import Graph
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS
from models.schema.profiles import CategoricalColumn, MultiColumn, NumericColumn, Profiles
from models.system import files
from offline.features.graph_features import compute_graph_features
from offline.features.temporal_graph import friendships, user_history
from offline.night.candidates import KnownNearest
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.snapshot.snapshot import write_snapshot
from tests.support.nights import untrained_bundle
from tests.support.tables import coded_profiles


class RandomNearest:
    """Returns random nearest rows, the user and friends included, without duplicates; sometimes -1."""

    def __init__(self, n: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._table = np.stack([random.permutation(np.arange(-1, n))[:5] for _ in range(n)]).astype(np.int32)
        self._table = np.concatenate([self._table, np.full((n, 5), -1, np.int32)], axis=1)

    def nearest(self, rows: np.ndarray, count: int) -> np.ndarray:
        return np.ascontiguousarray(self._table[rows, :count])


def random_inputs(seed: int, most: int = 40) -> tuple[CandidateInputs, RandomNearest]:
    """A network of 1 to `most` people with profiles, embeddings, forbidden pairs and some who may not be shown."""
    random = np.random.default_rng(seed)
    n = int(random.integers(1, most + 1))
    m = int(random.integers(0, 3 * n))
    graph = Graph.from_pairs(n, random.integers(n, size=m), random.integers(n, size=m))
    return network_of(graph, seed), RandomNearest(n, seed)


def network_of(graph: Graph, seed: int, *, dated: bool = False) -> CandidateInputs:
    """A graph with random profiles, embeddings, forbidden pairs and some who may not be shown."""
    random, n = np.random.default_rng(seed + 1), graph.n
    sets = [np.sort(random.permutation(5)[: random.integers(0, 4)]) for _ in range(n)]
    profiles = Profiles(
        n,
        {
            "age": NumericColumn(np.where(random.random(n) < 0.2, np.nan, random.normal(size=n))),
            "clubs": MultiColumn(
                np.cumsum([0, *map(len, sets)]).astype(np.int64), np.concatenate(sets).astype(np.int32), list("abcde")
            ),
            "team": CategoricalColumn(random.integers(-1, 4, n).astype(np.int32), list("wxyz")),
        },
    )
    vectors = random.normal(size=(2, n, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return CandidateInputs(
        graph=graph,
        known=Graph.from_directed(n, random.integers(n, size=n), random.integers(n, size=n)),
        suggestible=random.random(n) < 0.8,
        spectral=vectors[0],
        eigenvalues=np.ones(3, np.float32),
        towers=closed_form_towers(vectors[0], np.full(3, 0.5, np.float32), TowerShape(dimensions=2)),
        profiles=ProfileMap.zero(0, 3, 3),
        embeddings=vectors[1],
        profile_affinity=fit_profile_affinity(coded_profiles(profiles), graph),
        prerank_weights=DEFAULT_PRERANK_WEIGHTS,
        late=np.log1p(random.integers(0, 4, n)).astype(np.float32) if dated else np.zeros(0, np.float32),
    )


@dataclass(frozen=True)
class UntrainedNetwork:
    """A dataset as an untrained model sees it: what candidates of some viewers are found by."""

    inputs: CandidateInputs
    nearest: KnownNearest
    local: CandidateGenerator
    """finds them in this process"""
    viewers: np.ndarray


def untrained_network(data: Path, viewers: int, config: CandidateConfig, directory: Path) -> UntrainedNetwork:
    """The network of a dataset directory, and so many of its people drawn as viewers."""
    started, settings = datetime.now(UTC), NightConfig(candidates=config)
    snapshot = write_snapshot(data, directory / "snapshot", started_at=started)
    bundle, known = untrained_bundle(snapshot), friendships(snapshot)
    history = user_history(snapshot, bundle.encoder)
    night = NightContext(snapshot, bundle.encoder, history, known, settings, started, build_index_here)
    people = history.before(snapshot.cut + 1, known)
    features = compute_graph_features(known.graph, people, bundle.reference(snapshot.vocabulary))
    drawn = np.sort(np.random.default_rng(1).choice(snapshot.n, viewers, replace=False)).astype(np.int64)
    builder = night.candidates(bundle.embedder, bundle.prerank_weights, bundle.training.towers)
    build = builder.build(features, people, drawn, directory)
    nearest = files.read_array(directory / "nearest.npy", np.int32, (viewers, config.nearest))
    found = KnownNearest(drawn, nearest, snapshot.n)
    return UntrainedNetwork(build.candidate_inputs, found, build.generator, drawn)
