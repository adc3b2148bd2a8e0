"""Every bad input stops the run before anything is written: Parquet, by file, row, column and value."""

from pathlib import Path

import polars as pl

from tests.support.offline.refusals import NO_FLAG, refusal


def parquet_refusal(directory: Path, users: pl.DataFrame) -> str:
    users.write_parquet(directory / "users.parquet")
    return refusal(directory, users__csv=b"absent")


def test_parquet_messages_name_the_row(tmp_path: Path) -> None:
    users = pl.DataFrame({"user_id": ["a", "b"], "active": [1, 7]})
    expected = f"users.parquet, row 2, column 'active': '7' {NO_FLAG}"
    assert parquet_refusal(tmp_path, users) == expected


def test_parquet_without_the_column(tmp_path: Path) -> None:
    message = parquet_refusal(tmp_path, pl.DataFrame({"id": ["a"]}))
    assert message == "users.parquet: the column 'user_id' is missing; the file has 'id'"


def test_parquet_with_a_type_that_no_kind_can_parse(tmp_path: Path) -> None:
    message = parquet_refusal(tmp_path, pl.DataFrame({"user_id": ["a"], "photo": [b"\x00"]}))
    assert message.startswith("users.parquet, column 'photo': holds objects or nested values")


def test_parquet_that_is_none(tmp_path: Path) -> None:
    message = refusal(tmp_path, users__csv=b"absent", users__parquet=b"PAR1 but not really PAR1")
    assert message.startswith("users.parquet cannot be read as Parquet: ")
