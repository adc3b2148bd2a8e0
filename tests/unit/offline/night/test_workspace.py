"""Which runs are taken up, and which files of a dataset decide whether a killed one is."""

import os
from pathlib import Path

import polars as pl
import pytest

from models.errors import GateRefusedError, StoreUnavailableError
from offline.night.workspace import ReadAhead, fingerprint, workspace


def leave(home: Path, error: Exception) -> str:
    """A run that finishes its snapshot and ends with an error; returns its version."""
    versions = list[str]()
    with pytest.raises(type(error)):
        ended(home, error, versions)
    return versions[0]


def ended(home: Path, error: Exception, versions: list[str]) -> None:
    with workspace(home, "same") as work:
        versions.append(work.run.version)
        with work.making("snapshot") as aside:
            (aside / "table").write_text("x")
        raise error


def test_a_stopped_run_is_taken_up(tmp_path: Path) -> None:
    version = leave(tmp_path, StoreUnavailableError("away"))
    with workspace(tmp_path, "same") as work:
        assert work.run.version == version
        assert work.is_done("snapshot")
    assert not work.directory.exists()


def test_a_refused_run_is_over(tmp_path: Path) -> None:
    version = leave(tmp_path, GateRefusedError("worse"))
    with workspace(tmp_path, "same") as work:
        assert work.run.version != version
        assert not work.is_done("snapshot")


def test_force_takes_a_refused_run_up(tmp_path: Path) -> None:
    version = leave(tmp_path, GateRefusedError("worse"))
    with workspace(tmp_path, "same", force=True) as work:
        assert work.run.version == version
        assert work.is_done("snapshot")


def test_a_run_after_a_refused_one_is_taken_up_where_it_was_stopped(tmp_path: Path) -> None:
    refused = leave(tmp_path, GateRefusedError("worse"))
    version = leave(tmp_path, StoreUnavailableError("away"))
    assert version != refused
    with workspace(tmp_path, "same") as work:
        assert work.run.version == version


def test_the_dataset_is_read_ahead_after_a_refusal(tmp_path: Path) -> None:
    data = tmp_path / "DATA"
    data.mkdir()
    (data / "users.csv").write_text("user_id\n1\n2\n")
    (data / "connections.csv").write_text("user_id,other_id\n1,2\n")
    leave(tmp_path, StoreUnavailableError("away"))
    assert ReadAhead.of(data, tmp_path) is None
    leave(tmp_path, GateRefusedError("worse"))
    assert ReadAhead.of(data, tmp_path) is not None


def test_only_files_that_are_read_count(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id\n")
    (tmp_path / "connections" / "day=1").mkdir(parents=True)
    part = tmp_path / "connections" / "day=1" / "part-0.parquet"
    pl.DataFrame({"user_id": ["a"], "other_id": ["b"]}).write_parquet(part)
    before = fingerprint(tmp_path)
    # what a run inside the directory writes, what editors leave, what is not a table
    (tmp_path / ".pymk" / "night").mkdir(parents=True)
    (tmp_path / ".pymk" / "night" / "run.json").write_text("{}")
    (tmp_path / ".#users.csv").symlink_to("somebody@host.1:2")
    for name in ("users.csv~", "notes.txt", "connections/_SUCCESS", ".users.csv.swp"):
        (tmp_path / name).write_text("x")
    assert fingerprint(tmp_path) == before
    assert fingerprint(tmp_path, "a setting") != before
    os.utime(part, (1, 1))
    changed = fingerprint(tmp_path)
    assert changed != before
    (tmp_path / "schema.toml").write_text("as_of = 1\n")
    assert fingerprint(tmp_path) != changed


def test_a_directory_has_one_fingerprint_by_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users.csv").write_text("user_id\n")
    monkeypatch.chdir(tmp_path)
    assert fingerprint(Path()) == fingerprint(tmp_path)
