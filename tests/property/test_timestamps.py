"""A timestamp means the same wherever it is written: in files of each format, schema.toml, events and profiles."""

import datetime as dt
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.errors import DatasetError, UsageError
from models.schema.profile_validation import checked_columns
from models.schema.timestamps import TimestampFaultError, timestamp_us
from offline.dataset.reader import read_dataset
from offline.dataset.schema import read_schema
from offline.dataset.timestamps import iso_seconds, seconds_of
from service.api.event_parsing import EventReader

SECOND = int(dt.datetime(2024, 1, 31, 10, 15, tzinfo=dt.UTC).timestamp())
DAY = SECOND // 86_400 * 86_400
MONTH = DAY - 30 * 86_400

SPELLINGS: dict[str, int | None] = {
    # ISO 8601, extended
    "2024-01-31": DAY,
    "2024-01-31T10:15:00Z": SECOND,
    "2024-01-31t10:15:00z": SECOND,
    "2024-01-31 10:15": SECOND,
    "2024-01-31T10": SECOND - 900,
    " 2024-01-31T10:15:00 ": SECOND,
    "2024-01-31T10:15:00.999Z": SECOND,
    "2024-01-31T10:15:00,5Z": SECOND,
    "2024-01-31T11:15:00+01:00": SECOND,
    "2024-01-31T04:45:00-0530": SECOND,
    "2024-01-31 10:15:00+00": SECOND,
    "2024-01-31 10:15:00 UTC": SECOND,
    "2024-01-31 10:15:00 GMT": SECOND,
    "2024-01-31 10:15:00 +0000 UTC": SECOND,
    "2024-01-31T11:15:00+01:00[Europe/Berlin]": SECOND,
    "2024-01-31T10:14:60Z": SECOND,
    "2024-W05-3": DAY,
    "2024-W05": DAY - 2 * 86_400,
    "2024/01/31 10:15:00": SECOND,
    "1969-12-31T23:59:59.5Z": -1,
    # ISO 8601, basic
    "20240131": DAY,
    "20240131T101500Z": SECOND,
    "20240131T1115+0100": SECOND,
    "20240131 101500": SECOND,
    "20240131T101500 UTC": SECOND,
    "2024W053": DAY,
    "20240131101500": SECOND,
    "20240131.0": DAY,
    # months
    "2024-01": MONTH,
    # e-mail, HTTP, ctime
    "Wed, 31 Jan 2024 10:15:00 +0000": SECOND,
    "31 Jan 2024 11:15:00 +0100": SECOND,
    "Wed, 31 Jan 2024 10:15:00 GMT": SECOND,
    "Wed Jan 31 10:15:00 2024": SECOND,
    "Wed Jan 31 10:15:00 +0000 2024": SECOND,
    # counts since 1970
    str(SECOND): SECOND,
    f"{SECOND}.9": SECOND,
    f"{SECOND}000": SECOND,
    f"{SECOND}999": SECOND,
    f"{SECOND}000000": SECOND,
    f"{SECOND}000000000": SECOND,
    "1.7066961e9": SECOND,
    "1.7066961E+09": SECOND,
    "0": 0,
    "-1": -1,
    "-0.5": -1,
    "100000000": 100_000_000,
    "86400": 86_400,
    "1000": 1000,
    # the ends of time
    "0001-01-01": -62_135_596_800,
    "9999-12-31T23:59:59Z": 253_402_300_799,
    "0000-01-01": None,
    "0000-00-00": None,
    "9999-12-31T23:00:00-05:00": None,
    "0001-01-01T00:00:00+01:00": None,
    # may be a year, a month, a date, or a count in either of two units
    "2024": None,
    "1999": None,
    "2024.0": None,
    "202401": None,
    "202401311015": None,
    "31012024": None,
    "01312024": None,
    "20241301": None,
    "20230229": None,
    "20240131.5": None,
    "20240131101560": None,
    "17101123123450": None,
    "17000000000": None,
    "-17000000000": None,
    "253402300799": None,
    "253402214400": None,
    # no timestamps
    "2023-02-29": None,
    "2024-13": None,
    "2024-00": None,
    "2024-1-5": None,
    "2024-01-31T24:00:00": None,
    "2024-01-31T10:60:00": None,
    "2024-01-31T10:15:61": None,
    "2024-01-31T10:15:00+24:00": None,
    "2024-01-31T10:15:00+01:60": None,
    "2024-01-31T10:15:00+0100 UTC": None,
    "2024-01-31T10:15:00 CET": None,
    "2024-01-31x10:15": None,
    "2024-0131": None,
    "202401-31": None,
    "2024-01-31T10:1500": None,
    "2024-W54-1": None,
    "31/01/2024": None,
    "01-31-2024": None,
    "Tue, 31 Jan 2024 10:15:00 GMT": None,
    "Wed, 31 Xyz 2024 10:15:00 GMT": None,
    "Wed Jan 32 10:15:00 2024": None,
    "\uff12\uff10\uff12\uff14-01-31": None,
    "2024-01-31T\uff11\uff10:15": None,
    "10:15": None,
    "yesterday": None,
    "nan": None,
    "inf": None,
    "1e": None,
    "--1": None,
    "1_000": None,
    "0x10": None,
}
"""by spelling, epoch seconds; None if it is refused"""


