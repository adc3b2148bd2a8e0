"""Which nights take the weights of the active version over, and which learn anew, and why."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import structlog

from models.networks.config import GatConfig
from models.networks.gat import Gat
from offline.encoders.config import NightEncoder, TrainingConfig
from offline.evaluation.report import SYSTEM, Report
from offline.features.temporal_graph import friendships
from offline.monitor.reference import ReferenceStatistics
from offline.night.config import NightConfig
from offline.night.former import Retrain, why_train
from offline.night.model_bundle import ModelBundle
from offline.snapshot.snapshot import Snapshot, write_snapshot
from tests.support.homes import WEIGHTS, First
from tests.support.nights import NightHarness


@pytest.mark.parametrize(
    ("retrain", "after_days", "anew"),
    [("auto", 7.0, False), ("auto", 0.0, True), ("always", 7.0, True), ("never", 0.0, False)],
)
def test_another_night_takes_the_weights_over_or_learns_anew(
    harness: NightHarness, first: First, retrain: Retrain, after_days: float, anew: bool
) -> None:
    made = harness.night(retrain, retrain_after_days=after_days, warm_start=False)
    assert harness.active == made.version > first.version
    assert (made.ranker["trained_at"] != first.manifest.ranker["trained_at"]) is anew
    # the same friendships give the same weights: only the time of the training differs
    assert all(made.files[name] == first.manifest.files[name] for name in WEIGHTS)
    assert made.files["blocks/blocks.bin"] == first.manifest.files["blocks/blocks.bin"]
    made.verify(harness.versions.path(made.version))
    assert not (harness.home / "night").exists()


@pytest.mark.parametrize(("retrain", "anew"), [("always", True), ("never", False)])
def test_statistics_to_compare_later_nights_with_are_those_of_the_night_that_trained(
    harness: NightHarness, first: First, retrain: Retrain, anew: bool
) -> None:
    directory = harness.versions.path(first.version)
    before = ReferenceStatistics.read(directory)
    assert before is not None
    long_ago = before.model_copy(update={"cut": 1})
    long_ago.write(directory)
    first.manifest.with_files(directory).write(directory)
    kept = ReferenceStatistics.read(harness.versions.path(harness.night(retrain).version))
    assert kept is not None
    assert (kept.cut, kept.columns) == (before.cut if anew else 1, before.columns)


def test_a_training_begins_with_the_weights_before_and_the_report_says_what_it_changed(
    harness: NightHarness, first: First
) -> None:
    made = harness.night("always")
    report = Report.read(harness.versions.path(made.version)).retraining
    assert report is not None
    assert (report.reason, report.warm["encoder"]) == ("--retrain always", True)
    assert made.files[WEIGHTS[1]] != first.manifest.files[WEIGHTS[1]]
    assert report.before is not None
    assert report.after is not None
    assert report.gain is not None
    assert report.gain.ndcg.value == pytest.approx(report.after.ndcg.value - report.before.ndcg.value, abs=1e-6)
    # the weights before, on what they were judged on then
    assert report.before == Report.read(first.directory).methods[SYSTEM][20]
    assert report.after.ndcg.value >= 0.95 * report.before.ndcg.value
    kept = harness.night("never")
    assert Report.read(harness.versions.path(kept.version)).retraining is None


def test_another_encoder_takes_the_place_of_graphsage(harness: NightHarness, first: First) -> None:
    chosen = NightEncoder(encoder=GatConfig(hidden=16, outputs=16), training=TrainingConfig(max_steps=4, device="cpu"))
    made = harness.night(encoder=chosen)
    assert harness.active == made.version
    assert made.ranker["trained_at"] != first.manifest.ranker["trained_at"]
    embedder = ModelBundle.open(harness.versions.path(made.version)).embedder
    assert isinstance(embedder, Gat)
    assert made.files["index/shard-0000.faiss"] != first.manifest.files["index/shard-0000.faiss"]
    again = harness.night(encoder=chosen)
    assert again.ranker["trained_at"] == made.ranker["trained_at"]
    assert again.files["blocks/blocks.bin"] == made.files["blocks/blocks.bin"]


def test_weights_are_due_when_they_are_old_or_the_graph_grew(first: First) -> None:
    bundle = ModelBundle.open(first.directory)
    then, users, friends = bundle.training.trained_at, bundle.training.users, bundle.training.connections
    assert bundle.is_due(then + timedelta(days=6), users, friends, 7, 0.2) is None
    assert bundle.is_due(then + timedelta(days=7), users, friends, 7, 0.2) == "the weights are 7.0 days old"
    assert bundle.is_due(then, users * 2, friends, 7, 0.2) == f"users grew from {users} to {users * 2}"
    assert bundle.is_due(then, users, friends * 2, 7, 0.2) == f"friendships grew from {friends} to {friends * 2}"


def why(first: First, data: Path, directory: Path, retrain: Retrain = "auto") -> str | None:
    """Why a night on a dataset would not take over the weights of the first night."""
    former = ModelBundle.open(first.directory)
    config = NightConfig.read(first.config)
    write_snapshot(data, directory / "snapshot", started_at=former.training.trained_at)
    snapshot = Snapshot.open(directory / "snapshot")
    return why_train(former, retrain, config, friendships(snapshot), snapshot, former.training.trained_at)


def changed(network: Path, directory: Path, change: Callable[[pl.DataFrame], pl.DataFrame], table: str) -> Path:
    """A copy of a dataset in which one table is changed."""
    data = directory / "DATA"
    shutil.copytree(network, data)
    change(pl.read_csv(data / f"{table}.csv", infer_schema=False)).write_csv(data / f"{table}.csv")
    return data


def test_the_same_network_keeps_the_weights(first: First, small_network: Path, tmp_path: Path) -> None:
    assert why(first, small_network, tmp_path) is None
    data = changed(small_network, tmp_path, lambda pairs: pairs.sample(fraction=0.9, seed=1), "connections")
    (tmp_path / "fewer").mkdir()
    assert why(first, data, tmp_path / "fewer") is None, "a tenth of the friendships ended"


def test_another_network_of_the_same_ids_is_learned_anew(first: First, small_network: Path, tmp_path: Path) -> None:
    data = changed(
        small_network, tmp_path, lambda pairs: pairs.with_columns(pl.col("other_id").shuffle(2)), "connections"
    )
    reason = why(first, data, tmp_path)
    assert reason is not None
    assert re.fullmatch(
        rf"this is another network: \d?\d% of the friendships of version {first.version} are in it", reason
    )
    assert why(first, data, tmp_path / "never", "never") is None


def test_a_network_of_other_people_is_learned_anew(first: First, small_network: Path, tmp_path: Path) -> None:
    ids = pl.col("^(user|other)_id$") + "x"
    data = changed(small_network, tmp_path, lambda pairs: pairs.with_columns(ids), "connections")
    people = pl.read_csv(data / "users.csv", infer_schema=False).with_columns(pl.col("user_id") + "x")
    people.write_csv(data / "users.csv")
    for table in ("interactions", "held_out"):
        (data / f"{table}.csv").unlink(missing_ok=True)
    reason = f"this is another network: 0% of the friendships of version {first.version} are in it"
    assert why(first, data, tmp_path) == reason


def test_users_who_joined_count_whoever_left(first: First, small_network: Path, tmp_path: Path) -> None:
    people = pl.read_csv(small_network / "users.csv", infer_schema=False)
    gone = people["user_id"].sample(60, seed=1).to_list()
    data = changed(
        small_network,
        tmp_path,
        lambda pairs: pairs.with_columns(pl.col("^(user|other)_id$").replace({one: f"new-{one}" for one in gone})),
        "connections",
    )
    renamed = people.with_columns(pl.col("user_id").replace({one: f"new-{one}" for one in gone}))
    renamed.write_csv(data / "users.csv")
    (data / "interactions.csv").unlink(missing_ok=True)
    assert why(first, data, tmp_path) == "60 users are new since the training on 250"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda people: people.with_columns(team=pl.lit("red")), "team is new"),
        (lambda people: people.drop("company"), "company is gone"),
        (
            lambda people: people.rename({"company": "firm"}).with_columns(born=pl.lit("2001-02-03")),
            "born is new, firm is new, company is gone",
        ),
    ],
    ids=["new", "gone", "renamed"],
)
def test_other_profile_columns_are_learned_anew(
    first: First, small_network: Path, tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], said: str
) -> None:
    data = changed(small_network, tmp_path, change, "users")
    schema = data / "schema.toml"
    schema.write_text(schema.read_text().replace('company = "categorical"\n', "").replace('"company"', '"school"'))
    assert why(first, data, tmp_path) == f"the profile columns changed: {said}"


def test_a_column_of_another_kind_is_learned_anew(first: First, small_network: Path, tmp_path: Path) -> None:
    data = changed(small_network, tmp_path, lambda people: people, "users")
    schema = data / "schema.toml"
    schema.write_text(schema.read_text().replace('birth_year = "numeric"', 'birth_year = "categorical"'))
    assert why(first, data, tmp_path) == "the profile columns changed: birth_year has another kind"


def test_a_night_on_other_columns_trains_and_says_why(
    harness: NightHarness, first: First, small_network: Path, tmp_path: Path
) -> None:
    data = changed(
        small_network, tmp_path, lambda people: people.with_columns(team=pl.col("user_id").str.slice(-1)), "users"
    )
    with structlog.testing.capture_logs() as logged:
        made = replace(harness, data=data).night()
    assert made.ranker["trained_at"] != first.manifest.ranker["trained_at"]
    (said,) = [entry for entry in logged if entry["event"] == "training"]
    assert said["reason"] == "the profile columns changed: team is new"
    assert "team" in ModelBundle.open(harness.versions.path(made.version)).encoder.columns
