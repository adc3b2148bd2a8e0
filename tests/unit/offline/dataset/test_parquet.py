"""Parquet files as other tools write them: each type is read exactly, or refused with row, column and value."""

import datetime as dt
import decimal
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog

from models.errors import DatasetError
from models.schema.columns import Kind
from offline.dataset.reader import Dataset, read_dataset

STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
LAST_DAY = dt.datetime(9999, 12, 31)


def second(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(seconds=1)


def dataset(directory: Path, schema: str = "", **tables: dict[str, Any]) -> Dataset:
    """The dataset of these tables, each by column; `connections` are empty unless given."""
    written = {"users": {"user_id": []}, "connections": {"user_id": [], "other_id": []}} | tables
    for name, columns in written.items():
        pq.write_table(pa.table(columns), directory / f"{name}.parquet")
    (directory / "schema.toml").write_text(schema)
    return read_dataset(directory, started_at=STARTED)


def refusal(directory: Path, schema: str = "", **tables: dict[str, Any]) -> str:
    with pytest.raises(DatasetError) as raised:
        dataset(directory, schema, **tables)
    return str(raised.value).removeprefix(f"{directory}/")


WHOLE = 1344800117571260416
IDS = {
    "integers": pa.array([WHOLE, 12], pa.int64()),
    "unsigned integers": pa.array([WHOLE, 12], pa.uint64()),
    "decimals": pa.array([decimal.Decimal(WHOLE), decimal.Decimal(12)], pa.decimal128(38, 10)),
    "texts": pa.array([str(WHOLE), "12"], pa.large_string()),
    "views": pa.array([str(WHOLE), "12"], pa.string_view()),
    "categories": pa.array([str(WHOLE), "12"]).dictionary_encode(),
    "bytes of text": pa.array([str(WHOLE).encode(), b"12"], pa.binary()),
}


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS.keys())
def test_the_same_ids_in_every_type(tmp_path: Path, ids: pa.Array) -> None:
    pairs = {"user_id": ids[:1], "other_id": ids[1:]}
    done = pairs | {"kind": ["block"], "at": pa.array([STARTED], pa.timestamp("us", "UTC"))}
    read = dataset(tmp_path, users={"user_id": ids}, connections=pairs, interactions=done)
    assert read.users.frame["user_id"].to_list() == [str(WHOLE), "12"]
    assert read.connections.select("user_id", "other_id").row(0) == (str(WHOLE), "12")
    assert read.interactions.select("user_id", "other_id").row(0) == (str(WHOLE), "12")


def test_floats_are_ids_where_they_are_exact(tmp_path: Path) -> None:
    floats = pa.array([12.0, -3.0, 2.0**53 - 1])
    read = dataset(tmp_path, connections={"user_id": floats, "other_id": floats})
    assert read.connections["user_id"].to_list() == ["12", "-3", "9007199254740991"]


@pytest.mark.parametrize("value", [float(WHOLE), 2.0**53, 12.5, -(2.0**60)])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("users", "user_id"),
        ("connections", "user_id"),
        ("connections", "other_id"),
        ("interactions", "user_id"),
        ("interactions", "other_id"),
    ],
)
def test_a_float_that_lost_digits_of_an_id_is_refused(tmp_path: Path, table: str, column: str, value: float) -> None:
    columns: dict[str, Any] = {"user_id": [1.0, 2.0], "other_id": [3.0, 4.0]}
    columns[column][1] = value
    if table == "interactions":
        columns |= {"kind": ["view", "view"], "at": [1, 1]}
    said = refusal(tmp_path, **{table: columns})
    assert said.startswith(f"{table}.parquet, row 2, column '{column}': '{value!r}"[:40])
    assert said.endswith(
        "is a float that has lost digits of the id, or never was one: write ids as text or as integers"
    )


@pytest.mark.parametrize("narrow", [pa.float32(), pa.float16()], ids=str)
def test_a_narrow_float_loses_digits_of_an_id_earlier(tmp_path: Path, narrow: pa.DataType) -> None:
    bound = 2.0 ** {"float": 24, "halffloat": 11}[str(narrow)]
    exact = pa.array([1.0, bound - 1]).cast(narrow)
    read = dataset(tmp_path, connections={"user_id": exact, "other_id": exact})
    assert read.connections["user_id"].to_list() == ["1", f"{bound - 1:.0f}"]
    rounded = pa.array([1.0, bound]).cast(narrow)
    said = refusal(tmp_path, connections={"user_id": rounded, "other_id": exact})
    assert said.startswith(f"connections.parquet, row 2, column 'user_id': '{bound}' is a float that has lost digits")


