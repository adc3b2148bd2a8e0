"""`pymk monitor` against the version of a real night, and what a night says of drift by itself."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from models.publishing.publish import publish
from models.version.manifest import Manifest
from offline.evaluation.report import Report
from offline.monitor.reference import FILE_NAME, ReferenceStatistics
from offline.night.config import NightConfig
from tests.support.homes import Home
from tests.support.nights import KEYS, NightHarness


@dataclass(frozen=True)
class First:
    """A home with the version of one night."""

    home: Home
    version: str
    config: Path

    @property
    def directory(self) -> Path:
        return self.home.versions.path(self.version)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, small_network: Path, small_night: Path) -> First:
    home = Home(tmp_path_factory.mktemp("home"), timeout_s=300)
    ran = home.run("nightly", str(small_network), "--config", str(small_night))
    assert ran.returncode == 0, ran.stderr
    return First(home, ran.stdout.strip(), small_night)


def changed(network: Path, directory: Path, rename: bool = False) -> Path:
    """A copy of the network in which schools are shuffled, or a column is called otherwise."""
    data = Path(shutil.copytree(network, directory / "DATA"))
    people = pl.read_csv(data / "users.csv", infer_schema=False)
    if rename:
        people = people.rename({"company": "firm"})
        schema = (data / "schema.toml").read_text().replace("company", "firm")
        (data / "schema.toml").write_text(schema)
    else:
        people = people.with_columns(pl.col("company").shuffle(seed=1))
    people.write_csv(data / "users.csv")
    return data


def test_a_version_keeps_reference_statistics(first: First) -> None:
    kept = ReferenceStatistics.read(first.directory)
    assert kept is not None
    assert kept.model is not None
    assert kept.graph.people == Manifest.read(first.directory).users
    assert {"company", "school", "city"} <= kept.columns.keys()
    assert len(kept.model.scores) > 100
    assert Report.read(first.directory).drift is None, "there was no version before it"


def test_the_same_data_give_no_alarm(first: First, small_network: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "drift.json", tmp_path / "drift.html"
    ran = first.home.run("monitor", str(small_network), "--json", str(out), "--html", str(page))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "no retraining is due" in ran.stdout
    report = json.loads(out.read_text())
    assert report["version"] == first.version
    assert report["retrain"] is False
    assert {"name", "group", "value", "threshold", "verdict", "sentence"} == report["checks"][0].keys()
    groups = {check["group"] for check in report["checks"]}
    assert groups == {"columns", "meaning", "graph", "features", "embeddings", "scores", "coverage", "weights"}
    assert page.read_text().startswith("<!doctype html>")
    assert first.home.active() == first.version


@pytest.mark.parametrize(
    ("rename", "name"), [(False, "meaning_company"), (True, "gone_company")], ids=["shuffled", "renamed"]
)
def test_drift_is_exit_status_4_and_is_named(
    first: First, small_network: Path, tmp_path: Path, rename: bool, name: str
) -> None:
    data = changed(small_network, tmp_path, rename)
    ran = first.home.run("monitor", str(data), "--data-only", "--json", "-")
    assert ran.returncode == 4, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert report["retrain"] is True
    alarms = {check["name"] for check in report["checks"] if check["verdict"] == "alarm"}
    assert name in alarms
    assert ("dataset" in alarms) is rename, "the weights read another column"
    with first.home.opened() as store:
        kept = store.get(KEYS.drift)
    assert kept is not None
    assert json.loads(kept)["checks"] == report["checks"]


def test_a_version_without_reference_statistics_is_said_and_is_no_failure(
    first: First, small_network: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path, timeout_s=300)
    directory = home.versions.path(first.version)
    shutil.copytree(first.directory, directory)
    shutil.rmtree((directory / FILE_NAME).parent)
    Manifest.read(directory).with_files(directory).write(directory)
    with home.opened() as store:
        publish(directory, store, home.versions, keys=KEYS)
    ran = home.run("monitor", str(small_network), "--json", "-")
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["version"] == first.version
    assert report["checks"] == []
    assert "keeps no reference statistics" in report["note"]


def test_nothing_published_is_said_and_wrong_usage_is_refused(small_network: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    ran = home.run("monitor", str(small_network))
    assert (ran.returncode, "nothing is published yet" in ran.stdout) == (0, True), ran.stderr
    assert home.run("monitor", str(tmp_path / "nothing")).returncode == 2
    assert home.run("monitor", str(small_network), "--html", str(tmp_path / "no" / "page.html")).returncode == 2


def test_a_night_on_drifted_data_trains_and_keeps_the_report(first: First, small_network: Path, tmp_path: Path) -> None:
    harness = NightHarness(tmp_path / "home", changed(small_network, tmp_path), NightConfig.read(first.config))
    shutil.copytree(first.directory, harness.versions.path(first.version))
    publish(harness.versions.path(first.version), harness.store, harness.versions, keys=KEYS)
    made = harness.night()
    report = Report.read(harness.versions.path(made.version)).drift
    assert report is not None
    assert report.version == first.version
    assert "meaning_company" in {check.name for check in report.alarms}
    assert {"embedding_neighbours", "scores", "served"} <= {check.name for check in report.checks}
    assert made.ranker["trained_at"] != Manifest.read(first.directory).ranker["trained_at"]
    stored = harness.store.get(KEYS.drift)
    assert stored is not None
    assert json.loads(stored)["version"] == first.version
