"""What each column of the users is taken for and why, and what looks odd in it."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import polars as pl

from models.schema.columns import CREATED_AT_COLUMN, FLAG_COLUMNS, NAME_COLUMN, Kind
from offline.dataset.reader import Dataset
from offline.dataset.table import USER_ID, Shape, Table, shown
from offline.dataset_check.findings import Finding, note, share, warning

USERS = "users"
FEWEST = 20
"""filled cells from which a column of distinct values is odd"""
MOSTLY_EMPTY = 0.95
MOSTLY = 0.5
_MOST_SPELLINGS = 500_000
"""distinct values that are compared"""

_MAIL = r"^[^@\s|]+@[^@\s|]+\.[A-Za-z]{2,}$"
_PHONE = r"^\+?\d[\d ()/.-]{7,17}\d$"
_NULLS = ["null", "na", "n/a", "nan", "none", "nil", "\\n", "-", "?", "unknown", "undefined", "(null)"]
_CELLS = "cells"
_MEANINGS = {
    NAME_COLUMN: "the name that people are shown",
    CREATED_AT_COLUMN: "the date of the account",
    "discoverable": "false: never suggested",
    "active": "false: neither served nor suggested",
    "connections_visible": "false: never named as a mutual connection",
}


@dataclass(frozen=True)
class ColumnSummary:
    """One column of a table."""

    table: str
    column: str
    taken_for: str
    """a kind of column, or what a column with a meaning of its own is"""
    why: str
    filled: int | None = None
    """cells with a value; None if the column is not read"""
    empty: int | None = None
    distinct: int | None = None
    example: str | None = None
    reason: bool = False
    """whether its values are shown to others as a reason"""


def summarise_users(dataset: Dataset, table: Table, declared: Mapping[str, Kind]) -> Iterator[ColumnSummary]:
    """The columns of the users in the order of the file."""
    frame = dataset.users.frame
    for column, shape in table.shapes().items():
        kind = dataset.users.kinds.get(column) or dataset.users.inferred.get(column) or declared.get(column)
        if column not in frame.columns:
            why = "schema.toml says so" if column in declared else "no cell is filled"
            yield ColumnSummary(USERS, column, Kind.IGNORE.value, why)
            continue
        cells = _cells(frame, column)
        distinct = cells.drop_nulls().n_unique()
        if column == USER_ID:
            taken, why = "id", "its name"
        elif column in declared:
            taken, why = declared[column].value, "schema.toml says so"
        elif column in _MEANINGS and column not in dataset.users.inferred:
            taken, why = "flag" if column in FLAG_COLUMNS else column, f"its name; {_MEANINGS[column]}"
        else:
            taken, why = (kind or Kind.IGNORE).value, _why(kind, cells, shape, distinct)
        empty = cells.null_count()
        kind = Kind.TIMESTAMP if column == CREATED_AT_COLUMN else kind
        reason = column in dataset.reason_columns
        yield ColumnSummary(
            USERS, column, taken, why, len(cells) - empty, empty, distinct, _example(cells, kind), reason
        )


def _cells(frame: pl.DataFrame, column: str) -> pl.Series:
    """A column under another name: Polars takes the name of a series for a pattern."""
    return frame[column].alias(_CELLS)


def _why(kind: Kind | None, cells: pl.Series, shape: Shape, distinct: int) -> str:
    """Why a column without a declared kind has this one."""
    filled = cells.drop_nulls()
    match kind:
        case Kind.MULTI:
            return "its cells are lists" if shape is Shape.LIST else "its cells hold sets, parted by |"
        case Kind.NUMERIC:
            return "every cell is a number"
        case Kind.TIMESTAMP:
            return "every cell is a moment"
        case Kind.LOCATION:
            return 'every cell is "lat,lon"'
        case Kind.TEXT:
            words = cast("float", (filled.str.strip_chars().str.count_matches(r"\s+") + 1).mean())
            return f"{words:.1f} words a cell, and most cells are distinct"
        case Kind.CATEGORICAL if filled.str.contains(r"^[+-]?\d+$").all():
            return "whole numbers, taken for codes: few of them, or a name like a code"
    return f"texts, {distinct:,} distinct"


def _example(cells: pl.Series, kind: Kind | None) -> str | None:
    filled = cells.drop_nulls()
    if filled.is_empty():
        return None
    cell: Any = filled[0]
    if isinstance(cell, pl.Series):
        return "|".join(str(one) for one in cell)
    if isinstance(cell, dict):
        return f"{cell['lat']:g},{cell['lon']:g}"
    if kind is Kind.TIMESTAMP:
        return iso(int(cell))
    return f"{cell:g}" if isinstance(cell, float) else str(cell).lower() if isinstance(cell, bool) else str(cell)


def iso(seconds: int) -> str:
    """A moment as ISO 8601."""
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def user_findings(dataset: Dataset) -> Iterator[Finding]:
    """What looks odd in the columns of the users."""
    frame = dataset.users.frame
    if dataset.users.duplicates:
        sentence = f"{dataset.users.duplicates:,} users stand twice with the same values; each is read once"
        yield note("duplicate_users", USERS, USER_ID, dataset.users.duplicates, sentence)
    for column in frame.columns:
        if column == USER_ID:
            continue
        cells = _cells(frame, column)
        filled = cells.drop_nulls()
        if filled.is_empty():
            continue
        yield from _fill(column, cells, filled)
        if column in FLAG_COLUMNS:
            yield from _flag(column, filled, len(cells))
        elif filled.dtype == pl.Int64:
            yield from _future(column, filled, dataset.as_of)
        elif filled.dtype == pl.Float64:
            yield from _numbers(column, filled)
        elif column != NAME_COLUMN and filled.dtype in (pl.String, pl.List(pl.String)):
            kind = dataset.users.kinds.get(column, Kind.CATEGORICAL)
            yield from _texts(column, frame[USER_ID], cells, kind, reason=column in dataset.reason_columns)


def _fill(column: str, cells: pl.Series, filled: pl.Series) -> Iterator[Finding]:
    empty = len(cells) - len(filled)
    if empty >= MOSTLY_EMPTY * len(cells):
        sentence = f"{column!r} is empty for {share(empty, len(cells))} of the users"
        yield note("mostly_empty_column", USERS, column, empty, sentence)
    if len(filled) >= FEWEST and column not in FLAG_COLUMNS and filled.n_unique() == 1:
        value = _example(filled, Kind.TIMESTAMP if filled.dtype == pl.Int64 else None)
        sentence = f"{column!r} has one value for everybody, which tells nobody apart"
        yield note("constant_column", USERS, column, len(filled), sentence, value)


def _flag(column: str, filled: pl.Series, users: int) -> Iterator[Finding]:
    off = int((~filled).sum())
    if off > MOSTLY * users:
        sentence = f"{column!r} is false for {share(off, users)} of the users"
        yield warning("mostly_hidden", USERS, column, off, sentence)


def _future(column: str, filled: pl.Series, as_of: int) -> Iterator[Finding]:
    late = filled.filter(filled > as_of)
    if len(late):
        sentence = f"{column!r} lies after the export ({iso(as_of)}) for {len(late):,} users"
        yield warning("dates_in_future", USERS, column, len(late), sentence, iso(int(late[0])))


def _numbers(column: str, filled: pl.Series) -> Iterator[Finding]:
    if len(filled) >= FEWEST and (filled % 1 == 0).all() and filled.n_unique() == len(filled):
        sentence = f"{column!r} is another whole number for every user: an id rather than a quantity? Declare it ignore"
        yield warning("unique_column", USERS, column, len(filled), sentence, f"{filled[0]:g}")


def _texts(column: str, ids: pl.Series, cells: pl.Series, kind: Kind, *, reason: bool) -> Iterator[Finding]:
    told = ", and is shown to others as a reason" if reason else ""
    flat = pl.DataFrame([ids, cells]).drop_nulls(_CELLS)
    if kind is Kind.MULTI:
        flat = flat.explode(_CELLS).drop_nulls(_CELLS)
    values = flat[_CELLS]
    same = int((values == flat[USER_ID]).sum())
    if same > MOSTLY * len(values):
        sentence = f"{column!r} repeats the user id{told}; declare it ignore"
        yield warning("id_in_column", USERS, column, same, sentence, values[0])
        return
    for name, pattern in (("e-mail addresses", _MAIL), ("telephone numbers", _PHONE)):
        found = int(values.str.strip_chars().str.contains(pattern).sum())
        if found > MOSTLY * len(values) and not _few(values):
            sentence = f"{column!r} holds {name}{told}; declare it ignore"
            yield warning("contact_in_column", USERS, column, found, sentence, values[0])
            return
    if kind is Kind.CATEGORICAL and len(values) >= FEWEST and values.n_unique() == len(values):
        sentence = f"{column!r} has another value for every user, like an id{told}; declare it ignore or text"
        yield warning("unique_column", USERS, column, len(values), sentence, values[0])
        return
    if kind is Kind.TEXT:
        return
    empties = values.filter(values.str.strip_chars().str.to_lowercase().is_in(_NULLS))
    if len(empties):
        sentence = f"{column!r} has values that may mean none; they count as a value that people share"
        yield warning("null_words", USERS, column, len(empties), sentence, empties[0])
    yield from _spellings(column, values)


def _few(values: pl.Series) -> bool:
    """Whether there are codes rather than contacts: few values that many share."""
    return values.n_unique() * 10 < len(values)


def _spellings(column: str, values: pl.Series) -> Iterator[Finding]:
    """Values that differ in case, spaces and punctuation alone."""
    counts = values.alias("value").value_counts(name="count")
    if counts.height > _MOST_SPELLINGS:
        return
    plain = pl.col("value").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "")
    groups = (
        counts.with_columns(plain.alias("plain"))
        .filter(pl.col("plain") != "")
        .sort("count", "value", descending=[True, False])
        .group_by("plain", maintain_order=True)
        .agg("value", pl.col("count").sum())
        .filter(pl.col("value").list.len() > 1)
    )
    if groups.height:
        example = ", ".join(shown(value) for value in groups["value"][0].head(4))
        sentence = f"{column!r} has {groups.height:,} values in several spellings, each of which is a value of its own"
        yield note("similar_spellings", USERS, column, groups.height, sentence, example)
