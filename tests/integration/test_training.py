"""What training may see: on a network of chance nothing can be learned, unless an answer leaks."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator
from models.candidates.inputs import CandidateInputs
from models.features.inductive import ProfileMap
from models.features.profile_affinity import fit_profile_affinity
from models.features.profile_encoder import ProfileEncoder
from models.features.spectral import spectral_embedding
from models.features.towers import TowerShape, closed_form_towers
from models.features.user_statistics import user_statistics
from models.graph import Graph
from models.schema.pair_features import PAIR_FEATURES
from models.schema.profiles import Profiles
from offline.features.temporal_graph import Friendships, friendships, user_history
from offline.night.candidates import KnownNearest
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.model_bundle import ModelBundle
from offline.night.train import train
from offline.ranker.train import train_ranker
from offline.ranker.training_lists import training_lists
from offline.snapshot.snapshot import Snapshot, write_snapshot
from tests.support.tables import coded_profiles

PEOPLE = 220
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = NightConfig.model_validate(
    {
        "sage": {"hidden": 16, "outputs": 16, "fan_outs": [5, 3], "batch_pairs": 256, "max_steps": 10, "device": "cpu"},
        "ranker": {"epochs": 4, "least_pairs": 50, "learning_rate": 5e-3},
        "candidates": {"kept": 200},
        "index": {"threads": 1},
    }
)


@dataclass(frozen=True)
class Trained:
    """What one training step came to, and what it said."""

    bundle: ModelBundle
    readable: Friendships
    said: dict[str, Any]


def snapshot_of(directory: Path, **tables: str) -> Snapshot:
    data = directory / "DATA"
    data.mkdir()
    for name, content in tables.items():
        (data / f"{name}.csv").write_text(content)
    return write_snapshot(data, directory / "snapshot", started_at=STARTED)


def chance_network(directory: Path) -> Snapshot:
    """1,600 friendships between people drawn without regard to anything."""
    random = np.random.default_rng(0)
    pairs = {(min(a, b), max(a, b)) for a, b in random.integers(PEOPLE, size=(1700, 2)).tolist() if a != b}
    users = "user_id\n" + "".join(f"u{row:03}\n" for row in range(PEOPLE))
    connections = "user_id,other_id\n" + "".join(f"u{a:03},u{b:03}\n" for a, b in sorted(pairs))
    return snapshot_of(directory, users=users, connections=connections)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    directory = tmp_path_factory.mktemp("chance")
    snapshot = chance_network(directory)
    encoder = ProfileEncoder.fit(snapshot.profiles)
    everybody, readable = user_history(snapshot, encoder), friendships(snapshot)
    with capture_logs() as lines:
        night = NightContext(snapshot, encoder, everybody, readable, CONFIG, STARTED)
        bundle = train(night, readable, snapshot.cut, directory / "work")
    said = next(line for line in lines if line["event"] == "training_split")
    return Trained(bundle, readable, said)


def test_no_friendship_is_both_read_and_asked_for(trained: Trained) -> None:
    said = trained.said
    assert said["messages"] + said["encoder_labels"] + said["ranker_labels"] == trained.readable.count
    assert min(said["encoder_labels"], said["ranker_labels"]) > 200


def test_on_a_network_of_chance_the_ranker_finds_next_to_nothing(trained: Trained) -> None:
    # statistics and spectra of a graph that still has the outcomes reach 0.9
    assert trained.bundle.ranker is not None
    assert trained.bundle.training.metrics["ranker_head_ndcg20"] < 0.2
    assert trained.bundle.training.metrics["ranker_towers_ndcg20"] < 0.2


def test_on_a_network_of_chance_the_encoder_is_no_better_than_chance(trained: Trained) -> None:
    assert trained.bundle.training.metrics["sage_auc"] < 0.6


def test_activity_counts_the_thirty_days_before_a_moment_and_nothing_at_it(tmp_path: Path) -> None:
    day = 86_400
    moment = int(STARTED.timestamp()) - 50 * day
    events = [
        ("ann", "bea", "view", moment - 1),
        ("ann", "bea", "click", moment - 30 * day),
        ("ann", "bea", "view", moment - 30 * day - 1),  # too long ago
        ("ann", "bea", "view", moment),  # not before it
        ("bea", "cid", "impression", moment + day),
        ("cid", "ann", "dismiss", moment - 5 * day),
        ("cid", "bea", "invite", moment - 5 * day),  # what would tell of friendships does not count
        ("bea", "cid", "accept", moment - 4 * day),
        ("ann", "dan", "connect", moment - 3 * day),
        ("ann", "dan", "disconnect", moment - 2 * day),
    ]
    snapshot = snapshot_of(
        tmp_path,
        users="user_id\nann\nbea\ncid\ndan\n",
        connections=f"""user_id,other_id,created_at