def in_files(directory: Path, spelling: str, suffix: str) -> set[int | None]:
    """What the three tables of a format say of one spelling."""
    tables: dict[str, list[dict[str, Any]]] = {
        "users": [{"user_id": "a", "created_at": spelling, "joined": spelling}],
        "connections": [{"user_id": "a", "other_id": "b", "created_at": spelling}],
        "interactions": [{"user_id": "a", "other_id": "b", "kind": "view", "at": spelling}],
    }
    found: set[int | None] = set()
    refusals: list[str] = []
    for table, rows in tables.items():
        directory.mkdir(exist_ok=True)
        for name in ("users", "connections"):
            (directory / f"{name}.csv").write_text("user_id,other_id\n")
        (directory / f"{table}.csv").unlink(missing_ok=True)
        path = directory / f"{table}.{suffix}"
        path.write_bytes(WRITERS[suffix](rows))
        schema = "null_words = []\n" + ('[users]\njoined = "timestamp"\n' if table == "users" else "")
        (directory / "schema.toml").write_text(schema)
        try:
            read = read_dataset(directory, started_at=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
        except DatasetError as error:
            refusals.append(str(error))
            found.add(None)
        else:
            match table:
                case "users":
                    found |= {read.users.frame[column].item() for column in ("created_at", "joined")}
                case "connections":
                    found.add(read.connections["created_at"].item())
                case _:
                    found.add(read.interactions["at"].item())
        path.unlink()
    for said, table in zip(refusals, tables, strict=bool(refusals)):
        assert re.search(
            rf"{table}\.{suffix}, (line|row) [12], column '(at|created_at)': {re.escape(repr(spelling))} ", said
        )
    return found


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    return pl.DataFrame(rows).write_csv().encode()


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(rows).write_parquet(file)
    return file.getvalue()


WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "csv": as_csv,
    "jsonl": as_jsonl,
    "parquet": as_parquet,
}


def as_of(directory: Path, value: str) -> int | None:
    """What schema.toml says with a value that is written in TOML."""
    path = directory / "schema.toml"
    path.write_text(f"as_of = {value}\n")
    try:
        return read_schema(path).as_of
    except DatasetError:
        return None


def at(value: object) -> int | None:
    """What an event over HTTP says."""
    reader = EventReader()
    reader.read([{"kind": "view", "user_id": "a", "other_id": "b", "at": value}])
    if reader.problem():
        return None
    moment = reader.events[0].at
    assert moment is not None
    return moment // 1_000_000


def put(value: object) -> int | None:
    """What a profile over HTTP says."""
    try:
        kept = checked_columns({"created_at": value}, {})["created_at"]
    except UsageError:
        return None
    moment = dt.datetime.fromisoformat(kept).replace(tzinfo=dt.UTC)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(seconds=1)


@pytest.mark.parametrize(("spelling", "second"), SPELLINGS.items())
def test_a_spelling_means_the_same_everywhere(tmp_path: Path, spelling: str, second: int | None) -> None:
    for suffix in WRITERS:
        assert in_files(tmp_path / "data", spelling, suffix) == {second}, suffix
    assert as_of(tmp_path, json.dumps(spelling)) == second
    assert (at(spelling), put(spelling)) == (second, second)


