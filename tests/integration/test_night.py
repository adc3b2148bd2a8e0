"""Whole nights on a small network: what is published, what is taken over, what the gate refuses."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import structlog
from safetensors.numpy import load_file

from models.candidates.ann_index import open_index
from models.candidates.generator import CandidateGenerator
from models.errors import UsageError
from models.features.towers import closed_form_towers
from models.networks.config import GatConfig
from models.networks.gat import Gat
from models.publishing.publish import publish
from models.ranker.ranker import Ranker
from models.schema.columns import Flag
from models.store.keys import SHARDS
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.manifest import FILE_NAME, Manifest
from models.version.tables import Tables
from offline.encoders.config import NightEncoder, TrainingConfig
from offline.evaluation.baselines import DATED_BASELINES
from offline.evaluation.report import PRODUCT_ALONE, SYSTEM, WITHOUT_TOWERS, Report
from offline.features.temporal_graph import friendships
from offline.night.config import NightConfig
from offline.night.former import Retrain, why_train
from offline.night.model_bundle import ModelBundle
from offline.snapshot.snapshot import Snapshot, write_snapshot
from tests.support.contacts import keys_of_uploads
from tests.support.homes import Home
from tests.support.nights import KEYS, NightHarness

WEIGHTS = ("model/ranker.safetensors", "learnt/graphsage.safetensors", "learnt/cheap.npy")


@dataclass(frozen=True)
class First:
    """The first night of a home, by the command."""

    home: Home
    config: Path
    version: str
    printed: str
    said: str

    @property
    def directory(self) -> Path:
        return self.home.versions.path(self.version)

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(self.directory)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, small_network: Path, small_night: Path) -> First:
    home = Home(tmp_path_factory.mktemp("home"), timeout_s=300)
    ran = home.run("nightly", str(small_network), "--config", str(small_night))
    assert ran.returncode == 0, ran.stderr
    return First(home, small_night, ran.stdout.rstrip("\n"), ran.stdout, ran.stderr)


@pytest.fixture
def harness(first: First, tmp_path: Path, small_network: Path, small_night: Path) -> NightHarness:
    """A home whose active version is a copy of the first night's."""
    made = NightHarness(tmp_path, small_network, NightConfig.read(small_night))
    shutil.copytree(first.directory, made.versions.path(first.version))
    publish(made.versions.path(first.version), made.store, made.versions, keys=KEYS)
    return made


def test_stdout_is_the_version_and_everything_else_goes_to_stderr(first: First) -> None:
    assert first.printed == f"{first.version}\n"
    assert first.home.active() == first.version
    for step in ("snapshot", "training", "evaluation", "version", "publish"):
        assert f'"step":"{step}"' in first.said
    assert "Times resource allocation: recall@20" in first.said
    assert "Traceback" not in first.said


def test_every_file_is_in_the_manifest_and_as_it_says(first: First) -> None:
    manifest, directory = first.manifest, first.directory
    manifest.verify(directory)
    there = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert there == {FILE_NAME, *manifest.files}
    rooms = {name.partition("/")[0] for name in manifest.files}
    assert rooms == {"blocks", "candidates", "index", "learnt", "model", "monitor", "report.json", "tables"}
    assert open_index(directory / "index").manifest.users == manifest.users
    assert ModelBundle.open(directory).training.users == manifest.users


def test_the_manifest_says_what_the_version_is_made_of(first: First, small_network: Path) -> None:
    manifest = first.manifest
    assert (manifest.version, manifest.users, manifest.forced) == (first.version, 250, False)
    assert manifest.connections == len((small_network / "connections.csv").read_text().splitlines()) - 1
    assert f'as_of = "{manifest.cut:%Y-%m-%dT%H:%M:%SZ}"' in (small_network / "schema.toml").read_text()
    assert manifest.published_at is not None
    assert manifest.created_at < manifest.published_at < datetime.now(UTC)
    assert manifest.ranker["kind"] == "two_tower"
    assert manifest.dataset["directory"] == str(small_network)
    assert manifest.vocabulary == Tables.open(first.directory / "tables").vocabulary.digest


