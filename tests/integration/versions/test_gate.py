"""Broken versions of a real night, each refused by the gate under the name of the check that saw it."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from models.errors import GateRefusedError
from models.networks.ranker_head import RankerHead
from models.publishing.approvals.approval import approve
from models.publishing.approvals.notices import Notices
from models.publishing.audit import Actor, read_audit
from models.publishing.catalogue import catalogue
from models.publishing.publish import rollback
from models.system import files
from models.version.block_file import Blocks, write_blocks
from models.version.local_versions import Versions
from models.version.tables import Tables
from offline.evaluation.gate_check import GateCheck
from offline.evaluation.report import Report
from offline.features.temporal_graph import friendships, user_history
from offline.gate.decision import refusals
from offline.gate.quality import quality_checks
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.evaluate import evaluate
from offline.night.model_bundle import ModelBundle
from offline.night.nightly import Night
from offline.night.version_checks import version_checks
from offline.snapshot.snapshot import Snapshot, write_snapshot
from tests.support.nights import KEYS, NightHarness

CHECKS = {"schema", "index_recall", "served", "newcomers_served", "parity"}


@dataclass(frozen=True)
class Made:
    """A version and what its night worked with."""

    harness: NightHarness
    version: str
    night: NightContext

    @property
    def directory(self) -> Path:
        return Versions(self.harness.home).path(self.version)

    @property
    def bundle(self) -> ModelBundle:
        return ModelBundle.open(self.directory)

    def checks(self, directory: Path) -> list[GateCheck]:
        return version_checks(self.night, self.bundle, directory, None, self.night.config.gate)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_network: Path, small_night: Path) -> Made:
    home = tmp_path_factory.mktemp("gate")
    harness = NightHarness(home, small_network, NightConfig.read(small_night))
    version = harness.night().version
    write_snapshot(small_network, home / "snapshot", started_at=datetime.now(UTC))
    snapshot = Snapshot.open(home / "snapshot")
    encoder, known = ModelBundle.open(harness.versions.path(version)).encoder, friendships(snapshot)
    history = user_history(snapshot, encoder)
    night = NightContext(snapshot, encoder, history, known, harness.config, datetime.now(UTC))
    return Made(harness, version, night)


def test_the_report_of_a_version_has_every_check_by_name(made: Made) -> None:
    checks = Report.read(made.directory).gate
    names = {check.name for check in checks}
    assert names >= {*CHECKS, "losses", "calibration", "exposure_gini", "quality_against_active_version"}
    assert {f"{metric}_against_jaccard" for metric in ("recall@20", "NDCG@20")} <= names
    assert not refusals(checks)
    assert all(check.sentence for check in checks)


def test_a_whole_version_passes_every_check(made: Made) -> None:
    checks = made.checks(made.directory)
    assert {check.name for check in checks} == CHECKS
    assert not refusals(checks)
    (parity,) = (check for check in checks if check.name == "parity")
    assert parity.value == 0


def shuffle_embeddings(directory: Path) -> None:
    path = directory / "candidates" / "embeddings.npy"
    files.write_array(path, np.random.default_rng(1).permutation(np.load(path)))


def empty_a_tenth_of_the_blocks(directory: Path) -> None:
    blocks = Blocks.open(directory / "blocks", Tables.open(directory / "tables").n)
    records = [b"" if row % 10 == 0 else blocks.record(row) for row in range(len(blocks))]
    shutil.rmtree(directory / "blocks")
    write_blocks(directory / "blocks", records)


def swap_blocks(directory: Path) -> None:
    blocks = Blocks.open(directory / "blocks", Tables.open(directory / "tables").n)
    records = [blocks.record(row) for row in range(len(blocks))]
    shutil.rmtree(directory / "blocks")
    write_blocks(directory / "blocks", [records[-1], *records[:-1]])


def shift_statistics(directory: Path) -> None:
    path = directory / "tables" / "statistics.npy"
    files.write_array(path, np.full_like(np.load(path), np.nan))


def truncate_tables(directory: Path) -> None:
    path = directory / "tables" / "flags.npy"
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("breaking", "name"),
    [
        (shuffle_embeddings, "parity"),
        (swap_blocks, "parity"),
        (empty_a_tenth_of_the_blocks, "served"),
        (shift_statistics, "schema"),
        (truncate_tables, "schema"),
    ],
    ids=["shuffled embeddings", "blocks of others", "a tenth empty", "statistics no numbers", "truncated"],
)
def test_a_broken_version_is_refused_under_the_name_of_the_check(
    made: Made, tmp_path: Path, breaking: Callable[[Path], None], name: str
) -> None:
    directory = Path(shutil.copytree(made.directory, tmp_path / "version"))
    breaking(directory)
    assert name in {check.name for check in refusals(made.checks(directory))}


def invert(model: RankerHead) -> None:
    for weights in (model.past.weight, model.last.weight):
        weights.neg_()


def promise_too_much(model: RankerHead) -> None:
    model.calibration[1] += 8


@pytest.mark.parametrize(
    ("breaking", "name"),
    [(invert, "NDCG@20_against_resource_allocation"), (promise_too_much, "calibration")],
    ids=["inverted", "promises too much"],
)
def test_a_broken_ranker_is_refused_under_the_name_of_the_check(
    made: Made, tmp_path: Path, breaking: Callable[[RankerHead], None], name: str
) -> None:
    bundle = made.bundle
    assert bundle.ranker is not None
    with torch.no_grad():
        breaking(bundle.ranker)
    bundle.save(tmp_path / "broken")
    split = made.night.known.split_edges(made.night.config.split.judged_share, made.night.seed)
    moment = split.moment(made.night.snapshot.cut)
    report = evaluate(made.night, ModelBundle.open(tmp_path / "broken"), split, moment, tmp_path / "scratch")
    assert name in {check.name for check in refusals(quality_checks(report, None, made.night.config.gate))}


def test_with_approval_a_night_waits_tells_so_and_is_published_once_approved(
    made: Made, small_network: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    store, versions = made.harness.store, made.harness.versions
    command = f"{sys.executable} -c \"import sys; open('{told}', 'a').write(sys.argv[1] + sys.stdin.read())\""
    night = Night(
        data=small_network,
        home=made.harness.home,
        store=store,
        keys=KEYS,
        config=made.harness.config,
        approval=True,
        notices=Notices(command=command),
    )
    version, _ = night.run()
    assert version != made.version
    assert made.harness.active == made.version
    said = told.read_text()
    assert said.startswith(version)
    assert json.loads(said.removeprefix(version))["approve"] == f"pymk approve {version}"
    states = {entry.version: entry.state for entry in catalogue(store, versions, keys=KEYS)}
    assert states == {version: "waiting", made.version: "active"}
    approve(store, versions, version, keys=KEYS, by=Actor("ann@host", "looks good"))
    assert made.harness.active == version
    trail = [(entry.what, entry.version, entry.who) for entry in read_audit(store, KEYS)][:3]
    assert trail[0] == ("approved", version, "ann@host")
    assert trail[1] == ("published", version, "ann@host")
    assert trail[2][:2] == ("waiting", version)
    rollback(store, versions, keys=KEYS)


def test_an_export_without_friendships_is_refused_over_a_network(
    made: Made, small_network: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(small_network, tmp_path / "DATA"))
    pl.read_csv(data / "connections.csv", infer_schema=False).head(0).write_csv(data / "connections.csv")
    (data / "interactions.csv").unlink(missing_ok=True)
    harness = NightHarness(made.harness.home, data, made.harness.config, made.harness.store)
    before = harness.versions.ids()
    with pytest.raises(
        GateRefusedError, match=r"100\.0% of the friendships of the active version .* are gone.*--force"
    ):
        harness.night()
    assert harness.active == made.version
    assert harness.versions.ids() == before