def test_uuids_and_other_bytes_are_ids(tmp_path: Path) -> None:
    known = [uuid.UUID("3c159252-1f6d-487b-860f-aee65ad9701b"), uuid.UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")]
    stored = pa.array([one.bytes for one in known], pa.uuid())
    with structlog.testing.capture_logs() as logged:
        read = dataset(tmp_path, users={"user_id": stored}, connections={"user_id": stored, "other_id": stored})
    assert read.users.frame["user_id"].to_list() == [str(one) for one in known]
    assert read.connections["other_id"].to_list() == [str(one) for one in known]
    said = [(entry["column"], entry["read_as"]) for entry in logged if entry["event"] == "bytes_column"]
    assert said == [("user_id", "uuids"), ("user_id", "uuids"), ("other_id", "uuids")]


@pytest.mark.parametrize("folder", [False, True], ids=["one file", "a folder"])
def test_ids_of_bytes_are_read_alike_in_all_tables(tmp_path: Path, folder: bool) -> None:
    text_by_chance, none = pa.array([b"ab", b"cd"]), pa.array([b"\xff\x00\x10", b"ab"])
    people = {"user_id": text_by_chance, "discoverable": [False, True]}
    pairs = pa.table({"user_id": text_by_chance, "other_id": none})
    if folder:
        (tmp_path / "connections").mkdir()
        for number in (0, 1):
            pq.write_table(pairs.slice(number, 1), tmp_path / "connections" / f"{number}.parquet")
        pq.write_table(pa.table(people), tmp_path / "users.parquet")
        read = read_dataset(tmp_path, started_at=STARTED)
    else:
        read = dataset(tmp_path, users=people, connections=dict(zip(pairs.column_names, pairs.columns, strict=True)))
    assert read.users.frame["user_id"].to_list() == ["6162", "6364"]
    assert read.connections.select("user_id", "other_id").rows() == [("6162", "ff0010"), ("6364", "6162")]


def test_bytes_in_a_profile_are_text_or_uuids_and_else_refused(tmp_path: Path) -> None:
    one = uuid.UUID("3c159252-1f6d-487b-860f-aee65ad9701b")
    columns = {"user_id": ["a"], "town": pa.array(["Tromsø\n".encode()]), "team": pa.array([one.bytes], pa.uuid())}
    read = dataset(tmp_path, users=columns)
    assert read.users.frame.row(0, named=True) == {"user_id": "a", "town": "Tromsø\n", "team": str(one)}
    said = refusal(tmp_path, users={"user_id": ["a"], "photo": pa.array([b"\x89PNG"])})
    assert said.startswith("users.parquet, column 'photo': holds objects or nested values")


MOMENT = dt.datetime(2024, 1, 31, 10, 15, 3)
TYPES = [
    pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Asia/Kolkata", "+05:30")
]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("int96", [False, True], ids=["int64", "int96"])
@pytest.mark.parametrize("store_schema", [False, True], ids=["plain", "arrow"])
def test_a_moment_in_every_unit_and_zone(tmp_path: Path, dtype: Any, int96: bool, store_schema: bool) -> None:
    moments = pa.array([second(MOMENT), None, -1], pa.int64()).cast(pa.timestamp("s", dtype.tz)).cast(dtype)
    pq.write_table(
        pa.table({"user_id": ["a", "b", "c"], "created_at": moments, "joined": moments}),
        tmp_path / "users.parquet",
        use_deprecated_int96_timestamps=int96,
        store_schema=store_schema,
    )
    pq.write_table(
        pa.table({"user_id": ["a", "b", "c"], "other_id": ["b", "c", "a"], "created_at": moments}),
        tmp_path / "connections.parquet",
        use_deprecated_int96_timestamps=int96,
        store_schema=store_schema,
    )
    read = read_dataset(tmp_path, started_at=STARTED)
    expected = [second(MOMENT), None, -1]
    assert read.users.frame["created_at"].to_list() == read.users.frame["joined"].to_list() == expected
    assert read.connections["created_at"].to_list() == expected
    assert read.users.kinds == {"created_at": Kind.TIMESTAMP, "joined": Kind.TIMESTAMP}


@pytest.mark.parametrize("store_schema", [False, True], ids=["plain", "arrow"])
def test_int96_reaches_from_the_year_1_to_9999(tmp_path: Path, store_schema: bool) -> None:
    ends = [dt.datetime(1, 1, 1), dt.datetime(1500, 6, 1), LAST_DAY]
    pq.write_table(
        pa.table({"user_id": ["a"] * 3, "other_id": ["b"] * 3, "created_at": pa.array(ends, pa.timestamp("us"))}),
        tmp_path / "connections.parquet",
        use_deprecated_int96_timestamps=True,
        store_schema=store_schema,
    )
    pq.write_table(pa.table({"user_id": ["a"]}), tmp_path / "users.parquet")
    read = read_dataset(tmp_path, started_at=STARTED)
    assert read.connections["created_at"].to_list() == [second(end) for end in ends]


@pytest.mark.parametrize(
    ("counts", "dtype", "said"),
    [
        ([0, 2**62], pa.timestamp("us"), "'4611686018427387904 us since 1970'"),
        ([0, -(2**62)], pa.timestamp("ms", "UTC"), "'-4611686018427387904 ms since 1970'"),
        ([0, 2**31 - 1], pa.date32(), "'2147483647 days since 1970'"),
        ([0, -719_163], pa.date32(), "'-719163 days since 1970'"),
    ],
    ids=str,
)
def test_a_moment_beyond_the_calendar_is_refused(tmp_path: Path, counts: list[int], dtype: Any, said: str) -> None:
    width = pa.int32() if pa.types.is_date32(dtype) else pa.int64()
    moments = pa.array(counts, width).cast(dtype)
    fault = "is not a timestamp (ISO 8601 or epoch seconds)"
    message = refusal(tmp_path, users={"user_id": ["a", "b"], "born": moments})
    assert message == f"users.parquet, row 2, column 'born': {said} {fault}"
    pairs = {"user_id": ["a", "b"], "other_id": ["b", "c"], "created_at": moments}
    message = refusal(tmp_path, connections=pairs)
    assert message == f"connections.parquet, row 2, column 'created_at': {said} {fault}"


PLACES = {
    "list": pa.array([[52.5, 13.25], None], pa.list_(pa.float64())),
    "array": pa.array([[52.5, 13.25], None], pa.list_(pa.float32(), 2)),
    "struct": pa.array([{"lat": 52.5, "lon": 13.25}, None]),
    "struct, long names": pa.array([{"Longitude": 13.25, "Latitude": 52.5}, None]),
    "text": pa.array(["52.5,13.25", None]),
    "well-known text": pa.array(["POINT (13.25 52.5)", None]),
}


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("schema", ["", '[users]\nhome = "location"\n'], ids=["inferred", "declared"])
def test_a_location_in_every_type(tmp_path: Path, places: pa.Array, schema: str) -> None:
    read = dataset(tmp_path, schema, users={"user_id": ["a", "b"], "home": places})
    assert read.users.kinds == {"home": Kind.LOCATION}
    assert read.users.frame["home"].to_list() == [{"lat": 52.5, "lon": 13.25}, None]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (
            pa.array([[52.5, 13.25], [13.25, 252.5]]),
            "[13.25, 252.5]".replace("13.25", "'13.25'").replace("252.5", "'252.5'"),
        ),
        (pa.array([[52.5, 13.25], [1.5]]), "['1.5']"),
        (pa.array([{"lat": 52.5, "lon": 13.25}, {"lat": 1.5, "lon": None}]), "'1.5,'"),
    ],
    ids=["off the map", "one number", "half"],
)
def test_no_location_is_refused(tmp_path: Path, places: pa.Array, said: str) -> None:
    message = refusal(tmp_path, '[users]\nhome = "location"\n', users={"user_id": ["a", "b"], "home": places})
    expected = f"users.parquet, row 2, column 'home': {said} is not a location (\"lat,lon\" in degrees)"
    assert message == expected


