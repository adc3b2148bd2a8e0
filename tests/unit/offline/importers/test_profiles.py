"""Users from blocks: columns of any name, repeats, and rows that differ."""

from pathlib import Path

import polars as pl
import pytest

from models.errors import DatasetError
from offline.importers.origin import PLACE, Origin
from offline.importers.profiles import Profiles
from offline.importers.report import Report

PATTERNS = {"*": "star", "^u.*$": "pattern", "count": "count"}


def block(rows: list[dict[str, object]]) -> pl.DataFrame:
    places = pl.int_range(1, len(rows) + 1, dtype=pl.UInt32, eager=True).alias(PLACE)
    return pl.DataFrame(rows).with_columns(places)


def written(tmp_path: Path, *blocks: pl.DataFrame) -> tuple[pl.DataFrame, Report]:
    (tmp_path / "parts").mkdir()
    profiles, report = Profiles(tmp_path / "parts"), Report("source")
    for number, one in enumerate(blocks):
        profiles.add(one, Origin(f"{number}.csv"))
    profiles.write(tmp_path / "users.parquet", report)
    return pl.read_parquet(tmp_path / "users.parquet"), report


def test_columns_named_like_patterns_are_columns(tmp_path: Path) -> None:
    made, report = written(tmp_path, block([{"user_id": "a", **PATTERNS}]), block([{"user_id": "a", **PATTERNS}]))
    assert made.to_dicts() == [{"user_id": "a", **PATTERNS}]
    assert report.dropped[0].example == "'a' (1.csv, line 1)"


def test_a_column_that_is_nearly_a_flag_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        written(tmp_path, block([{"user_id": "a", "isActive": False}]))
    message = "source, column 'isActive': it is no flag under this name: --map active=isActive makes it one; --map"
    assert str(raised.value).startswith(message)


def test_blocks_with_different_columns_are_one_table(tmp_path: Path) -> None:
    made, _ = written(tmp_path, block([{"user_id": "a", "x": 1}]), block([{"user_id": "b", "x": 1.5, "y": ["t"]}]))
    assert made.to_dicts() == [{"user_id": "a", "x": 1.0, "y": None}, {"user_id": "b", "x": 1.5, "y": ["t"]}]


def test_rows_of_one_user_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as refusal:
        written(tmp_path, block([{"user_id": "a", "x": 1}, {"user_id": "b", "x": 1}, {"user_id": "a", "x": 2}]))
    expected = "0.csv, line 3, column 'x': 2, where 0.csv, line 1 says 1 of the same user 'a'"
    assert str(refusal.value) == expected


@pytest.mark.parametrize(
    ("column", "cell", "fault"),
    [
        ("created_at", "soon", "column 'created_at': 'soon' is not a timestamp"),
        ("active", "maybe", "column 'active': 'maybe' is neither true nor false"),
        ("user_id", "a\nb", "column 'user_id': 'a\\nb' contains a control character"),
    ],
)
def test_own_columns_are_checked_with_their_place(tmp_path: Path, column: str, cell: str, fault: str) -> None:
    with pytest.raises(DatasetError) as refusal:
        written(tmp_path, block([{"user_id": "a", column: cell}]))
    assert f"0.csv, line 1, {fault}" in str(refusal.value)
