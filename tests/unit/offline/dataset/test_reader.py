"""What the cells of a dataset mean, whatever the format of the file."""

import datetime as dt
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import structlog

from models.errors import ArtefactError
from models.schema.columns import Kind
from models.schema.profiles import CategoricalColumn, MultiColumn, Profiles
from offline.dataset.table import Shape
from offline.dataset.type_inference import default_reasons, infer_kind
from offline.snapshot.snapshot import Snapshot, write_snapshot

STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def snapshot(directory: Path, **contents: str | bytes) -> Snapshot:
    """The snapshot of a directory of these files; `users__csv` is the file users.csv."""
    directory.mkdir(exist_ok=True)
    given: dict[str, str | bytes] = {"connections__csv": "user_id,other_id\n"} | contents
    for name, content in given.items():
        path = directory / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return write_snapshot(directory, directory / "snapshot", started_at=STARTED)


def stored(snapshot: Snapshot) -> dict[str, Any]:
    """The stored profiles by user id."""
    text, offsets = snapshot.profile_json()
    whole = text.tobytes()
    return {
        user_id: json.loads(whole[offsets[row] : offsets[row + 1]] or b"{}")
        for row, user_id in enumerate(snapshot.vocabulary.user_ids())
    }


SCHEMA = """
as_of = 2026-10-01T00:00:00Z
[users]
company = "categorical"
year = "categorical"
skills = "multi"
height = "numeric"
home = "location"
joined = "timestamp"
motto = "text"
secret = "ignore"
"""

PEOPLE: list[dict[str, Any]] = [
    {
        "user_id": 10,
        "name": 'Ann "A"',
        "company": "Acme, Inc.",
        "year": 2008,
        "skills": ["rust", "go", "go"],
        "height": 1.5,
        "home": "40.5,-70.25",
        "joined": "2024-01-02T03:04:05+02:00",
        "motto": "eat,\nsleep",
        "secret": "x",
        "active": False,
        "created_at": 1700000000,
    },
    {"user_id": 9, "company": "Bolt", "skills": [], "discoverable": True, "connections_visible": False},
    {"user_id": 11},
]
COLUMNS = [*PEOPLE[0], "discoverable", "connections_visible"]
FRIENDS: list[dict[str, Any]] = [
    {"user_id": 10, "other_id": 9, "created_at": "2025-01-01"},
    {"user_id": 9, "other_id": 12},
]
DONE: list[dict[str, Any]] = [{"user_id": 9, "other_id": 11, "kind": "dismiss", "at": 1750000000}]


def as_csv(rows: list[dict[str, Any]], columns: list[str]) -> bytes:
    cells = [[row.get(column) for column in columns] for row in rows]
    texts = [
        ["" if one is None else "|".join(one) if isinstance(one, list) else str(one) for one in row] for row in cells
    ]
    return pl.DataFrame(texts, schema=columns, orient="row").write_csv().encode()


def as_jsonl(rows: list[dict[str, Any]], columns: list[str]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, Any]], columns: list[str]) -> bytes:
    file = BytesIO()
    pl.DataFrame([{column: row.get(column) for column in columns} for row in rows]).write_parquet(file)
    return file.getvalue()


FORMATS: dict[str, Callable[[list[dict[str, Any]], list[str]], bytes]] = {
    "csv": as_csv,
    "jsonl": as_jsonl,
    "parquet": as_parquet,
}


def in_format(directory: Path, suffix: str) -> Snapshot:
    write = FORMATS[suffix]
    directory.mkdir()
    (directory / "schema.toml").write_text(SCHEMA)
    (directory / f"users.{suffix}").write_bytes(write(PEOPLE, COLUMNS))
    (directory / f"connections.{suffix}").write_bytes(write(FRIENDS, ["user_id", "other_id", "created_at"]))
    (directory / f"interactions.{suffix}").write_bytes(write(DONE, ["user_id", "other_id", "kind", "at"]))
    return write_snapshot(directory, directory / "snapshot", started_at=STARTED)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_kind_in_every_format(tmp_path: Path, suffix: str) -> None:
    read = in_format(tmp_path / suffix, suffix)
    assert read.vocabulary.user_ids() == ["10", "11", "12", "9"]
    assert stored(read) == {
        "10": {
            "name": 'Ann "A"',
            "company": "Acme, Inc.",
            "year": "2008",
            "skills": ["go", "rust"],
            "height": 1.5,
            "home": "40.5,-70.25",
            "joined": "2024-01-02T01:04:05Z",
            "motto": "eat,\nsleep",
            "active": False,
            "created_at": "2023-11-14T22:13:20Z",
        },
        "9": {"company": "Bolt", "discoverable": True, "connections_visible": False},
        "11": {},
        "12": {},
    }
    assert read.flags.tolist() == [5, 7, 7, 3]
    assert sorted(read.profiles.columns) == [
        "company",
        "created_at",
        "height",
        "home",
        "joined",
        "motto",
        "skills",
        "year",
    ]
    assert read.reason_columns == ["company"]
    a, b, made = read.connections()
    assert (a.tolist(), b.tolist()) == ([0, 2], [3, 3])
    assert made is not None
    assert made.tolist() == [1735689600, np.iinfo(np.int64).min]
    assert [column.tolist() for column in read.forbidden()] == [[3], [1]]
    assert read.description.counts.without_profile == 1


