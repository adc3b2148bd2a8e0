"""What may be put is what a night reads as the same thing."""

import datetime as dt
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.live_state.profile_changes import LiveProfile
from models.schema.columns import Kind
from models.schema.profile_validation import ProfileFaultError, checked_columns
from offline.dataset.reader import read_dataset
from offline.snapshot.live_events import LiveEvents
from offline.snapshot.merge_live_events import with_live

KINDS = {
    "company": Kind.CATEGORICAL,
    "genres": Kind.MULTI,
    "age": Kind.NUMERIC,
    "about": Kind.TEXT,
    "home": Kind.LOCATION,
    "joined": Kind.TIMESTAMP,
}


@pytest.mark.parametrize(
    ("column", "value", "kept"),
    [
        ("company", "Acme", "Acme"),
        ("name", "x" * 1000, "x" * 1000),
        ("about", "a, b | c", "a, b | c"),
        ("about", "a\n\tb", "a\n\tb"),
        ("genres", ["b", "a", "b"], ["a", "b"]),
        ("genres", [], None),
        ("age", 3, 3),
        ("age", -0.5, -0.5),
        ("home", " 52.5 , -13.25 ", "52.5,-13.25"),
        ("home", "90,-180", "90.0,-180.0"),
        ("home", [52.5, -13], "52.5,-13.0"),
        ("home", "[52.5, -13]", "52.5,-13.0"),
        ("home", "POINT (-13.25 52.5)", "52.5,-13.25"),
        ("joined", 0, "1970-01-01T00:00:00Z"),
        ("joined", -1.5, "1969-12-31T23:59:58Z"),
        ("joined", "1700000000", "2023-11-14T22:13:20Z"),
        ("joined", "2026-11-20T12:00:00+02:00", "2026-11-20T10:00:00Z"),
        ("joined", "2026-11-20", "2026-11-20T00:00:00Z"),
        ("created_at", "2026-11-20T12:00:00.75", "2026-11-20T12:00:00Z"),
        ("name", "Ann", "Ann"),
        ("discoverable", False, False),
    ],
)
def test_values_are_kept_in_one_form(column: str, value: Any, kept: Any) -> None:
    assert checked_columns({column: value}, KINDS) == {column: kept}
    assert checked_columns({column: None}, KINDS) == {column: None}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("company", 3),
        ("company", ""),
        ("company", "a\nb"),
        ("company", "x" * 1001),
        ("name", "a\x00"),
        ("name", ""),
        ("about", "a\x00"),
        ("about", "x" * 10_001),
        ("genres", ["a", ""]),
        ("genres", ["a\x9f"]),
        ("genres", ["x" * 1001]),
        ("genres", [str(one) for one in range(1001)]),
        ("age", 1e300),
        ("age", -(10**18)),
        ("company", True),
        ("about", ["a"]),
        ("genres", "a|b"),
        ("genres", [1]),
        ("genres", {"a": 1}),
        ("age", "3"),
        ("age", True),
        ("age", float("inf")),
        ("home", "91,0"),
        ("home", "0,181"),
        ("home", "0"),
        ("home", "0,0,0"),
        ("home", "1_0,0"),
        ("home", "nan,0"),
        ("home", [0, 0, 0]),
        ("home", [0, True]),
        ("home", [91, 0]),
        ("home", "[0,0"),
        ("home", "POINT EMPTY"),
        ("joined", "soon"),
        ("joined", True),
        ("joined", 1e19),
        ("joined", 2024),
        ("joined", float("nan")),
        ("joined", "0001-01-01T00:00:00+10:00"),
        ("active", "true"),
        ("active", 0),
        ("name", 1),
        ("nobody", "x"),
        ("user_id", "x"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_column(column: str, value: Any) -> None:
    with pytest.raises(ProfileFaultError) as refused:
        checked_columns({column: value, "company": "Acme"} if column != "company" else {column: value}, KINDS)
    assert set(refused.value.faults) == {column}


def test_every_fault_is_reported() -> None:
    with pytest.raises(ProfileFaultError) as refused:
        checked_columns({"age": "x", "home": 1, "x": None, "name": "Ann"}, KINDS)
    assert list(refused.value.faults) == ["age", "home", "x"]
    assert "company" in refused.value.faults["x"], "says which columns there are"


values = st.fixed_dictionaries(
    {},
    optional={
        "company": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5),
        "genres": st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=3), max_size=4),
        "age": st.one_of(st.integers(-(10**15), 10**15), st.floats(-1e15, 1e15)),
        "about": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9),
        "home": st.tuples(st.floats(-90, 90), st.floats(-180, 180)).map(lambda two: f"{two[0]:f},{two[1]:f}"),
        "joined": st.one_of(
            st.one_of(st.integers(-(10**10) + 1, 1899), st.integers(10**8, 10**10 - 1)),
            st.datetimes(timezones=st.just(dt.UTC)).map(lambda moment: moment.isoformat()),
        ),
        "created_at": st.integers(10**9, 2**33),
        "name": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5),
        "active": st.booleans(),
    },
)


@given(values)
@settings(max_examples=60, deadline=None)
def test_a_night_reads_what_was_put(tmp_path_factory: pytest.TempPathFactory, said: dict[str, Any]) -> None:
    frame = _merged(_dataset(tmp_path_factory.getbasetemp() / "put"), checked_columns(said, KINDS))
    (new,) = frame.filter(pl.col("user_id") == "new").to_dicts()
    kept = checked_columns(said, KINDS)
    for column, value in kept.items():
        match column:
            case "joined" | "created_at":
                assert value is not None
                moment = dt.datetime.fromisoformat(value)
                assert new[column] == int((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds())
            case "home":
                latitude, longitude = map(float, str(value).split(","))
                assert new[column] == {"lat": latitude, "lon": longitude}
            case "age":
                assert new[column] == float(value)
            case _:
                assert new[column] == value


def _dataset(directory: Path) -> Path:
    if not directory.exists():
        directory.mkdir()
        rows = {"user_id": "ann", "company": "A", "genres": ["x"], "age": 1.5, "about": "t", "home": "1,2", "joined": 0}
        (directory / "users.jsonl").write_bytes(orjson.dumps(rows) + b"\n")
        (directory / "connections.csv").write_text("user_id,other_id\n")
        kinds = "\n".join(f'{column} = "{kind}"' for column, kind in KINDS.items())
        (directory / "schema.toml").write_text(f"[users]\n{kinds}\n")
    return directory


def _merged(directory: Path, columns: dict[str, Any]) -> pl.DataFrame:
    dataset = read_dataset(directory, started_at=dt.datetime(2026, 11, 21, tzinfo=dt.UTC))
    profile = LiveProfile()
    profile.put(columns, 1)
    return with_live(dataset, LiveEvents(2, profiles={"new": profile})).users