ann,bea,{moment - 1}
ann,cid,{moment}
bea,dan,{moment - 31 * day}
""",
        interactions="user_id,other_id,kind,at\n" + "".join(",".join(map(str, event)) + "\n" for event in events),
    )
    everybody, made = user_history(snapshot, ProfileEncoder.fit(snapshot.profiles)), friendships(snapshot)
    people = everybody.before(moment, made)
    # did, received, friendships made (the accepted invitation among them)
    counts = np.rint(np.expm1(people.activity)).astype(int).tolist()
    assert counts == [[2, 1, 1], [0, 2, 2], [1, 0, 1], [0, 0, 0]]
    later = np.rint(np.expm1(everybody.before(moment + 1, made).activity)).astype(int)
    assert later[0].tolist() == [2, 1, 2]  # the click fell out, the view at the moment came in, and cid
    assert not everybody.is_dated, "three dates tell no last tenth"
    assert people.dated is None
    dated = replace(everybody, is_dated=True).before(moment, made).dated
    assert dated is not None
    # ann with bea a second ago; bea with cid after 27 of 31 days and with dan on the first: by all four horizons
    assert np.rint(np.expm1(dated[:, :4])).astype(int).sum(axis=1).tolist() == [4, 5, 1, 0]
    undated = everybody.before(moment, Friendships(made.graph, None))
    assert not undated.activity[:, 2].any()
    np.testing.assert_array_equal(undated.activity[:, :2], people.activity[:, :2])


def head_ndcg(tmp_path: Path, *, leaks: bool) -> float:
    """NDCG@20 of a head trained on the network of chance, whose spectrum has seen the outcomes or has not."""
    whole = friendships(chance_network(tmp_path)).graph
    split_edges = Friendships(whole, None).split_edges(0.2, seed=1)
    seen, outcomes = split_edges.kept.graph, split_edges.hidden
    spectral = spectral_embedding(whole if leaks else seen)
    coordinates = spectral.coordinates()
    statistics = user_statistics(seen, np.linalg.norm(coordinates, axis=1).astype(np.float32))
    nobody = np.zeros((PEOPLE, 1), np.float32)
    candidate_inputs = CandidateInputs(
        graph=seen,
        known=Graph.from_directed(PEOPLE, [], []),
        suggestible=np.ones(PEOPLE, np.bool_),
        spectral=coordinates,
        eigenvalues=spectral.values,
        towers=closed_form_towers(coordinates, spectral.values, TowerShape()),
        embeddings=nobody,
        profiles=ProfileMap.zero(0, coordinates.shape[1], 1),
        profile_affinity=fit_profile_affinity(coded_profiles(Profiles(PEOPLE)), seen),
        prerank_weights=np.zeros(len(PAIR_FEATURES) + 1, np.float32),
    )
    nearest = KnownNearest(np.arange(PEOPLE), np.full((PEOPLE, 1), -1, np.int32), PEOPLE)
    generator = CandidateGenerator(candidate_inputs, nearest, CandidateConfig(kept=200, nearest=1), 1)
    lists = training_lists(generator, np.flatnonzero(outcomes.degrees > 0), outcomes, 200)
    config = CONFIG.ranker.model_copy(update={"epochs": 8, "patience": 8})
    return train_ranker(
        lists, statistics, candidate_inputs.prerank_weights, config, log=structlog.get_logger()
    ).metrics["head_ndcg20"]


def test_a_feature_made_from_the_future_gives_itself_away(tmp_path: Path) -> None:
    for name in ("honest", "leaking"):
        (tmp_path / name).mkdir()
    honest, leaking = (head_ndcg(tmp_path / name, leaks=name == "leaking") for name in ("honest", "leaking"))
    assert honest < 0.2
    assert leaking > 2 * honest
    assert leaking > 0.35
