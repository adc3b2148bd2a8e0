"""`pymk synth` writes a whole dataset directory or none, and replaces only what it made itself."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest
import structlog
import typer
from typer.testing import CliRunner, Result

from models.errors import UsageError
from offline.cli.synth import register
from offline.synth import directory
from offline.synth.arguments import FAKES, FILES, check_target
from offline.synth.directory import write
from offline.synth.network import Network, generate


@pytest.fixture(scope="module")
def network() -> Network:
    return generate(60, 6.0, seed=2)


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    with structlog.testing.capture_logs():
        return CliRunner().invoke(app, ["synth", *arguments])


def test_writes_the_files_of_a_dataset(tmp_path: Path, network: Network) -> None:
    write(network, tmp_path / "deep" / "data", "--users 60")
    assert content(tmp_path / "deep" / "data").keys() == FILES - {FAKES}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["data"]
    data = tmp_path / "deep" / "data"
    schema = tomllib.loads((data / "schema.toml").read_text())
    assert schema["as_of"] == "2026-01-01T00:00:00Z"
    users = pl.read_csv(data / "users.csv")
    assert set(schema["users"]) < set(users.columns)
    assert set(schema["reasons"]["columns"]) < set(schema["users"])
    known = set(users["user_id"])
    for name, columns in (
        ("connections.csv", ["user_id", "other_id", "created_at"]),
        ("held_out.csv", ["user_id", "other_id", "created_at"]),
        ("interactions.csv", ["user_id", "other_id", "kind", "at"]),
    ):
        table = pl.read_csv(data / name)
        assert table.columns == columns
        assert set(table["user_id"]) | set(table["other_id"]) <= known
        moments = table[columns[-1]]
        assert moments.is_sorted()
        last = moments.max()
        assert isinstance(last, str)
        assert (last < schema["as_of"]) is (name != "held_out.csv")


def test_same_seed_same_bytes_and_its_own_directory_is_replaced(tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        result = run("--users", "80", "--mean-friends", "5", "--seed", "7", "--out", str(tmp_path / name))
        assert result.exit_code == 0, result.output
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert run("--users", "80", "--mean-friends", "5", "--seed", "8", "--out", str(tmp_path / "one")).exit_code == 0
    assert content(tmp_path / "one")["connections.csv"] != content(tmp_path / "two")["connections.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_prints_on_stdout_what_it_wrote(tmp_path: Path) -> None:
    result = run("--users", "5", "--out", str(tmp_path / "data"))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{tmp_path / 'data'}: 5 users, ")
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("users", [1, 2])
def test_the_smallest_networks_are_datasets_too(tmp_path: Path, users: int) -> None:
    write(generate(users), tmp_path / "data")
    assert len(pl.read_csv(tmp_path / "data" / "users.csv")) == users
    assert pl.read_csv(tmp_path / "data" / "interactions.csv").columns == ["user_id", "other_id", "kind", "at"]


def test_refuses_what_it_did_not_make(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    check_target(foreign)
    (foreign / "users.csv").write_text("user_id\nada\n")
    (foreign / "schema.toml").write_text("[users]\n")
    own = tmp_path / "own"
    write(network, own)
    check_target(own)
    (own / "notes.txt").write_text("keep me")
    for target in (foreign, own, own / "users.csv"):
        before = target.read_bytes() if target.is_file() else content(target)
        with pytest.raises(UsageError):
            write(network, target)
        assert (target.read_bytes() if target.is_file() else content(target)) == before
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    for target in (Path(), tmp_path / "here"):
        with pytest.raises(UsageError, match="directory you are in"):
            check_target(target)


@pytest.mark.parametrize(
    "arguments",
    [("--users", "0"), ("--users", "10", "--mean-friends", "11"), ("--users", "10", "--seed", "-1")],
)
def test_wrong_arguments_write_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--out", str(tmp_path / "data"))
    assert result.exit_code == 2 or isinstance(result.exception, UsageError)
    assert not list(tmp_path.iterdir())


def test_a_run_that_ends_early_leaves_the_earlier_dataset(tmp_path: Path, network: Network) -> None:
    data = tmp_path / "data"
    write(network, data)
    before = content(data)

    def stop(step: str, done: float) -> None:
        if (step, done) == ("writing", 0.5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(generate(50), data, progress=stop)
    assert content(data) == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_killed_runs_left_is_swept_and_what_lives_is_not(tmp_path: Path, network: Network) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = ended.pid
    for owner in (gone, os.getppid()):
        left = tmp_path / f".data.{owner}.partial"
        left.mkdir()
        (left / directory.USERS).write_text("user_id\n")
    write(network, tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".data.{os.getppid()}.partial", "data"]
