"""What `pymk check` says of small directories whose oddities anyone can see."""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from models.cli.app import run
from models.errors import DatasetError
from offline.dataset_check.check import DatasetCheck, check_dataset
from offline.dataset_check.findings import Finding, Severity, share
from offline.snapshot.snapshot import write_snapshot

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
PEOPLE = [f"p{at:02}" for at in range(30)]
RING = [f"{first},{second}" for first, second in zip(PEOPLE, PEOPLE[1:] + PEOPLE[:1], strict=True)]


class Directory:
    """A dataset directory of one test: a ring of thirty people, changed in one place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.write("users.csv", "user_id", *PEOPLE)
        self.write("connections.csv", "user_id,other_id", *RING)

    def write(self, name: str, *lines: str) -> None:
        (self.path / name).write_text("".join(f"{line}\n" for line in lines))

    def column(self, name: str, cells: list[str]) -> None:
        """Gives the users a column."""
        self.write("users.csv", f"user_id,{name}", *(f"{who},{cell}" for who, cell in zip(PEOPLE, cells, strict=True)))

    def check(self) -> DatasetCheck:
        return check_dataset(self.path, started_at=NOW)

    def findings(self) -> dict[str, Finding]:
        return {finding.name: finding for finding in self.check().findings}


@pytest.fixture
def data(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "DATA")


def test_a_ring_of_people_is_not_odd(data: Directory) -> None:
    found = data.check()
    assert found.findings == []
    assert (found.graph.people, found.graph.friendships, found.graph.without_friends) == (30, 30, 0)
    assert (found.graph.median_friends, found.graph.most_friends, found.graph.largest_part) == (2.0, 2, 30)
    assert [(one.table, one.file, one.rows) for one in found.tables] == [
        ("users", "users.csv", 30),
        ("connections", "connections.csv", 30),
    ]


WORDS = "one two three four five six"
COLUMNS: dict[str, tuple[str, list[str], str, str]] = {
    "categories": ("company", ["Acme", "Beta", ""] * 10, "categorical", "texts, 2 distinct"),
    "codes": ("dorm", ["1", "2", "3"] * 10, "categorical", "whole numbers, taken for codes"),
    "sets": ("likes", ["a|b", "b", "c"] * 10, "multi", "sets, parted by |"),
    "numbers": ("height", [f"{at / 7:.3f}" for at in range(30)], "numeric", "every cell is a number"),
    "moments": ("seen", ["2026-01-01", "2026-01-02", ""] * 10, "timestamp", "every cell is a moment"),
    "places": ("home", ['"52.5,13.4"', "", ""] * 10, "location", 'every cell is "lat,lon"'),
    "texts": ("about", [f"{WORDS} {at}" for at in range(30)], "text", "7.0 words a cell"),
    "nothing": ("empty", [""] * 30, "ignore", "no cell is filled"),
    "names": ("name", [f"N {at}" for at in range(30)], "name", "the name that people are shown"),
    "flags": ("active", ["true", "false", ""] * 10, "flag", "neither served nor suggested"),
}


@pytest.mark.parametrize(("name", "cells", "taken_for", "why"), COLUMNS.values(), ids=COLUMNS.keys())
def test_what_a_column_is_taken_for_and_why(
    data: Directory, name: str, cells: list[str], taken_for: str, why: str
) -> None:
    data.column(name, cells)
    column = next(one for one in data.check().columns if one.column == name)
    assert column.taken_for == taken_for
    assert why in column.why
    if taken_for != "ignore":
        assert (column.filled, column.empty) == (sum(map(bool, cells)), cells.count(""))
        assert column.distinct == len({cell for cell in cells if cell})


def test_a_declared_kind_is_said_to_be_declared(data: Directory) -> None:
    data.column("year", ["2008", "2009", "2010"] * 10)
    data.write("schema.toml", 'as_of = "2026-05-01T00:00:00Z"', "[users]", 'year = "ignore"')
    found = data.check()
    column = next(one for one in found.columns if one.column == "year")
    assert (column.taken_for, column.why, column.filled) == ("ignore", "schema.toml says so", None)
    assert (found.as_of, found.as_of_from) == ("2026-05-01T00:00:00Z", "schema.toml")


IDS = [f"x{at}" for at in range(30)]
ODD_COLUMNS: dict[str, tuple[str, list[str], str, Severity, int]] = {
    "an id": ("badge", IDS, "unique_column", Severity.WARNING, 30),
    "an id in numbers": ("score", [str(1000 + 7 * at) for at in range(30)], "unique_column", Severity.WARNING, 30),
    "the user id": ("handle", PEOPLE, "id_in_column", Severity.WARNING, 30),
    "e-mail addresses": ("contact", [f"{who}@x.example" for who in PEOPLE], "contact_in_column", Severity.WARNING, 30),
    "telephone numbers": (
        "line",
        [f"+49 30 1234{at:03}" for at in range(30)],
        "contact_in_column",
        Severity.WARNING,
        30,
    ),
    "one date": ("joined", ["2024-01-31"] * 30, "constant_column", Severity.NOTE, 30),
    "one value": ("country", ["de"] * 30, "constant_column", Severity.NOTE, 30),
    "hardly a value": ("team", ["a", *[""] * 29], "mostly_empty_column", Severity.NOTE, 29),
    "spellings": (
        "company",
        ["Acme", "ACME", "a.c.m.e", "Beta", "Beta", "Beta"] * 5,
        "similar_spellings",
        Severity.NOTE,
        1,
    ),
    "words for none": ("company", ["Acme", "unknown", "Beta"] * 10, "null_words", Severity.WARNING, 10),
    "a date in the future": ("seen", ["2026-01-01", "2027-01-01", ""] * 10, "dates_in_future", Severity.WARNING, 10),
    "hidden people": ("discoverable", ["false", "false", "true"] * 10, "mostly_hidden", Severity.WARNING, 20),
}


@pytest.mark.parametrize(("column", "cells", "name", "severity", "count"), ODD_COLUMNS.values(), ids=ODD_COLUMNS.keys())
def test_odd_columns(data: Directory, column: str, cells: list[str], name: str, severity: Severity, count: int) -> None:
    data.column(column, cells)
    found = data.findings()
    assert list(found) == [name]
    assert (found[name].table, found[name].column) == ("users", column)
    assert (found[name].severity, found[name].count) == (severity, count)


def test_a_date_as_an_example_is_written_as_one(data: Directory) -> None:
    data.column("joined", ["2024-01-31"] * 30)
    assert data.findings()["constant_column"].example == "2024-01-31T00:00:00Z"


def test_a_leaking_reason_is_said_to_be_shown(data: Directory) -> None:
    data.column("school", [f"{who}@x.example" for who in PEOPLE])
    assert "is shown to others as a reason" in data.findings()["contact_in_column"].sentence


def test_spellings_name_the_values(data: Directory) -> None:
    data.column("company", ["Acme", "Acme", "ACME"] * 10)
    assert data.findings()["similar_spellings"].example == "'Acme', 'ACME'"


def test_sets_are_compared_value_by_value(data: Directory) -> None:
    data.column("likes", ["Go|SQL", "go", "SQL"] * 10)
    assert data.findings()["similar_spellings"].example == "'Go', 'go'"


def test_self_pairs_and_repeats(data: Directory) -> None:
    data.write("connections.csv", "user_id,other_id", *RING, RING[0], "p01,p00", "p07,p07")
    found = data.findings()
    assert found["duplicate_connections"].count == 2
    assert (found["self_connections"].count, found["self_connections"].example) == (1, "p07")
    assert data.check().graph.friendships == 30


def test_people_who_are_not_in_users(data: Directory) -> None:
    data.write("connections.csv", "user_id,other_id", *RING, "p00,stranger")
    found = data.findings()["unknown_people"]
    assert (found.count, found.example, found.severity) == (1, "stranger", Severity.NOTE)


def test_half_of_the_people_without_friends(data: Directory) -> None:
    data.write("connections.csv", "user_id,other_id", *RING[:14])
    found = data.findings()["without_friends"]
    assert (found.count, found.severity) == (15, Severity.WARNING)
    data.write("connections.csv", "user_id,other_id", *RING[:28])
    assert data.findings()["without_friends"].severity is Severity.NOTE


def test_ids_that_nobody_asks_for(data: Directory) -> None:
    data.write("connections.csv", "user_id,other_id", *RING[:-1], "p29, p00", "user_id,other_id", "\ufeffp00,p05")
    found = [(one.name, one.column, one.count, one.example) for one in data.check().findings if "ids" in one.name]
    assert found == [
        ("spaces_around_ids", "user_id", 1, r"'\ufeffp00'"),
        ("spaces_around_ids", "other_id", 1, "' p00'"),
    ]
    header = data.findings()["header_among_rows"]
    assert (header.severity, header.table, header.count) == (Severity.WARNING, "connections", 1)


def test_nobody_with_a_friend(data: Directory) -> None:
    data.write("connections.csv", "user_id,other_id", "p00,p00")
    assert data.findings()["no_friendships"].severity is Severity.WARNING


def test_a_column_of_dates_that_is_passed_over(data: Directory) -> None:
    data.write("connections.csv", "user_id,other_id,Created At", *(f"{pair},2024-01-31" for pair in RING))
    sentence = "'Created At' is not read: call it created_at if it is the date of the friendship"
    assert data.findings()["misspelt_column"].sentence == sentence


def test_a_hub(data: Directory) -> None:
    data.write("connections.csv", "user_id,other_id", *RING, *(f"0,{who}" for who in PEOPLE))
    found = data.findings()["hub"]
    assert (found.count, found.example) == (30, "0")
    assert "'0' is in 50% of all friendships" in found.sentence


def test_the_instructor_of_a_karate_club_is_no_hub(data: Directory) -> None:
    """In 22% of the friendships of 34 people."""
    edges = nx.karate_club_graph().edges
    data.write("users.csv", "user_id", *map(str, range(34)))
    data.write("connections.csv", "user_id,other_id", *(f"{first},{second}" for first, second in edges))
    assert data.findings() == {}


def test_a_graph_in_pieces(data: Directory) -> None:
    many = [f"q{at:02}" for at in range(60)]
    data.write("users.csv", "user_id", *many)
    data.write("connections.csv", "user_id,other_id", *(f"{many[at]},{many[at + 1]}" for at in range(0, 60, 2)))
    assert data.findings()["separate_parts"].count == 2


def dated(*dates: str) -> list[str]:
    return [f"{pair},{date}" for pair, date in zip(RING, dates, strict=False)]


def test_dates_of_friendships(data: Directory) -> None:
    data.write("users.csv", "user_id,created_at", *(f"{who},2026-01-15" for who in PEOPLE))
    dates = ["2026-01-01", "2026-02-01T00:00:00Z", "2026-07-01", ""] + ["2026-02-02"] * 26
    data.write("connections.csv", "user_id,other_id,created_at", *dated(*dates))
    found = data.findings()
    assert found["undated_connections"].count == 1
    late = found["dates_in_future"]
    assert (late.table, late.count, late.example) == ("connections", 1, "p02, p03: 2026-07-01T00:00:00Z")
    early = found["before_joining"]
    assert (early.count, early.example) == (1, "p00, p01: 2026-01-01T00:00:00Z")
    assert found["gap_in_dates"].sentence == "no friendship is dated in 149 days, from 2026-02-02 to 2026-07-01"


def test_interactions(data: Directory) -> None:
    rows = [
        "p00,p05,block,2026-01-01",
        "p00,p05,block,2026-01-01",
        "p03,p03,view,2026-01-01",
        "p01,p02,view,2027-01-01",
    ]
    data.write("interactions.csv", "user_id,other_id,kind,at", *rows)
    found = data.findings()
    assert found["duplicate_interactions"].count == 1
    assert found["self_interactions"].count == 1
    assert (found["dates_in_future"].table, found["dates_in_future"].count) == ("interactions", 1)
    kinds = next(column for column in data.check().columns if column.column == "kind")
    assert (kinds.taken_for, kinds.distinct, kinds.example) == ("event kind", 2, "block")


def test_users_that_stand_twice(data: Directory) -> None:
    data.write("users.csv", "user_id", *PEOPLE, "p00")
    assert data.findings()["duplicate_users"].count == 1
    assert data.check().tables[0].rows == 31


def test_columns_that_connections_do_not_have(data: Directory) -> None:
    data.write("connections.csv", "user_id,other_id,strength", *(f"{pair},1" for pair in RING))
    column = next(one for one in data.check().columns if one.column == "strength")
    assert (column.taken_for, column.why) == ("ignore", "not read: connections has no column of this name")


def content(path: Path) -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_nothing_is_changed(data: Directory) -> None:
    before = content(data.path)
    data.check()
    assert content(data.path) == before


def test_the_refusal_is_the_nights(data: Directory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.write("connections.csv", "user_id,other_id,created_at", "p00,p01,soon")
    with pytest.raises(DatasetError) as night:
        write_snapshot(data.path, tmp_path / "snapshot", started_at=NOW)
    assert run(["check", str(data.path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"pymk: {night.value}"
    assert run(["check", str(data.path), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document == {"data": str(data.path), "ok": False, "refusal": str(night.value)}


def test_the_table_and_the_document_say_the_same(data: Directory, capsys: pytest.CaptureFixture[str]) -> None:
    data.column("country", ["de"] * 30)
    assert run(["check", str(data.path)]) == 0
    table = capsys.readouterr().out
    assert "note     users: 'country' has one value for everybody, which tells nobody apart (such as de)" in table
    assert run(["check", str(data.path), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["refusal"] is None
    assert document["findings"] == [
        {
            "name": "constant_column",
            "severity": "note",
            "table": "users",
            "column": "country",
            "count": 30,
            "sentence": "'country' has one value for everybody, which tells nobody apart",
            "example": "de",
        }
    ]
    assert document["graph"]["friendships"] == 30
    assert {"table", "column", "taken_for", "why", "filled", "empty", "distinct", "example", "reason"} == set(
        document["columns"][0]
    )


def test_markup_in_values_is_printed_as_it_is(data: Directory, capsys: pytest.CaptureFixture[str]) -> None:
    data.column("team", ["[red]x", "[/]y", "z"] * 10)
    assert run(["check", str(data.path)]) == 0
    assert "[red]x" in capsys.readouterr().out


def test_a_directory_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(tmp_path / "none")]) == 2
    assert "is not a directory; pymk import FORMAT SOURCE --out" in capsys.readouterr().err


def test_shares_are_never_rounded_to_all_or_none() -> None:
    assert [share(*one) for one in ((0, 5), (1, 1000), (1, 2), (999, 1000), (5, 5), (0, 0))] == [
        "0%",
        "under 1%",
        "50%",
        "over 99%",
        "100%",
        "0%",
    ]
