"""What a night on a small network publishes: files, manifest, report, candidates."""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.candidates.ann_index import open_index
from models.candidates.generator import CandidateGenerator
from models.features.towers import closed_form_towers
from models.ranker.ranker import Ranker
from models.schema.columns import Flag
from models.store.keys import SHARDS
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.manifest import FILE_NAME, Manifest
from models.version.tables import Tables
from offline.evaluation.baselines import DATED_BASELINES
from offline.evaluation.report import PRODUCT_ALONE, SYSTEM, WITHOUT_TOWERS, Report
from offline.night.config import NightConfig
from offline.night.model_bundle import ModelBundle
from tests.support.contacts import keys_of_uploads
from tests.support.homes import WEIGHTS, First, Home
from tests.support.nights import KEYS, NightHarness


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
    embeddings = CandidateGenerator.open(directory).candidate_inputs.embeddings
    assert open_index(directory / "index", embeddings).manifest.users == manifest.users
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


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_busy_machine_learns_the_same(first: First, tmp_path: Path, small_network: Path, threads: str) -> None:
    on_threads = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}

    def night(name: str) -> Manifest:
        home = Home(tmp_path / name, on_threads, timeout_s=300)
        ran = home.run("nightly", str(small_network), "--config", str(first.config))
        assert ran.returncode == 0, ran.stderr
        return Manifest.read(home.versions.path(ran.stdout.rstrip("\n")))

    idle = first.manifest if threads == "1" else night("idle")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        again = night("busy")
    finally:
        for one in busy:
            one.kill()
            one.wait()
    learned = [name for name in idle.files if name.startswith(("blocks/", "tables/tower", "candidates/"))]
    for name in (*WEIGHTS, *learned):
        assert again.files[name] == idle.files[name], name


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