def test_formats_of_equal_content_give_equal_snapshots(tmp_path: Path) -> None:
    assert len({in_format(tmp_path / suffix, suffix).digest for suffix in FORMATS}) == 1


def test_order_of_columns_changes_nothing(tmp_path: Path) -> None:
    one = snapshot(tmp_path / "one", users__csv="user_id,town,likes\na,Oslo,x\n")
    other = snapshot(tmp_path / "other", users__csv="likes,user_id,town\nx,a,Oslo\n")
    assert one.digest == other.digest


def test_saved_profiles_open_as_they_were(tmp_path: Path) -> None:
    read = in_format(tmp_path / "csv", "csv")
    read.profiles.save(tmp_path / "saved")
    assert str(Profiles.open(tmp_path / "saved")) == str(read.profiles)
    (tmp_path / "saved" / "0_codes.npy").unlink()
    with pytest.raises(ArtefactError, match=r"0_codes\.npy is missing"):
        Profiles.open(tmp_path / "saved")
    (tmp_path / "saved" / "profiles.json").write_text('{"n": 4}')
    with pytest.raises(ArtefactError, match=r"profiles\.json is truncated or altered"):
        Profiles.open(tmp_path / "saved")


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    users = b'\xef\xbb\xbfuser_id,town\r\n"a","New\r\nYork"\r\n\r\nb,\r\n'
    read = snapshot(tmp_path, users__csv=users)
    assert stored(read) == {"a": {"town": "New\r\nYork"}, "b": {}}


def test_jsonl_with_a_byte_order_mark(tmp_path: Path) -> None:
    read = snapshot(tmp_path, users__jsonl=b'\xef\xbb\xbf{"user_id":"a","town":"Oslo"}\r\n\r\n{"user_id":7}\r\n')
    assert stored(read) == {"a": {"town": "Oslo"}, "7": {}}


def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    odd = tmp_path / "data[1]*"
    assert snapshot(odd, users__jsonl='{"user_id":"a"}\n').n == 1
    (odd / "users.jsonl").unlink()
    assert snapshot(odd, users__csv="user_id\na\nb\n").n == 2


def test_a_cell_of_a_megabyte(tmp_path: Path) -> None:
    long = "word " * 200_000
    assert stored(snapshot(tmp_path, users__csv=f'user_id,bio\na,"{long}"\n'))["a"]["bio"] == long


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_no_users_at_all(tmp_path: Path, suffix: str) -> None:
    content = "user_id\n" if suffix == "csv" else ""
    read = snapshot(tmp_path, **{f"users__{suffix}": content})
    assert (read.n, read.vocabulary.user_ids(), read.flags.tolist(), read.profiles.columns) == (0, [], [], {})
    assert read.connections()[2] is None
    assert read.activity().shape == (0, 14)


def test_ids_stay_as_they_are_written(tmp_path: Path) -> None:
    ids = [" a", "007", "7", "é", "😀", "a/b", "x" * 128]
    read = snapshot(tmp_path, users__csv="user_id\n" + "".join(f"{one}\n" for one in ids))
    assert read.vocabulary.user_ids() == sorted(ids, key=str.encode)
    assert read.vocabulary.digest == read.description.vocabulary


def test_repeats_and_loops_are_dropped_and_counted(tmp_path: Path) -> None:
    read = snapshot(
        tmp_path,
        users__csv="user_id,likes\na,x|y\nb,\na,y|x\n",
        connections__csv="user_id,other_id,created_at\na,b,\nb,a,200\na,b,100\nc,c,\n",
        interactions__csv="user_id,other_id,kind,at\na,b,click,1\na,b,click,1\na,b,click,2\nb,b,view,1\n",
    )
    counts = read.description.counts
    assert (counts.duplicate_users, counts.duplicate_connections, counts.self_connections) == (1, 2, 1)
    assert (counts.duplicate_interactions, counts.self_interactions) == (1, 1)
    assert read.vocabulary.user_ids() == ["a", "b", "c"]
    made = read.connections()[2]
    assert made is not None
    assert made.tolist() == [100]
    assert read.activity()[0, 1] == 2


