"""Random Parquet files, read by pyarrow by the strict rules and by the product: the same values, or both refuse.

python -m tests.support.offline.parquet_tables --tables 20000 --seed 1
"""

import argparse
import datetime as dt
import decimal
import math
import random
import re
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from models.errors import DatasetError
from models.schema.columns import user_id_fault
from offline.dataset.parquet_table import ParquetTable
from offline.dataset.schema import read_schema
from offline.dataset.users import read_users

MOST_ROWS = 6
EPOCH = dt.datetime(1970, 1, 1)
YEARS = (dt.datetime(1, 1, 1), dt.datetime(1677, 9, 22), EPOCH, dt.datetime(2024, 1, 31, 10, 15, 3, 999_999))
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class RefusedError(Exception):
    """The strict rules refuse a cell."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


@dataclass(frozen=True)
class Column:
    """A column of a random file, and what each cell of it means."""

    array: pa.Array
    kind: str
    meant: Callable[[Any], Any]
    """of a cell as pyarrow reads it; raises ValueError for a cell that has to be refused"""


def ids(random: random.Random, n: int) -> Column:
    """Distinct ids in one of the types in which they are stored, among them those that lose digits."""
    numbers = random.sample([0, 1, -7, 12, 2**31, 2**53 - 1, 2**53, 2**53 + 2, 2**62, 1344800117571260416], n)
    match random.randrange(11):
        case 0:
            return Column(pa.array([f"u{number}é" for number in numbers]), "id", str)
        case 1:
            return Column(pa.array([str(number) for number in numbers], pa.large_string()), "id", str)
        case 2:
            return Column(pa.array([str(number) for number in numbers]).dictionary_encode(), "id", str)
        case 3:
            return Column(pa.array(numbers, pa.int64()), "id", str)
        case 4:
            return Column(pa.array([abs(number) for number in numbers], pa.uint64()), "id", str)
        case 5:
            floats = [float(number) for number in numbers]
            return Column(pa.array(floats, pa.float64()), "id", whole)
        case 6:
            scale = random.randrange(11)
            exact = [decimal.Decimal(number) for number in numbers]
            return Column(pa.array(exact, pa.decimal128(38, scale)), "id", lambda cell: str(int(cell)))
        case 7:
            return Column(
                pa.array([uuid.UUID(int=abs(number) << 60 | 0xFF).bytes for number in numbers], pa.uuid()), "id", str
            )
        case 8:
            return Column(pa.array([f"b{number}".encode() for number in numbers], pa.binary()), "id", bytes.decode)
        case 9:
            return Column(pa.array([b"\xff" + str(number).encode() for number in numbers]), "id", bytes.hex)
        case _:
            return Column(pa.array([number % 97 + 0.5 for number in numbers]), "id", whole)


def whole(number: float) -> str:
    """An id that is stored as a float."""
    if not (number.is_integer() and abs(number) < 2**53):
        raise ValueError(number)
    return str(int(number))


def times(random: random.Random, n: int) -> Column:
    """Dates and times of every type, unit and zone, up to the ends of each type."""
    form = random.choice(["date32", "date64", "s", "ms", "us", "ns", "int96", "int96 ns"])
    cells = [random.choice([None, *range(6)]) for _ in range(n)]
    if form.startswith("date"):
        days = [0, 19_000, -719_162, 2_932_896, -719_163, 2_932_897]
        counts = [None if cell is None else days[cell] * (86_400_000 if form == "date64" else 1) for cell in cells]
        stored = pa.array(counts, pa.int64() if form == "date64" else pa.int32())
        parts = 86_400_000 if form == "date64" else 1
        array = stored.cast(pa.date64() if form == "date64" else pa.date32())
        return Column(array, "timestamp", lambda cell: second(cell * 86_400, parts))
    unit = {"int96": "us", "int96 ns": "ns"}.get(form, form)
    parts = PER_SECOND[unit]
    ends = [-62_135_596_800, 253_402_300_799, -62_135_596_801, 253_402_300_800]
    seconds = [0, 1_706_696_103, *(ends if unit != "ns" else [-9_000_000_000, 9_000_000_000, -1, 1])]
    counts = [
        None if cell is None else seconds[cell] * parts + (random.randrange(parts) if parts > 1 else 0)
        for cell in cells
    ]
    zone = random.choice([None, "UTC", "America/New_York", "+05:30"])
    array = pa.array(counts, pa.int64()).cast(pa.timestamp(unit, zone))
    return Column(array, "timestamp", lambda cell: second(cell, parts))


def second(count: int, parts: int) -> int:
    """Epoch seconds of a count of parts of a second."""
    found = count // parts
    if not -62_135_596_800 <= found <= 253_402_300_799:
        raise ValueError(count)
    return found


def numbers(random: random.Random, n: int) -> Column:
    """Numbers of every type; NaN is an empty cell and an infinite number is refused."""
    types = [
        pa.int8(),
        pa.int32(),
        pa.int64(),
        pa.uint64(),
        pa.float16(),
        pa.float32(),
        pa.float64(),
        pa.decimal128(20, 3),
    ]
    dtype = random.choice([*types, pa.bool_(), pa.null()])
    if pa.types.is_null(dtype):
        return Column(pa.nulls(n), "numeric", float)
    if pa.types.is_floating(dtype):
        values: list[Any] = [0.0, -0.0, 1.5, -2.25, 1000.0, math.nan, math.inf, -math.inf]
    elif pa.types.is_decimal(dtype):
        values = [decimal.Decimal("12.000"), decimal.Decimal("-0.125"), decimal.Decimal(10**16)]
    else:
        values = [0, 1, 100] + ([] if pa.types.is_unsigned_integer(dtype) or pa.types.is_boolean(dtype) else [-1])
        values += [2**64 - 1] if dtype == pa.uint64() else []
    cells = [random.choice([None, *values]) for _ in range(n)]
    if pa.types.is_boolean(dtype):
        return Column(pa.array([None if cell is None else bool(cell) for cell in cells]), "flag", bool)
    return Column(pa.array(cells, dtype), "numeric", finite)


def finite(cell: Any) -> float | None:
    """A number as the product stores it."""
    number = float(cell)
    if math.isinf(number):
        raise ValueError(number)
    return None if math.isnan(number) else number


def places(random: random.Random, n: int) -> Column:
    """Locations as lists, arrays of two, structs and text, some of them no place on Earth."""
    spots = [(52.5, 13.25), (-90.0, 180.0), (0.0, 0.0), (91.0, 0.0), (0.5, -180.5)]
    cells = [random.choice([None, *spots]) for _ in range(n)]
    match random.randrange(5):
        case 0:
            array = pa.array(cells, pa.list_(pa.float64()))
        case 1:
            array = pa.array(cells, pa.list_(pa.float32(), 2))
        case 2:
            names = random.choice([("lat", "lon"), ("latitude", "longitude"), ("Lat", "Lng")])
            array = pa.array(
                [cell and dict(zip(names, cell, strict=True)) for cell in cells],
                pa.struct([(name, pa.float64()) for name in names]),
            )
        case 3:
            array = pa.array([cell and f"{cell[0]},{cell[1]}" for cell in cells], pa.string())
        case _:
            array = pa.array([cell and f"POINT ({cell[1]} {cell[0]})" for cell in cells], pa.large_string())
    return Column(array, "location", place)


def place(cell: Any) -> dict[str, float]:
    """A location as the product stores it."""
    if isinstance(cell, str):
        found = [float(number) for number in re.findall(r"[-\d.]+", cell)]
        latitude, longitude = reversed(found) if cell.startswith("POINT") else found
    else:
        latitude, longitude = cell.values() if isinstance(cell, dict) else cell
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError(cell)
    return {"lat": latitude, "lon": longitude}


def texts(random: random.Random, n: int) -> Column:
    """Categories in every type of text; an empty text is an empty cell."""
    words = [None, "", "a", "Ünal", "x,y", "12", "true"]
    cells = [random.choice(words) for _ in range(n)]
    dtype = random.choice(
        [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int16(), pa.string())]
    )
    stored = [cell.encode() if cell is not None and pa.types.is_binary(dtype) else cell for cell in cells]
    return Column(
        pa.array(stored, dtype),
        "categorical",
        lambda cell: (cell.decode() if isinstance(cell, bytes) else cell) or None,
    )


def sets(random: random.Random, n: int) -> Column:
    """Sets as lists of texts and of whole numbers, with repeats, empty texts and nulls."""
    whole_numbers = random.random() < 0.4
    values: list[Any] = [None, 1, 2, 30] if whole_numbers else [None, "", "a", "b", "é"]
    cells = [
        random.choice([None, *[random.choices(values, k=random.randrange(4)) for _ in range(3)]]) for _ in range(n)
    ]
    inner = random.choice([pa.int8(), pa.int64()]) if whole_numbers else random.choice([pa.string(), pa.large_string()])
    wrap = random.choice([pa.list_, pa.large_list])
    return Column(
        pa.array(cells, wrap(inner)),
        "multi",
        lambda cell: sorted({str(one) for one in cell if one not in (None, "")}) or None,
    )


@dataclass(frozen=True)
class RandomTable:
    """The columns of a users file; `user_id` is the first."""

    columns: dict[str, Column]

    @classmethod
    def of(cls, seed: int) -> "RandomTable":
        random_ = random.Random(seed)
        n = random_.randrange(1, MOST_ROWS)
        makers = [times, numbers, places, texts, sets]
        chosen = [random_.choice(makers) for _ in range(random_.randrange(1, 4))]
        columns = {"user_id": ids(random_, n)} | {f"c{at}": make(random_, n) for at, make in enumerate(chosen)}
        return cls({("active" if column.kind == "flag" else name): column for name, column in columns.items()})

    def write(self, directory: Path, seed: int) -> Path:
        """Writes users.parquet in one of the layouts of Parquet, and schema.toml."""
        random_ = random.Random(seed)
        path = directory / "users.parquet"
        int96 = random_.random() < 0.2
        has_ns = any("ns" in str(column.array.type) for column in self.columns.values())
        pq.write_table(
            pa.table({name: column.array for name, column in self.columns.items()}),
            path,
            store_schema=random_.random() < 0.5,
            use_deprecated_int96_timestamps=int96,
            use_dictionary=random_.random() < 0.5,
            data_page_version=random_.choice(["1.0", "2.0"]),
            version="2.6" if int96 or has_ns else random_.choice(["1.0", "2.4", "2.6"]),
            compression=random_.choice(["none", "snappy", "zstd"]),
            row_group_size=random_.choice([1, 2, 100]),
        )
        kinds = {name: column.kind for name, column in self.columns.items() if column.kind not in ("id", "flag")}
        lines = [f'{name} = "{kind}"\n' for name, kind in kinds.items()]
        (directory / "schema.toml").write_text("[users]\n" + "".join(lines))
        return path

    def meant(self) -> dict[str, list[Any]]:
        """The values by the strict rules. Raises RefusedError for the first row that has to be refused."""
        found: dict[str, list[Any]] = {}
        bad: list[int] = []
        for name, column in self.columns.items():
            cells = found[name] = []
            for row, cell in enumerate(_cells(column.array)):
                try:
                    cells.append(None if cell is None else column.meant(cell))
                    if column.kind == "id" and (cells[-1] is None or user_id_fault(cells[-1])):
                        raise ValueError(cell)
                except ValueError:
                    bad.append(row)
        if bad:
            raise RefusedError(min(bad))
        return found


def _cells(array: pa.Array) -> Any:
    """Cells in Python; times as counts of their unit, which may be beyond what Python's own dates hold."""
    if pa.types.is_date32(array.type):
        return array.cast(pa.int32()).to_pylist()
    if pa.types.is_temporal(array.type):
        return array.cast(pa.int64()).to_pylist()
    return array.to_pylist()


