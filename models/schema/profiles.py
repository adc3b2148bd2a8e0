"""Profile columns of all users, coded as one or two arrays each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtefactError
from models.schema.columns import Kind
from models.system import files

NAMES = "profiles.json"


@dataclass(frozen=True)
class CategoricalColumn:
    """One value of a set per user."""

    codes: NDArray[np.int32]
    """(n,) int32, indexes `values`; -1 if missing"""
    values: Sequence[str]
    """distinct values, sorted by their UTF-8 bytes"""


@dataclass(frozen=True)
class MultiColumn:
    """A set of values per user: the codes of a row are `codes[indptr[row] : indptr[row + 1]]`, ascending."""

    indptr: NDArray[np.int64]
    """(n + 1,) int64"""
    codes: NDArray[np.int32]
    """(entries,) int32, indexes `values`"""
    values: Sequence[str]
    """distinct values, sorted by their UTF-8 bytes"""


@dataclass(frozen=True)
class NumericColumn:
    """A number per user."""

    numbers: NDArray[np.float64]
    """(n,) float64, NaN if missing"""


@dataclass(frozen=True)
class TimestampColumn:
    """A timestamp per user."""

    seconds: NDArray[np.float64]
    """(n,) float64, whole seconds since 1970 UTC, NaN if missing"""


@dataclass(frozen=True)
class TextColumn:
    """A free text per user."""

    texts: Sequence[str | None]
    """n texts, None if missing; never empty"""


@dataclass(frozen=True)
class LocationColumn:
    """A location per user."""

    degrees: NDArray[np.float32]
    """(n, 2) float32, latitude and longitude, NaN if missing"""


Column = CategoricalColumn | MultiColumn | NumericColumn | TimestampColumn | TextColumn | LocationColumn


_KINDS: dict[type[Column], Kind] = {
    CategoricalColumn: Kind.CATEGORICAL,
    MultiColumn: Kind.MULTI,
    NumericColumn: Kind.NUMERIC,
    TimestampColumn: Kind.TIMESTAMP,
    TextColumn: Kind.TEXT,
    LocationColumn: Kind.LOCATION,
}


def kind_of(column: Column) -> Kind:
    """The schema kind of a column."""
    return _KINDS[type(column)]


@dataclass(frozen=True)
class Profiles:
    """The feature columns of n users' profiles, sorted by name."""

    n: int
    columns: Mapping[str, Column] = field(default_factory=dict)

    def save(self, directory: Path) -> None:
        """Writes the columns as .npy files, then profiles.json, which lists them."""
        directory.mkdir(parents=True, exist_ok=True)
        entries = []
        for number, (name, column) in enumerate(self.columns.items()):
            arrays, values = _parts(column)
            for part, array in arrays.items():
                files.write_array(directory / f"{number}_{part}.npy", array)
            entries.append({"name": name, "type": type(column).__name__, "values": values})
        files.write_json(directory / NAMES, {"n": self.n, "columns": entries})

    @classmethod
    def open(cls, directory: Path) -> "Profiles":
        """The columns of a saved directory, their arrays memory-mapped and read-only.

        Raises ArtefactError if a file is missing, truncated, or of another type or shape.
        """
        path = directory / NAMES
        names = files.read_json(path)
        try:
            n = int(names["n"])
            columns = {
                str(entry["name"]): _column(directory, number, str(entry["type"]), entry["values"], n)
                for number, entry in enumerate(names["columns"])
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(f"{path} is truncated or altered: {error!r}") from error
        return cls(n, columns)


def joined_sets(n: int, columns: Sequence[MultiColumn]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The set columns of n users as one: (n + 1,) int64 boundaries and int32 codes, ascending in each row.

    Codes are numbered across columns.
    """
    rows, codes, first = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for column in columns:
        rows.append(np.repeat(np.arange(n), np.diff(column.indptr)))
        codes.append(column.codes.astype(np.int64) + first)
        first += len(column.values)
    row, code = np.concatenate(rows), np.concatenate(codes)
    order = np.lexsort((code, row))
    indptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=n), out=indptr[1:])
    return indptr, code[order].astype(np.int32)


def one_profile(kinds: Mapping[str, str], profile: Mapping[str, Any]) -> Profiles:
    """The columns of one stored profile; `kinds` are names of the column types above.

    Values that cannot be read as their kind are missing.
    """
    return Profiles(1, {name: _one(kind, profile.get(name)) for name, kind in kinds.items()})


def _one(kind: str, cell: Any) -> Column:
    """A column of one user."""
    match kind:
        case "CategoricalColumn":
            return CategoricalColumn(np.array([-1 if cell is None else 0], np.int32), [str(cell)])
        case "MultiColumn":
            values = sorted({str(one) for one in cell}) if isinstance(cell, list) else []
            return MultiColumn(np.array([0, len(values)]), np.arange(len(values), dtype=np.int32), values)
        case "NumericColumn":
            return NumericColumn(np.array([_number(cell)]))
        case "TimestampColumn":
            return TimestampColumn(np.array([_seconds(cell)]))
        case "LocationColumn":
            parts = cell.split(",") if isinstance(cell, str) else []
            degrees = [_number(part) for part in parts] if len(parts) == 2 else [np.nan, np.nan]
            return LocationColumn(np.array([degrees], np.float32))
    return TextColumn([str(cell) if cell else None])


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def _seconds(cell: Any) -> float:
    """Seconds since 1970 of ISO 8601 or a number, NaN for anything else; a timestamp without a zone is UTC."""
    if isinstance(cell, str):
        try:
            timestamp = datetime.fromisoformat(cell)
        except ValueError:
            return _number(cell)
        return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)).timestamp()
    return _number(cell)


def _parts(column: Column) -> tuple[dict[str, NDArray[Any]], list[str] | None]:
    """The arrays of a column by file name, and its values if it has codes."""
    match column:
        case CategoricalColumn(codes, values):
            return {"codes": codes}, list(values)
        case MultiColumn(indptr, codes, values):
            return {"indptr": indptr, "codes": codes}, list(values)
        case NumericColumn(numbers):
            return {"numbers": numbers}, None
        case TimestampColumn(seconds):
            return {"seconds": seconds}, None
        case LocationColumn(degrees):
            return {"degrees": degrees}, None
        case TextColumn(texts):
            encoded = [(text or "").encode() for text in texts]
            offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
            np.cumsum([len(one) for one in encoded], out=offsets[1:])
            return {"text": np.frombuffer(b"".join(encoded), dtype=np.uint8), "offsets": offsets}, None


def _column(directory: Path, number: int, kind: str, values: list[str] | None, n: int) -> Column:
    def part(name: str, dtype: type[np.generic], *shape: int | None) -> NDArray[Any]:
        return files.read_array(directory / f"{number}_{name}.npy", dtype, shape)

    match kind:
        case "CategoricalColumn":
            return CategoricalColumn(part("codes", np.int32, n), list(values or ()))
        case "MultiColumn":
            return MultiColumn(part("indptr", np.int64, n + 1), part("codes", np.int32, None), list(values or ()))
        case "NumericColumn":
            return NumericColumn(part("numbers", np.float64, n))
        case "TimestampColumn":
            return TimestampColumn(part("seconds", np.float64, n))
        case "LocationColumn":
            return LocationColumn(part("degrees", np.float32, n, 2))
        case "TextColumn":
            return TextColumn(_texts(part("text", np.uint8, None), part("offsets", np.int64, n + 1)))
    raise ValueError(f"unknown column type {kind!r}")


def _texts(text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[str | None]:
    whole, starts = text.tobytes(), offsets.tolist()
    return [whole[start:end].decode() or None for start, end in pairwise(starts)]