@pytest.mark.parametrize("number", [0, -1, 1000, SECOND, SECOND * 1000, SECOND * 10**6, 20240131, 2024, 17 * 10**9])
def test_a_number_means_what_its_digits_mean(tmp_path: Path, number: int) -> None:
    second = SPELLINGS.get(str(number), {SECOND * 1000: SECOND, SECOND * 10**6: SECOND}.get(number))
    assert (at(number), put(number), as_of(tmp_path, str(number))) == (second, second, second)
    assert (at(float(number)), as_of(tmp_path, f"{number}.0")) == (second, second)
    for dtype in (pl.Int64, pl.Float64):
        numbers = pl.DataFrame({"user_id": ["a"], "created_at": [number]}, schema_overrides={"created_at": dtype})
        (tmp_path / "data").mkdir(exist_ok=True)
        numbers.write_parquet(tmp_path / "data" / "users.parquet")
        (tmp_path / "data" / "connections.csv").write_text("user_id,other_id\n")
        if second is None:
            with pytest.raises(DatasetError, match=r"users\.parquet, row 1, column 'created_at': '[0-9]+' may be"):
                read_dataset(tmp_path / "data", started_at=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
        else:
            read = read_dataset(tmp_path / "data", started_at=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
            assert read.users.frame["created_at"].to_list() == [second]


def test_the_dates_and_times_of_toml(tmp_path: Path) -> None:
    assert as_of(tmp_path, "2024-01-31") == DAY
    assert as_of(tmp_path, "2024-01-31T10:15:00") == SECOND
    assert as_of(tmp_path, "2024-01-31T11:15:00.5+01:00") == SECOND
    assert as_of(tmp_path, "20240131") == DAY
    assert as_of(tmp_path, "true") is None


two = st.integers(0, 99).map("{:02d}".format)
zones = st.one_of(
    st.sampled_from(["", "Z", "z", " UTC", " gmt", "+00:00 UTC", "[UTC]", "Z[Europe/Berlin]", " +0000 UTC", " CET"]),
    st.builds("{}{}{}{}".format, st.sampled_from(["+", "-", " +", "\u2212"]), two, st.sampled_from(["", ":"]), two),
)
years = st.one_of(st.integers(0, 9999), st.integers(1900, 2100)).map("{:04d}".format)
dates = st.builds(
    lambda year, dash, month, day: dash.join([year, month, day]),
    years,
    st.sampled_from(["-", "", "/", "."]),
    st.integers(0, 14).map("{:02d}".format),
    st.integers(0, 33).map("{:02d}".format),
)
clocks = st.builds(
    lambda colon, parts, fraction: colon.join(parts) + fraction,
    st.sampled_from([":", ""]),
    st.lists(st.integers(0, 62).map("{:02d}".format), min_size=1, max_size=4),
    st.sampled_from(["", ".5", ",25", ".1234567", "."]),
)
spellings = st.one_of(
    dates,
    st.builds("{}{}{}{}".format, dates, st.sampled_from(["T", " ", "t", "  ", "x"]), clocks, zones),
    st.builds("{}-W{}{}".format, years, two, st.sampled_from(["", "-1", "7", "-8"])),
    st.integers(-(10**20), 10**20).map(str),
    st.integers(0, 20).flatmap(lambda digits: st.integers(0, 10**digits)).map(str),
    st.floats(allow_nan=True).map(repr),
    st.from_regex(r"\A[+-]?[0-9]{1,20}(\.[0-9]{0,9})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.text(alphabet="0123456789-:TZ+. ", max_size=25),
    st.text(max_size=12),
)


def alone(text: str) -> int | None:
    try:
        return timestamp_us(text) // 1_000_000
    except TimestampFaultError:
        return None


@given(st.lists(spellings, max_size=20))
@example(["000000000000001", "0000000000001", "000000001"])
@settings(max_examples=500, deadline=None)
def test_a_column_is_read_as_each_cell_alone(texts: list[str]) -> None:
    column = pl.Series("at", [*texts, None], dtype=pl.String)
    assert seconds_of(column).to_list() == [*map(alone, texts), None]


def test_a_number_is_no_written_date() -> None:
    column = pl.Series("at", ["2024-01-31", "2024-01", str(SECOND), "20240131", "1e9", None])
    assert iso_seconds(column).to_list() == [DAY, MONTH, None, None, None, None]