def difference(seed: int, directory: Path) -> str:
    """How the product reads the random table of a seed: `same` or `refused`, as the strict rules do.

    Raises AssertionError if it differs from them, or if a refusal does not name the file, row, column and value.
    """
    table = RandomTable.of(seed)
    path = table.write(directory, seed)
    try:
        expected: dict[str, list[Any]] | RefusedError = table.meant()
    except RefusedError as refused:
        expected = refused
    refusal = ""
    try:
        users = read_users(ParquetTable(path), read_schema(directory / "schema.toml"))
    except DatasetError as error:
        refusal = str(error)
    if refusal:
        assert isinstance(expected, RefusedError), f"seed {seed}: refused without need: {refusal}"
        named = re.fullmatch(r".*users\.parquet, row (\d+), column '(\w+)': .+ .+", refusal)
        assert named, f"seed {seed}: row, column or value is missing: {refusal}"
        assert int(named[1]) == expected.row + 1, f"seed {seed}: another row than {expected.row + 1}: {refusal}"
        return "refused"
    assert not isinstance(expected, RefusedError), f"seed {seed}: row {expected.row + 1} was taken: {users.frame}"
    for name, values in expected.items():
        read = users.frame[name].to_list()
        assert read == values, f"seed {seed}, column {name}: {read} instead of {values}"
    return "same"


def main() -> None:
    """Compares as many random tables as asked for and prints how they were read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    began, found = time.perf_counter(), Counter[str]()
    with tempfile.TemporaryDirectory() as directory:
        for seed in range(chosen.seed, chosen.seed + chosen.tables):
            try:
                found[difference(seed, Path(directory))] += 1
            except AssertionError as error:
                found["different"] += 1
                sys.stdout.write(f"{error}\n")
            except (Exception, pl.exceptions.PanicException) as error:  # a traceback is what this looks for
                found["traceback"] += 1
                sys.stdout.write(f"seed {seed}: {type(error).__name__}: {error}\n")
    sys.stdout.write(f"{chosen.tables} tables in {time.perf_counter() - began:.0f} s: {dict(found)}\n")
    sys.exit(bool(found["different"] or found["traceback"]))


if __name__ == "__main__":
    main()