def test_no_weight_in_a_version_is_random_or_unused(first: First) -> None:
    """Every array that scores follow from has an effect on them, and the towers are the spectrum's closed form."""
    directory = first.directory
    arrays = {path.relative_to(directory).as_posix() for path in directory.rglob("*.npy")}
    assert {"tables/towers.npy", "tables/tower_weights.npy"} <= arrays
    assert not [name for name in arrays if "candidate_vectors" in name or "tower_inputs" in name]
    names = {path.name for path in directory.rglob("*.safetensors")}
    assert names == {"ranker.safetensors", "graphsage.safetensors", "profile_encoder.safetensors"}

    # the towers, which no training made
    tables, bundle = Tables.open(directory / "tables"), ModelBundle.open(directory)
    coordinates, eigenvalues = (
        np.load(directory / "candidates" / f"{name}.npy") for name in ("spectral", "eigenvalues")
    )
    expected, found = closed_form_towers(coordinates, eigenvalues, bundle.training.towers), tables.towers
    for name in ("codes", "scales", "own", "fold"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.dimensions == first.manifest.ranker["tower_dimensions"]

    # the head: a change of any tensor that is not zero changes a score
    config = json.loads((directory / "model" / "ranker.json").read_text())["config"]
    weights = load_file(directory / "model" / "ranker.safetensors")
    blocks = Blocks.open(directory / "blocks", 250)
    asked = [Block.unpack(blocks.record(row)) for row in blocks.rows()[:20].tolist()]

    def scores(of: dict[str, np.ndarray]) -> np.ndarray:
        ranker = Ranker("two_tower", of["calibration"], config, of)
        return np.concatenate([ranker.scores(tables, block, "web") for block in asked])

    before, drawn = scores(weights), np.random.default_rng(0)
    for name, tensor in weights.items():
        altered = (tensor + drawn.random(tensor.shape) + 0.1).astype(np.float32)
        changed = np.abs(scores(weights | {name: altered}) - before).max()
        assert changed > 1e-6 or not tensor.any(), f"{name} is published and has no effect"


def test_a_busy_machine_learns_the_same(first: First, tmp_path: Path, small_network: Path) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        home = Home(tmp_path, timeout_s=300)
        ran = home.run("nightly", str(small_network), "--config", str(first.config))
    finally:
        for one in busy:
            one.kill()
            one.wait()
    assert ran.returncode == 0, ran.stderr
    again = Manifest.read(home.versions.path(ran.stdout.rstrip("\n"))).files
    learned = [name for name in first.manifest.files if name.startswith(("blocks/", "tables/tower", "candidates/"))]
    for name in (*WEIGHTS, *learned):
        assert again[name] == first.manifest.files[name], name


def test_the_report_holds_the_system_and_every_baseline(first: First) -> None:
    report = Report.read(first.directory)
    assert report.users == 80
    assert report.ratio is not None
    assert set(report.methods) == {
        SYSTEM,
        "popularity",
        "common_neighbours",
        "adamic_adar",
        "resource_allocation",
        "jaccard",
        "personalised_pagerank",
        *DATED_BASELINES,
    }
    assert set(report.recency) == set(DATED_BASELINES)
    assert first.manifest.metrics == report.summary()
    assert set(report.parts) == {PRODUCT_ALONE, WITHOUT_TOWERS}
    assert "the trained head" in first.said


def test_the_worker_makes_the_blocks_that_the_night_made(first: First) -> None:
    generator, blocks = CandidateGenerator.open(first.directory), Blocks.open(first.directory / "blocks", 250)
    assert len(blocks.rows()) > 200
    for row in blocks.rows().tolist():
        assert generator.block(row).pack() == blocks.record(row)


def test_nothing_but_the_version_is_left(first: First, small_network: Path) -> None:
    assert not (first.home.path / "night").exists()
    assert [path.name for path in first.home.versions.directory.iterdir() if path.is_dir()] == [first.version]
    with first.home.opened() as store:
        version = set(store.scan(KEYS.version(first.version)))
        lasting = {KEYS.active, KEYS.versions, KEYS.lease, KEYS.watermark, KEYS.clock, KEYS.audit, KEYS.nights}
        lasting |= {KEYS.fence(shard) for shard in range(SHARDS)}
        assert set(store.scan("pymk:")) - version == lasting | keys_of_uploads(KEYS, small_network)
        assert all(store.ttl_s(key) is None for key in version)


def test_everybody_active_has_candidates_and_nobody_who_may_not_be_shown(first: First) -> None:
    tables = Tables.open(first.directory / "tables")
    blocks = Blocks.open(first.directory / "blocks", tables.n)
    active = np.flatnonzero(tables.flags & Flag.ACTIVE)
    assert blocks.rows().tolist() == active.tolist()
    shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
    for row in active.tolist():
        block = Block.unpack(blocks.record(row))
        others = block.rows.astype(np.int64)
        assert block.viewer == row
        assert 0 < len(set(others.tolist())) == len(others) <= 60
        assert row not in others
        assert not tables.graph.contains(row, others).any()
        assert not tables.forbidden.contains(row, others).any()
        assert ((tables.flags[others] & shown) == shown).all()


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
    assert made.files["index/index.faiss"] != first.manifest.files["index/index.faiss"]
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


def test_without_a_version_there_are_no_weights_to_take(tmp_path: Path, small_network: Path) -> None:
    harness = NightHarness(tmp_path, small_network, NightConfig())
    with pytest.raises(UsageError, match="--retrain never needs an active version whose weights this host has"):
        harness.night("never")
    assert not (tmp_path / "night").exists()


def test_the_gate_refuses_and_force_overrides(first: First, small_network: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse.toml"
    worse.write_text("[candidates]\nkept = 1\nnearest = 30\n[split]\njudged_users = 80\n")
    night = ("nightly", str(small_network), "--config", str(worse))
    refused = first.home.run(*night)
    assert (refused.returncode, refused.stdout) == (3, ""), refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("pymk: the quality gate refused to publish: recall@20 is 0.")
    assert "publish it all the same with --force" in refused.stderr
    assert first.home.active() == first.version
    assert first.home.versions.ids() == [first.version]

    again = first.home.run(*night)
    assert again.returncode == 3, again.stderr
    assert "run_resumed" not in again.stderr, "a refusal ends the run"

    forced = first.home.run(*night, "--force")
    assert forced.returncode == 0, forced.stderr
    assert "run_resumed" in forced.stderr, "what was refused is published"
    assert "gate_overridden" in forced.stderr
    version = forced.stdout.rstrip("\n")
    assert first.home.active() == version
    assert first.home.versions.manifest(version).forced
    assert f"{version}\t" in (listed := first.home.run("versions").stdout)
    assert listed.splitlines()[1].endswith("\tforced")
    assert first.home.run("rollback").stdout == f"{first.version}\n"


def test_the_order_of_rows_changes_nothing(
    first: First, small_network: Path, small_night: Path, tmp_path: Path
) -> None:
    data = tmp_path / "DATA"
    data.mkdir()
    chance = random.Random(5)
    for path in small_network.iterdir():
        head, *rows = path.read_text().splitlines()
        if path.suffix == ".csv":
            chance.shuffle(rows)
        if path.name == "connections.csv":
            cells = (row.split(",") for row in rows)
            rows = [
                ",".join([b, a, *rest]) if chance.random() < 0.5 else ",".join([a, b, *rest]) for a, b, *rest in cells
            ]
        (data / path.name).write_text("\n".join([head, *rows, ""]))
    made = NightHarness(tmp_path / "home", data, NightConfig.read(small_night)).night()
    assert made.dataset["digest"] == first.manifest.dataset["digest"]
    same = {"blocks/blocks.bin", "blocks/blocks_offsets.npy", *WEIGHTS}
    same |= {name for name in made.files if name.startswith("tables/")}
    differing = {name for name in same if made.files[name] != first.manifest.files[name]}
    assert not differing