def test_what_is_dated_after_the_export_counts_as_of_then(tmp_path: Path) -> None:
    read = snapshot(
        tmp_path,
        schema__toml="as_of = 1000",
        users__csv="user_id\n",
        connections__csv="user_id,other_id,created_at\na,b,2500\n",
        interactions__csv="user_id,other_id,kind,at\na,c,block,3000\n",
    )
    made = read.connections()[2]
    assert made is not None
    assert (read.cut, made.tolist(), read.interactions().at.tolist()) == (1000, [1000], [1000])
    assert [column.tolist() for column in read.forbidden()] == [[0, 2], [2, 0]]
    assert (read.description.counts.connections_after_cut, read.description.counts.interactions_after_cut) == (1, 1)


def test_an_export_from_the_future_is_taken_as_made_at_the_start(tmp_path: Path) -> None:
    read = snapshot(tmp_path, users__csv="user_id\na\n", schema__toml='as_of = "2030-01-01"')
    assert read.cut == int(STARTED.timestamp())


def test_the_run_logs_what_it_inferred(tmp_path: Path) -> None:
    users = "user_id,high_school,ethnicity,age\na,50112,x,31\nb,279,y,32\n"
    with structlog.testing.capture_logs() as logged:
        read = snapshot(tmp_path, users__csv=users, connections__csv="user_id,other_id\na,a\n")
    assert logged[0]["columns"] == {"high_school": "categorical", "ethnicity": "categorical", "age": "numeric"}
    assert logged[1]["columns"] == ["high_school"]
    assert logged[2]["self_connections"] == 1
    assert read.reason_columns == ["high_school"]


INFERRED = [
    ("company", ["Acme", None, "Bolt"], Kind.CATEGORICAL),
    ("nothing", [None, None], Kind.IGNORE),
    ("likes", ["a|b", "c"], Kind.MULTI),
    ("height", ["1.5", "2"], Kind.NUMERIC),
    ("age", ["31", "32"], Kind.NUMERIC),
    ("dorm", ["1", "2"] * 30, Kind.CATEGORICAL),
    ("steps", [str(one) for one in range(100)], Kind.NUMERIC),
    ("school_id", [str(one) for one in range(100)], Kind.CATEGORICAL),
    ("highSchool", [str(one) for one in range(100)], Kind.CATEGORICAL),
    ("badge", ["007", "123"], Kind.CATEGORICAL),
    ("joined_at", ["1700000000", "1600000000"], Kind.TIMESTAMP),
    ("born", ["2001-02-03", "2001-02-03T04:05Z"], Kind.TIMESTAMP),
    ("home", ["40.5,-70", "-1, 2.5"], Kind.LOCATION),
    ("pair", ["400,500"], Kind.CATEGORICAL),
    ("bio", ["I like to run", "and swim in the sea"], Kind.TEXT),
    ("degree", ["Bachelor of Science in Physics"] * 3, Kind.CATEGORICAL),
    ("truth", ["true", "false"], Kind.CATEGORICAL),
    ("joined_on", ["20240131", "20231231"], Kind.TIMESTAMP),
    ("joined_on", ["20240131.0", "20231231.0"], Kind.TIMESTAMP),
    ("joined_at", ["1706695200000", "1706695200001"], Kind.TIMESTAMP),
    ("joined_at", ["1706695200000000"], Kind.TIMESTAMP),
    ("joined_on", ["31012024", "30012024"], Kind.CATEGORICAL),
    ("since", ["2019", "2020"], Kind.CATEGORICAL),
    ("month", ["2024-01", "2023-12"], Kind.TIMESTAMP),
    ("sent", ["Wed, 31 Jan 2024 10:15:00 +0000"], Kind.TIMESTAMP),
    ("height", ["1,5", "2", "-0,25"], Kind.NUMERIC),
    ("height", ["1,5", "1,234"], Kind.NUMERIC),
    ("price", ["1,234", "2,500"], Kind.CATEGORICAL),
    ("price", ["3,5", "1.5"], Kind.NUMERIC),
    ("place", ["52,13", "48,2"], Kind.NUMERIC),
    ("place", ["52,13", "48.2,2"], Kind.LOCATION),
    ("place", ["52,-13", "48,2"], Kind.LOCATION),
    ("place", ["POINT(13.4 52.5)", "point (2.35 48.85)"], Kind.LOCATION),
    ("place", ["[52.5, 13.4]"], Kind.LOCATION),
]