def test_vectors_and_nulls_are_no_features_and_whole_numbers_are_sets(tmp_path: Path) -> None:
    columns = {
        "user_id": ["a", "b"],
        "vector": pa.array([[0.25, 0.5, 0.75], [1.5, 0.0, 2.0]]),
        "nothing": pa.nulls(2),
        "skills": pa.array([[3, 7], [7, 7]]),
        "half": pa.array([0.5, 1.5], pa.float16()),
    }
    read = dataset(tmp_path, users=columns)
    assert read.users.inferred == {
        "vector": Kind.IGNORE,
        "nothing": Kind.IGNORE,
        "skills": Kind.MULTI,
        "half": Kind.NUMERIC,
    }
    assert read.users.frame["skills"].to_list() == [["3", "7"], ["7"]]
    assert read.users.frame["half"].to_list() == [0.5, 1.5]


@pytest.mark.parametrize("column", ["user_id", "other_id", "created_at", "kind", "at"])
def test_a_list_where_one_value_belongs_is_refused(tmp_path: Path, column: str) -> None:
    columns: dict[str, Any] = {"user_id": ["a"], "other_id": ["b"], "kind": ["view"], "at": [1], "created_at": [1]}
    table = "interactions" if column in ("kind", "at") else "connections"
    columns[column] = pa.array([["x"]])
    said = refusal(tmp_path, **{table: columns})
    assert said == f"{table}.parquet, column '{column}': no kind reads the type List(String)"


def test_a_decimal_of_more_digits_than_are_read_is_refused_by_its_column(tmp_path: Path) -> None:
    wide = pa.array([decimal.Decimal(1)], pa.decimal256(50, 10))
    said = refusal(tmp_path, users={"user_id": ["a"], "pay": wide})
    assert said.startswith("users.parquet, column 'pay': ")
