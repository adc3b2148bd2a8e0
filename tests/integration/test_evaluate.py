"""`pymk evaluate` from the command line to the report, on a small network."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from offline.evaluation.baselines import BASELINES
from offline.evaluation.report import Report
from offline.night.backtest import NEWCOMERS, backtest
from offline.night.config import NightConfig
from offline.snapshot.snapshot import write_snapshot

QUICK = """
[sage]
max_steps = 5
hidden = 16
outputs = 16
[ranker]
epochs = 1
"""


def pymk(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process and a PYMK_HOME of its own."""
    command = [sys.executable, "-m", "models.cli", *map(str, arguments)]
    own = {**os.environ, "PYMK_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=own, timeout=300, check=False)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic network of 300 people, its held-out friendships beside it, and a quick configuration."""
    directory = tmp_path_factory.mktemp("network")
    made = pymk(directory, "synth", "--users", "300", "--out", directory / "data", "--mean-friends", "12")
    assert made.returncode == 0, made.stderr
    (directory / "data" / "held_out.csv").rename(directory / "held_out.csv")
    (directory / "quick.toml").write_text(QUICK, encoding="utf-8")
    return directory


def test_the_report_is_on_stdout_and_in_the_file_and_nothing_is_published(network: Path, tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "report.json"
    quick = ["--config", network / "quick.toml", "--json", out, "--users", "80"]
    done = pymk(home, "evaluate", network / "data", "--held-out", network / "held_out.csv", *quick)
    assert done.returncode == 0, done.stderr
    check(Report.model_validate_json(out.read_bytes()))
    assert done.stdout.startswith("Full ranking")
    assert not home.exists()


def test_without_a_file_a_part_of_its_own_is_hidden_and_found(network: Path, tmp_path: Path) -> None:
    snapshot = write_snapshot(network / "data", tmp_path / "snapshot", started_at=datetime.now(UTC))
    check(backtest(snapshot, None, tmp_path, NightConfig.read(network / "quick.toml"), users=80))


def check(report: Report) -> None:
    assert 0 < report.users <= 80
    assert {"system", *BASELINES} <= set(report.methods)
    assert report.methods["system"][20].recall.value > report.methods["popularity"][20].recall.value
    assert report.pool is not None
    assert report.pool.recall.value > 0.5
    newcomers = report.slices[NEWCOMERS]
    assert newcomers.users > 5
    assert len(newcomers.methods) == 3


def test_a_held_out_file_that_is_not_there_is_bad_input(network: Path, tmp_path: Path) -> None:
    done = pymk(tmp_path / "home", "evaluate", network / "data", "--held-out", tmp_path / "none.csv")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "none.csv is not a file" in done.stderr


def test_an_unwritable_report_is_reported_before_any_work(network: Path, tmp_path: Path) -> None:
    done = pymk(tmp_path / "home", "evaluate", network / "data", "--json", tmp_path / "no" / "report.json")
    assert done.returncode == 2
    assert "there is no directory" in done.stderr
