"""A simulated month in small: real processes over HTTP, an experiment in it, and nothing left running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import polars as pl
import pytest

PYMK = [sys.executable, "-P", "-m", "models.cli"]
EXPERIMENT = """\
name = "short"
[[arms]]
name = "control"
share = 0.5
[[arms]]
name = "five"
share = 0.5
[arms.settings]
context_limits = "web:5,mobile:5,email:5,onboarding:5"
[candidates]
holdout = 0.2
"""


def environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}, "NO_COLOR": "1"}


def children_in(directory: Path) -> list[str]:
    """Command lines of living processes whose home is below a directory."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            variables = (process / "environ").read_bytes() if process.name.isdigit() else b""
            line = (process / "cmdline").read_bytes() if variables else b""
        except OSError:  # it has ended, or is another user's
            continue
        if f"PYMK_HOME={directory}".encode() in variables or f"{directory}/".encode() in line:
            found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 people for two days: drawn lists on the first, then an experiment, in whose holdout nobody is drawn."""
    directory = tmp_path_factory.mktemp("simulate")
    (directory / "short.toml").write_text(EXPERIMENT)
    drawn = "[settings]\nexploration_uniform_share = 1.0\nexploration_best = 10\n"
    config = f'joining = 0.1\n{drawn}[experiment]\nfile = "{directory / "short.toml"}"\nday = 2\n'
    (directory / "month.toml").write_text(config)
    out = directory / "out"
    command = [
        "simulate",
        "--out",
        str(out),
        "--users",
        "120",
        "--days",
        "2",
        "--config",
        str(directory / "month.toml"),
    ]
    done = subprocess.run(
        [*PYMK, *command], env=environment(), capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 days" in done.stdout
    return out


def test_the_days_say_what_was_shown_and_what_came_of_it(simulated: Path) -> None:
    days = pl.read_parquet(simulated / "days.parquet")
    assert set(days["day"]) == {1, 2}
    assert days["version"].n_unique() == 2, "a night between them"
    assert set(days.filter(day=1)["arms"]) == {""}
    assert set(days.filter(day=2)["arms"]) == {'{"short":"control"}', '{"short":"five"}'}
    totals = days.select(pl.col(pl.Int64).sum()).row(0, named=True)
    assert totals["shown"] > totals["looked"] > totals["clicked"] >= totals["invited"] > totals["accepted"] > 0
    by_arm = days.filter(day=2).group_by("arms").agg(pl.col("shown").sum() / pl.col("lists").sum()).sort("arms")
    assert by_arm["shown"].to_list() == pytest.approx([10, 5], abs=0.5)
    assert "onboarding" in set(days["context"])


def test_the_truth_names_everybody(simulated: Path) -> None:
    truth = orjson.loads((simulated / "truth.json").read_bytes())
    assert (truth["users"], truth["days"], truth["seed"]) == (120, 2, 0)
    assert len(truth["people"]) == 120
    assert sum(person["joined_day"] > 0 for person in truth["people"]) == 12
    assert truth["config"]["behaviour"]["position_bias"] == 0.7


def test_no_process_is_left(simulated: Path) -> None:
    deadline = time.monotonic() + 10
    while left := children_in(simulated):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_the_outcomes_of_the_home_are_those_of_the_days(simulated: Path) -> None:
    home = {**environment(), "PYMK_HOME": str(simulated / "home")}
    out = simulated / "outcomes"
    done = subprocess.run(
        [*PYMK, "outcomes", "--out", str(out)], env=home, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    outcomes, days = pl.read_parquet(out / "*.parquet"), pl.read_parquet(simulated / "days.parquet")
    assert len(outcomes) == days["shown"].sum()
    for name in ("invited", "accepted", "clicked"):
        assert outcomes[name].sum() == days[name].sum(), name
    assert outcomes["arms"].list.len().unique().sort().to_list() == [0, 1]


def test_the_experiment_of_the_home_is_read_out(simulated: Path, tmp_path: Path) -> None:
    home = {**environment(), "PYMK_HOME": str(simulated / "home"), "PYMK_GROUP_COLUMN": "company"}
    plot = tmp_path / "readout.png"
    command = [*PYMK, "experiment", "readout", "short", "--json", "--plot", str(plot)]
    done = subprocess.run(command, env=home, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)
    days = pl.read_parquet(simulated / "days.parquet")
    assert [arm["name"] for arm in found["arms"]] == ["control", "five"]
    assert sum(arm["shown"] for arm in found["arms"]) == days.filter(day=2)["shown"].sum()
    (one,) = found["comparisons"]
    shown = next(metric for metric in one["viewer_side"] if metric["name"] == "shown")
    assert shown["difference"] < 0
    assert one["candidate_side"]["held_out"] > 0
    assert {report["column"] for report in found["groups"].values()} == {"company"}
    assert one["groups"]["column"] == "company"
    assert plot.read_bytes().startswith(b"\x89PNG")
    text = subprocess.run(command[:-3], env=home, capture_output=True, text=True, check=False, timeout=120)
    assert "five against control, per viewer" in text.stdout


def test_another_version_is_judged_by_the_lists_that_were_drawn(simulated: Path) -> None:
    """A hundred lists are too few: the command says so, and gives what they earned themselves."""
    home = {**environment(), "PYMK_HOME": str(simulated / "home")}
    version = min(pl.read_parquet(simulated / "days.parquet")["version"])
    command = [*PYMK, "outcomes", "--evaluate", version]
    done = subprocess.run(command, env=home, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{version} on " in done.stdout
    assert "no estimate: at position" in done.stdout
    assert "overlap: 61 lists of 61 draws" in done.stdout


def test_settings_are_judged_by_these_lists_too(simulated: Path) -> None:
    home = {**environment(), "PYMK_HOME": str(simulated / "home")}
    version = min(pl.read_parquet(simulated / "days.parquet")["version"])
    file = simulated / "bolder.toml"
    file.write_text(f'version = "{version}"\ndiversity_most = 1\nexploration_uniform_share = 1.0\n')
    command = [*PYMK, "outcomes", "--evaluate", str(file), "--json"]
    done = subprocess.run(command, env=home, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)
    assert found["settings"] == {"diversity_most": 1, "exploration_uniform_share": 1.0}
    assert found["outcomes"]["clicked"]["overlap"]["slates"] == found["lists"] > 20
    command[-2] = "nothing.toml"
    done = subprocess.run(command, env=home, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "nothing.toml is neither a version (pymk versions lists them) nor a file of settings" in done.stderr


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*PYMK, "simulate", "--out", str(out), "--users", "60", "--days", "3"]
    refused = subprocess.run([*command, "--resume"], env=environment(), capture_output=True, text=True, check=False)
    assert (refused.returncode, "holds no simulation to go on with" in refused.stderr) == (2, True)
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 600
        while not (out / "state.json").exists():
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.kill()
    deadline = time.monotonic() + 30
    while children_in(out):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = pl.read_parquet(out / "days.parquet")
    assert before["day"].unique().to_list() == [1]
    other = subprocess.run(
        [*command, "--resume", "--seed", "7"], env=environment(), capture_output=True, text=True, check=False
    )
    assert "was simulated with another seed" in other.stderr
    done = subprocess.run([*command, "--resume"], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    days = pl.read_parquet(out / "days.parquet")
    assert days["day"].unique().sort().to_list() == [1, 2, 3]
    kept = ["day", "context", "lists", "shown", "looked", "clicked", "invited", "dismissed"]
    assert days.filter(day=1).select(kept).equals(before.select(kept)), "the day that was over is as it was"
    assert not (out / "state.json").exists()
    assert len(pl.read_parquet(out / "home" / "outcomes" / "**" / "*.parquet")["request_id"].unique()) > 0


def test_stopped_in_the_middle_it_leaves_days_and_no_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*PYMK, "simulate", "--out", str(out), "--users", "60", "--days", "50"]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 600
        while not (out / "days.parquet").exists() or not len(pl.read_parquet(out / "days.parquet")):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "has the days that are over" in said
    assert pl.read_parquet(out / "days.parquet")["day"].min() == 1
    deadline = time.monotonic() + 10
    while left := children_in(out):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