@pytest.mark.parametrize(("column", "cells", "kind"), INFERRED)
def test_inferred_kind(column: str, cells: list[str | None], kind: Kind) -> None:
    assert infer_kind(column, pl.Series(cells, dtype=pl.String), Shape.TEXT, splits_sets=True) is kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([["52.5", "13.4"], None, ["48.0", "2.0"]], Kind.LOCATION),
        ([["13.4", "152.5"]], Kind.LOCATION),
        ([["152.5", "13.4"]], Kind.IGNORE),
        ([["52.5", "13.4", "0"]], Kind.IGNORE),
        ([["0.25", "0.5"], ["0.125"]], Kind.IGNORE),
        ([["3", "7"], ["4", "9"]], Kind.MULTI),
        ([["rust", "1.5"]], Kind.MULTI),
        ([[], ["a"]], Kind.MULTI),
        ([[]], Kind.MULTI),
    ],
)
def test_a_list_of_latitude_and_longitude_is_a_location_and_a_vector_is_no_set(
    cells: list[list[str] | None], kind: Kind
) -> None:
    lists = pl.Series(cells, dtype=pl.List(pl.String))
    assert infer_kind("home", lists, Shape.LIST, splits_sets=False) is kind


def test_decimal_commas_are_numbers(tmp_path: Path) -> None:
    users = 'user_id,height,pay\na,"3,5","1,234"\nb,"-0,25","2,5"\nc,4,\n'
    assert stored(snapshot(tmp_path, users__csv=users)) == {
        "a": {"height": 3.5, "pay": 1.234},
        "b": {"height": -0.25, "pay": 2.5},
        "c": {"height": 4},
    }


@pytest.mark.parametrize("place", ["[52.5, 13.4]", '"52.5,13.4"', '"POINT (13.4 52.5)"', '"[52.5, 13.4]"'])
def test_a_location_in_each_of_its_spellings(tmp_path: Path, place: str) -> None:
    users = f'{{"user_id": "a", "home": {place}}}\n'
    assert stored(snapshot(tmp_path, users__jsonl=users)) == {"a": {"home": "52.5,13.4"}}


@pytest.mark.parametrize("column", ["__index_level_0__", "Unnamed: 0", "Unnamed: 0.1"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_the_row_numbers_of_pandas_are_no_feature(tmp_path: Path, suffix: str, column: str) -> None:
    rows = [{"user_id": one, "town": "Oslo", column: number} for number, one in enumerate("abc")]
    with structlog.testing.capture_logs() as logged:
        read = snapshot(tmp_path, **{f"users__{suffix}": FORMATS[suffix](rows, list(rows[0]))})
    assert list(read.profiles.columns) == ["town"]
    (said,) = [entry for entry in logged if entry["event"] == "columns_left_out"]
    assert said["columns"] == [column]


def test_a_column_named_like_row_numbers_is_read_if_the_schema_names_it(tmp_path: Path) -> None:
    users = "user_id,Unnamed: 0\na,7\n"
    read = snapshot(tmp_path, users__csv=users, schema__toml='[users]\n"Unnamed: 0" = "numeric"\n')
    assert stored(read) == {"a": {"Unnamed: 0": 7}}


def test_default_reasons_are_companies_schools_universities_and_cities() -> None:
    names = ["company", "companies", "high_school", "Universities", "homeCity", "city", "capacity", "ethnicity", "town"]
    kinds = dict.fromkeys(names, Kind.CATEGORICAL) | {
        "school": Kind.TEXT,
        "schools": Kind.MULTI,
        "city_rank": Kind.NUMERIC,
    }
    expected = ["company", "companies", "high_school", "Universities", "homeCity", "city", "schools"]
    assert default_reasons(kinds) == expected


def test_coded_profiles(tmp_path: Path) -> None:
    read = snapshot(tmp_path, users__csv="user_id,town,likes,\u00e9\nc,Oslo,b|a,1.5\na,Bern,,\nb,Oslo,b,2\n")
    town, likes = read.profiles.columns["town"], read.profiles.columns["likes"]
    assert isinstance(town, CategoricalColumn)
    assert (town.codes.tolist(), town.values) == ([0, 1, 1], ["Bern", "Oslo"])
    assert isinstance(likes, MultiColumn)
    assert (likes.indptr.tolist(), likes.codes.tolist(), likes.values) == ([0, 0, 1, 3], [1, 0, 1], ["a", "b"])
    assert list(read.profiles.columns) == ["likes", "town", "\u00e9"]
