"""Folders of Parquet: tables found by their names, columns said with --map."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.support.offline.imports import Imported, pairs, run_import

FRIENDS = pl.DataFrame({"src": [1, 2, 3], "dst": [2, 3, 4]})
PEOPLE = pl.DataFrame({"uid": [1, 2, 3, 4], "employer": ["Acme", "Acme", "Beta", None]})


class Importer:
    """Imports lakes of one test."""

    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.source = tmp_path / "lake"
        self.source.mkdir()
        self._out, self._capsys = tmp_path / "DATA", capsys

    def __call__(self, files: dict[str, pl.DataFrame], *flags: str, below: str = "") -> Imported:
        for name, frame in files.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(path)
        return run_import(self._capsys, self._out, "parquet", self.source / below, *flags)


@pytest.fixture
def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(tmp_path, capsys)


def test_tables_of_common_names_are_found(imported: Importer) -> None:
    made = imported({"people.parquet": PEOPLE, "edges.parquet": FRIENDS}, "--map", "company=employer")
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("1-2", "2-3", "3-4")
    assert made.profile("1") == {"company": "Acme"}
    assert "table people for users; --users NAME takes another" in made.printed
    assert "table edges for connections" in made.printed


def test_folders_of_files_with_partitions(imported: Importer) -> None:
    made = imported(
        {
            "users/country=de/0.parquet": PEOPLE[:2],
            "users/country=fr/0.parquet": PEOPLE[2:].with_columns(extra=pl.lit(1)),
            "friendships/part-0.parquet": FRIENDS[:1],
            "friendships/part-1.parquet": FRIENDS[1:],
        }
    )
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("1-2", "2-3", "3-4")
    assert made.profile("1") == {"employer": "Acme", "country": "de"}
    assert made.profile("3") == {"employer": "Beta", "country": "fr", "extra": 1}


def test_parts_of_one_table_side_by_side(imported: Importer) -> None:
    made = imported({"part-0.parquet": FRIENDS[:1], "part-1.parquet": FRIENDS[1:]})
    assert made.pairs == pairs("1-2", "2-3", "3-4")
    assert made.users["user_id"].to_list() == ["1", "2", "3", "4"]


def test_one_file(imported: Importer) -> None:
    assert imported({"x.parquet": FRIENDS}, below="x.parquet").pairs == pairs("1-2", "2-3", "3-4")


def test_any_tables_and_columns(imported: Importer) -> None:
    made = imported(
        {
            "t1.parquet": pl.DataFrame({"key": ["a", "b"], "org": ["x", "y"], "secret": ["s", "t"]}),
            "t2.parquet": pl.DataFrame({"l": ["a"], "r": ["b"], "made": [dt.datetime(2026, 1, 1)], "z": [1]}),
            "t3.parquet": pl.DataFrame({"l": ["a"], "r": ["c"], "what": ["block"], "on": [1767225600]}),
        },
        *("--users", "t1", "--connections", "t2", "--interactions", "t3"),
        *("--map", "users.user_id=key", "--map", "company=org", "--map", "secret="),
        *("--map", "connections.user_id=l", "--map", "connections.other_id=r", "--map", "connections.created_at=made"),
        *("--map", "interactions.user_id=l", "--map", "interactions.other_id=r"),
        *("--map", "interactions.kind=what", "--map", "interactions.at=on"),
    )
    assert made.status == 0, made.refusal
    assert made.dates == {frozenset("ab"): 1767225600}
    assert made.profile("a") == {"company": "x"}
    assert made.interactions == [("a", "c", "block", 1767225600)]


UNLIKE_TEXT: dict[str, tuple[list[Any], pl.DataType, list[str]]] = {
    "floats with gaps": ([1.0, 2.0, 3.0], pl.Float64(), ["1", "2", "3"]),
    "decimals": ([Decimal(12), Decimal(13), Decimal(100)], pl.Decimal(18, 4), ["12", "13", "100"]),
    "large integers": ([2**62, 2**62 + 1, 5], pl.Int64(), [str(2**62), str(2**62 + 1), "5"]),
    "UUIDs": (
        [uuid.UUID(int=at).bytes for at in (1, 2, 3)],
        pl.Binary(),
        [str(uuid.UUID(int=at)) for at in (1, 2, 3)],
    ),
    "texts as bytes": ([b"a", b"b", b"c"], pl.Binary(), ["a", "b", "c"]),
    "categories": (["a", "b", "c"], pl.Categorical(), ["a", "b", "c"]),
}


@pytest.mark.parametrize(("cells", "dtype", "ids"), UNLIKE_TEXT.values(), ids=UNLIKE_TEXT.keys())
def test_ids_of_every_type(imported: Importer, cells: list[Any], dtype: pl.DataType, ids: list[str]) -> None:
    column = pl.Series("src", cells, dtype=dtype)
    made = imported({"edges.parquet": pl.DataFrame({"src": column, "dst": column.gather([1, 2, 0])})})
    assert made.status == 0, made.refusal
    assert made.users["user_id"].to_list() == sorted(ids)


def test_columns_keep_their_types(imported: Importer) -> None:
    people = pl.DataFrame(
        {
            "user_id": ["a", "b"],
            "tags": [["x", "y"], []],
            "born": [dt.date(2000, 1, 2), None],
            "seen": pl.Series([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None]),
            "height": [1.5, float("nan")],
            "price": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2)),
            "nested": [{"x": 1}, {"x": 2}],
        }
    )
    made = imported({"users.parquet": people, "edges.parquet": pl.DataFrame({"from": ["a"], "to": ["b"]})})
    assert made.status == 0, made.refusal
    assert made.profile("a") == {
        "tags": ["x", "y"],
        "born": "2000-01-02",
        "seen": "2026-01-01T00:00:00Z",
        "height": 1.5,
        "price": "1.5",
    }
    assert "left out: the column nested, whose type Struct" in made.printed


def test_rows_that_are_no_friendships_are_asked_for(imported: Importer) -> None:
    rows = FRIENDS.with_columns(status=pl.Series(["accepted", "pending", "blocked"]))
    made = imported({"edges.parquet": rows})
    assert made.status == 2
    assert "which rows are friendships? Its column 'status' holds accepted, blocked, pending" in made.refusal
    made = imported({"edges.parquet": rows}, "--where", "status=accepted", "--where", "status=pending")
    assert made.pairs == pairs("1-2", "2-3")
    assert "rows whose status is not accepted or pending: 1; first: status 'blocked'" in made.printed


def test_weights_below_the_least_are_dropped(imported: Importer) -> None:
    rows = FRIENDS.with_columns(weight=pl.Series([0.5, 1.0, None]))
    made = imported({"edges.parquet": rows}, "--min-weight", "1")
    assert made.pairs == pairs("2-3")
    assert "edges whose 'weight' is below 1, or empty: 2; first: '1' and '2'" in made.printed


@pytest.mark.parametrize(("cell", "dtype"), [(4.5, pl.Float64()), (2.0**24, pl.Float32()), (2.0**53, pl.Float64())])
@pytest.mark.parametrize(("table", "column"), [("edges", "dst"), ("users", "id"), ("events", "src")])
def test_a_float_is_an_id_where_it_is_exact(
    imported: Importer, table: str, column: str, cell: float, dtype: pl.DataType
) -> None:
    tables = {
        "edges": pl.DataFrame({"src": [1, 2], "dst": [3, 4]}),
        "users": pl.DataFrame({"id": [3, 4], "x": ["a", "b"]}),
        "events": pl.DataFrame({"src": [1, 2], "dst": [3, 4], "kind": ["block"] * 2, "at": [1767225600] * 2}),
    }
    tables[table] = tables[table].with_columns(pl.Series(column, [3.0, cell], dtype=dtype))
    flags = ("--connections", "edges", "--interactions", "events")
    refused = imported({f"{name}.parquet": frame for name, frame in tables.items()}, *flags)
    assert refused.status == 2
    assert f"{table}.parquet, row 2, column {column!r}: {cell} is a float that has lost digits" in refused.refusal
    tables[table] = tables[table].with_columns(pl.Series(column, [3.0, 4.0], dtype=dtype))
    made = imported({f"{name}.parquet": frame for name, frame in tables.items()}, *flags)
    assert made.status == 0, made.refusal
    assert set(made.users["user_id"]) <= {"1", "2", "3", "4"}


def test_partitions_are_read_as_they_are_written(imported: Importer) -> None:
    below = "run=1/lake"
    made = imported(
        {f"{below}/users/zip=007/0.parquet": PEOPLE, f"{below}/friends/0.parquet": FRIENDS},
        below=below,
    )
    assert made.status == 0, made.refusal
    assert made.profile("1") == {"employer": "Acme", "zip": "007"}
    made = imported({f"{below}/users/zip=007/1.parquet": PEOPLE.with_columns(zip=pl.lit("1"))}, "--force", below=below)
    assert made.status == 2
    assert "1.parquet, column 'zip': is in the file, and '007' in the name of a folder above it" in made.refusal


def test_types_that_a_night_reads_are_kept(imported: Importer) -> None:
    people = pl.DataFrame(
        {
            "user_id": [b"\xc3\xb8" * 8, b"b"],
            "home": [{"lat": 59.9, "lon": 10.7}, None],
            "work": [[59.9, 10.7], [1.5, 2.5]],
            "joined": pl.Series([253402300800, 0]).cast(pl.Datetime("ms")),
        }
    )
    made = imported({"users.parquet": people, "edges.parquet": pl.DataFrame({"from": ["a"], "to": ["b"]})})
    assert made.status == 0, made.refusal
    first = made.profile("ø" * 8)
    assert (first["home"], first["work"]) == ("59.9,10.7", ["59.9", "10.7"])


@pytest.mark.parametrize("column", ["src", "user_id"])
def test_ids_of_bytes_that_are_neither_text_nor_uuids_are_refused(imported: Importer, column: str) -> None:
    made = imported(
        {"edges.parquet": pl.DataFrame({column: [b"\xff\x01", b"b"], "other_id": [b"ab", b"cd"]})},
        "--map",
        f"user_id={column}",
        "--map",
        "other_id=other_id",
    )
    assert made.status == 2
    message = f"column '{column}': no id has its type: write ids as text or as integers, bytes as hexadecimal digits"
    assert message in made.refusal


def test_lists_in_one_file_and_single_values_in_another(imported: Importer) -> None:
    lists = pl.DataFrame({"uid": [1], "tags": [["a"]]})
    texts = pl.DataFrame({"uid": [2], "tags": ["a"]})
    files = {"users/0.parquet": lists, "users/1.parquet": texts, "edges.parquet": FRIENDS}
    made = imported(files)
    assert made.status == 2
    assert "column 'tags': has lists in " in made.refusal


def test_a_column_of_dates_that_has_others_is_said(imported: Importer) -> None:
    made = imported({"edges.parquet": FRIENDS.with_columns(since=pl.Series(["2024-01-31", "?", "NULL"]))})
    assert "left out of edges: since, whose cells are not all dates" in made.printed
    made = imported({"edges.parquet": FRIENDS.with_columns(since=pl.Series(["2024-01-31", None, "NULL"]))}, "--force")
    assert made.dates[frozenset("12")] == 1706659200
    assert made.dates[frozenset("34")] is None


def test_floats_too_large_to_be_exact_are_refused(imported: Importer) -> None:
    column = pl.Series([1.3448001175712604e18, 2.0])
    made = imported({"edges.parquet": pl.DataFrame({"src": column, "dst": [5, 6]})})
    assert made.status == 2
    assert "edges.parquet, row 1, column 'src': 1.3448001175712604e+18 is a float that has lost digits" in made.refusal


REFUSED: dict[str, tuple[dict[str, pl.DataFrame], list[str], str]] = {
    "an unknown table": ({"e.parquet": FRIENDS}, ["--users", "uesrs"], "'uesrs' is no table"),
    "no friendships": (
        {"a.parquet": PEOPLE, "b.parquet": pl.DataFrame({"x": [1], "y": [2], "z": [3]})},
        [],
        "which table holds the friendships? It has a (uid, employer); b (x, y, z). Say --connections NAME",
    ),
    "no ends": (
        {"a.parquet": pl.DataFrame({"x": [1], "y": [2], "z": [3]})},
        [],
        "a: which two columns are the people? It has x, y, z",
    ),
    "an empty id": (
        {"e.parquet": pl.DataFrame({"src": [1, None], "dst": [2, 3]})},
        [],
        "e.parquet, row 2, column 'src': the cell is empty",
    ),
    "a column that is not there": ({"e.parquet": FRIENDS}, ["--map", "user_id=from"], "e has no such column; it has"),
    "a table that is none of ours": ({"e.parquet": FRIENDS}, ["--map", "user.x=src"], "'user' is no table"),
    "an unknown kind of event": (
        {
            "e.parquet": FRIENDS,
            "events.parquet": pl.DataFrame({"src": [1], "dst": [2], "kind": ["poke"], "at": [1767225600]}),
        },
        ["--connections", "e"],
        "events.parquet, row 1, column 'kind': 'poke' is not a kind of event",
    ),
    "a user twice": (
        {"e.parquet": FRIENDS, "users.parquet": pl.DataFrame({"id": [1, 1], "x": ["a", "b"]})},
        ["--connections", "e"],
        "users.parquet, row 2, column 'x': 'b', where",
    ),
}


@pytest.mark.parametrize(("files", "flags", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_known_or_read_is_refused(
    imported: Importer, files: dict[str, pl.DataFrame], flags: list[str], fault: str
) -> None:
    made = imported(files, *flags)
    assert made.status == 2
    assert fault in made.refusal
    assert not made.out.exists()


def test_tables_with_removed_rows_are_refused(imported: Importer) -> None:
    (imported.source / "edges" / "_delta_log").mkdir(parents=True)
    made = imported({"edges/0.parquet": FRIENDS})
    assert made.status == 2
    assert "is a Delta table, whose files hold removed rows too" in made.refusal


def test_a_file_that_is_no_parquet_is_refused(imported: Importer) -> None:
    (imported.source / "edges.parquet").write_bytes(b"PAR1 nothing")
    made = imported({})
    assert made.status == 2
    assert "edges.parquet cannot be read as Parquet" in made.refusal
