"""Which files of a dataset decide whether a killed run is resumed."""

import os
from pathlib import Path

import polars as pl
import pytest

from offline.night.workspace import fingerprint


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
