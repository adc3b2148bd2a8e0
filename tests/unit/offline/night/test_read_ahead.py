"""A dataset that was read ahead is used by the run that it was read for, once, and by no other."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.errors import DatasetError
from offline.night.workspace import ReadAhead


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "DATA"
    directory.mkdir()
    (directory / "users.csv").write_text("user_id\n1\n2\n", encoding="utf-8")
    (directory / "connections.csv").write_text("user_id,other_id\n1,2\n", encoding="utf-8")
    return directory


def test_it_is_taken_once(data: Path, tmp_path: Path) -> None:
    read = ReadAhead.of(data, tmp_path / "home")
    assert read is not None
    taken = read.take(data, read.started_at)
    assert taken is not None
    assert taken.connections.height == 1
    assert read.take(data, read.started_at) is None


def test_a_resumed_run_reads_for_itself(data: Path, tmp_path: Path) -> None:
    read = ReadAhead.of(data, tmp_path / "home")
    assert read is not None
    assert read.take(data, datetime(2026, 11, 1, tzinfo=UTC)) is None


def test_files_that_changed_since_are_read_again(data: Path, tmp_path: Path) -> None:
    read = ReadAhead.of(data, tmp_path / "home")
    (data / "users.csv").write_text("user_id\n1\n2\n3\n", encoding="utf-8")
    assert read is not None
    assert read.take(data, read.started_at) is None


def test_nothing_is_read_where_a_killed_night_has_read_it(data: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / "night" / "snapshot").mkdir(parents=True)
    assert ReadAhead.of(data, tmp_path / "home") is None


def test_bad_input_is_refused(data: Path, tmp_path: Path) -> None:
    (data / "connections.csv").write_text("user_id,other_id\n1,\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"connections\.csv, line 2, column 'other_id'"):
        ReadAhead.of(data, tmp_path / "home")
