"""`pymk compare` from the command line to the table, on a small network with dates and interactions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from offline.compare.comparison import Plan, compare
from offline.compare.results import RunResult
from offline.compare.table import Comparison
from offline.compare.variants import DEFAULT_VARIANTS, read_variants
from offline.night.config import NightConfig
from offline.training.resume import RunState

ROWS = """
[[rows]]
name = "plain"
encoder = { name = "graphsage", hidden = 16, outputs = 16 }
training = { max_steps = 12, device = "cpu" }
fusion = { name = "weighted_average" }
[[rows]]
name = "clever"
encoder = { name = "graphsage", hidden = 16, outputs = 16 }
training = { max_steps = 12, device = "cpu" }
fusion = { name = "mlp", epochs = 2 }
[[rows]]
name = "over time"
encoder = { name = "temporal_gat", hidden = 16, outputs = 16 }
identity = { name = "hash", width = 4 }
decoder = { name = "mlp", hidden = 8 }
training = { max_steps = 8, device = "cpu", profile_weight = 0.1 }
"""


class KilledError(Exception):
    """Simulates SIGKILL."""


class Watch:
    """Counts epochs and runs, and kills the comparison after some."""

    def __init__(self, killed_after: int | None = None) -> None:
        self.epochs, self.runs, self.killed_after = 0, 0, killed_after

    def epoch(self, variant: str, state: RunState) -> None:
        self.epochs += 1
        if self.epochs == self.killed_after:
            raise KilledError

    def done(self, result: RunResult, number: int, of: int) -> None:
        self.runs += 1


def pymk(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    command = [sys.executable, "-m", "models.cli", *map(str, arguments)]
    own = {**os.environ, "PYMK_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=own, timeout=300, check=False)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic network of 300 people, its held-out friendships beside it, and rows."""
    directory = tmp_path_factory.mktemp("network")
    made = pymk("synth", "--users", "300", "--out", directory / "data", "--mean-friends", "12", home=directory)
    assert made.returncode == 0, made.stderr
    (directory / "data" / "held_out.csv").rename(directory / "held_out.csv")
    (directory / "rows.toml").write_text(ROWS)
    return directory


def plan(network: Path, out: Path, seeds: tuple[int, ...] = (0,)) -> Plan:
    rows = read_variants(network / "rows.toml")
    return Plan(network / "data", None, out, rows, seeds, NightConfig(), users=60, lists=80)


def test_the_table_is_printed_and_written_and_a_second_run_only_reads(network: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wanted = ["compare", network / "data", "--rows", network / "rows.toml", "--out", out, "--users", "60"]
    wanted += ["--held-out", network / "held_out.csv", "--lists", "80", "--seeds", "2", "--jobs", "2"]
    done = pymk(*wanted, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    found = Comparison.model_validate_json((out / "comparison.json").read_bytes())
    assert [(variant.name, variant.seeds) for variant in found.rows] == [("plain", 2), ("clever", 2), ("over time", 2)]
    assert found.has_time
    assert done.stdout == (out / "comparison.md").read_text()
    assert (out / "comparison.png").exists()
    assert not (out / "work").exists()
    plain, clever, over_time = found.rows
    assert plain.alone == clever.alone  # they share an encoder
    assert plain.fused is not None
    assert plain.fused.recall.value > found.baselines["popularity"].recall.value
    assert over_time.fused is None
    assert over_time.notes == []
    folders = list((out / "encoders").iterdir())
    assert len(folders) == 4
    assert all((folder / name).exists() for folder in folders for name in ("best.json", "loss.png", "history.json"))
    assert not (tmp_path / "home").exists()

    again = pymk(*wanted, home=tmp_path / "home")
    assert again.stdout == done.stdout
    assert "row_started" in done.stderr
    assert "row_started" not in again.stderr


def test_a_killed_comparison_resumes_at_its_last_epoch_and_ends_the_same(network: Path, tmp_path: Path) -> None:
    rows = read_variants(network / "rows.toml")
    careful = tuple(
        variant.model_copy(update={"training": variant.training.model_copy(update={"state_every_s": 0.0})})
        for variant in rows
    )
    whole, part = plan(network, tmp_path / "whole"), plan(network, tmp_path / "part")
    whole, part = (Plan(**{**vars(one), "rows": careful}) for one in (whole, part))
    watch = Watch()
    _, undisturbed = compare(whole, watch)
    assert watch.runs == 3
    with pytest.raises(KilledError):
        compare(part, Watch(killed_after=watch.epochs - 1))
    shutil.copy(tmp_path / "whole" / "ground.json", tmp_path / "part" / "ground.json")  # the same time of export
    rest = Watch()
    _, resumed = compare(part, rest)
    assert rest.epochs == 1
    assert [one.alone for one in resumed] == [one.alone for one in undisturbed]
    assert [one.fused for one in resumed] == [one.fused for one in undisturbed]


def test_faults_are_reported_before_any_work(network: Path, tmp_path: Path) -> None:
    broken = tmp_path / "rows.toml"
    broken.write_text('[[rows]]\nname = "x"\nencoder = { name = "gpt" }\n')
    for arguments, told in (
        (["--rows", broken], "rows.0.encoder"),
        (["--only", "nobody"], "no row is called 'nobody'"),
        (["--held-out", tmp_path / "none.csv"], "none.csv"),
    ):
        done = pymk("compare", network / "data", "--out", tmp_path / "out", *arguments, home=tmp_path)
        assert done.returncode == 2
        assert told in done.stderr
        assert not (tmp_path / "out").exists()


def test_help_teaches_and_the_rows_that_ship_are_printed(tmp_path: Path) -> None:
    told = pymk("compare", "--help", home=tmp_path)
    assert told.returncode == 0
    assert "[[rows]]" in told.stdout
    assert "Example" in told.stdout
    printed = pymk("compare", tmp_path, "--print-rows", home=tmp_path)
    (tmp_path / "rows.toml").write_text(printed.stdout)
    assert read_variants(tmp_path / "rows.toml") == read_variants(DEFAULT_VARIANTS)


def test_a_limit_makes_a_run_of_seconds(network: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = pymk("compare", network / "data", "--only", "gat + mlp", "--limit", "2", "--out", out, home=tmp_path)
    assert done.returncode == 0, done.stderr
    history = json.loads(next((out / "encoders").glob("*/history.json")).read_text())
    assert history[-1]["step"] == 2
