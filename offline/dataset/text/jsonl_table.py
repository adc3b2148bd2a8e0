"""A table in a JSONL file: one JSON object a line; a key may be missing."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import orjson
import polars as pl

from models.errors import DatasetError
from models.system.strict_json import JsonFaultError, has_pairs, loads_exactly
from offline.dataset.table import RECORD, USER_ID, Shape, Table, null_if_empty, shown
from offline.dataset.text.blocks import blocks, gathered

BLANK = b" \t\r\n"
"""what JSON takes for white space"""
LARGEST_INTEGER = 2**63
"""bound of the numbers that an Int64 holds"""
EXACT_INTEGERS = 2**53
"""a float below this without a fraction is a whole number"""

Row = dict[str, Any]


@dataclass
class _Column:
    """What the values of a key are."""

    plain: bool = False
    lists: bool = False
    nested: tuple[int, Any] | None = None
    """the first line with an object, or with a list of lists or objects, and that value"""

    @property
    def shape(self) -> Shape:
        if self.nested is not None:
            return Shape.OTHER
        return Shape.LIST if self.lists and not self.plain else Shape.TEXT


class JsonlTable(Table):
    """Reads numbers and booleans as text; skips blank lines. RECORD is the line.

    Refuses what JSON readers do not agree about: a key that stands twice, NaN, halves of surrogate pairs, U+0000. A
    column that mixes lists and plain values is read as text, with its lists as JSON.
    """

    def shapes(self) -> dict[str, Shape]:
        return {name: self._shape(name) for name in self._columns}

    def has(self, column: str) -> bool:
        """Always True: a row without the key has an empty cell."""
        return True

    def require(self, column: str) -> None:
        """Does nothing: a row without the key is rejected later as an empty cell, with its line."""

    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        return pl.concat(self.parts(columns), rechunk=False)

    def parts(self, columns: Sequence[str]) -> Iterator[pl.LazyFrame]:
        return gathered(chain([self._frame([], [], columns)], self._frames(columns)))

    def locate(self, record: int) -> str:
        return f"{self.path}, line {record}"

    def unreadable(self, column: str) -> str:
        found = self._columns[column].nested
        if found is None:
            return super().unreadable(column)
        line, value = found
        return f"{self.locate(line)}, column {column!r}: {shown(value)} is an object or holds nested values"

    def diagnose(self, error: Exception) -> DatasetError:
        return DatasetError(f"{self.path} cannot be read as JSONL: {error}")

    @cached_property
    def _columns(self) -> dict[str, _Column]:
        """Every key of the file, in the order in which they appear."""
        columns: dict[str, _Column] = {}
        for lines, rows in self._blocks():
            for line, row in zip(lines, rows, strict=True):
                for name, value in row.items():
                    column = columns.get(name) or columns.setdefault(name, _Column())
                    if type(value) is list:
                        column.lists = True
                        if any(isinstance(one, (list, dict)) for one in value):
                            column.nested = column.nested or (line, value)
                    elif type(value) is dict:
                        column.nested = column.nested or (line, value)
                    elif value is not None:
                        column.plain = True
        return columns

    def _frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        for lines, rows in self._blocks():
            yield self._frame(lines, rows, columns)

    def _frame(self, lines: Sequence[int], rows: list[Row], columns: Sequence[str]) -> pl.DataFrame:
        """RECORD and the columns, as text or, where all values are lists, as lists of texts."""
        series = [pl.Series(RECORD, lines, dtype=pl.UInt32)]
        texts = [column for column in columns if self._shape(column) is not Shape.LIST]
        for column in columns:
            values = [row.get(column) for row in rows]
            if column not in texts:
                lists = [None if value is None else [_text(one) for one in value] for value in values]
                series.append(pl.Series(column, lists, dtype=pl.List(pl.String)))
                continue
            types = set(map(type, values)) - {type(None)}
            if types == {int} and max(map(abs, filter(None, values)), default=0) < LARGEST_INTEGER:
                series.append(pl.Series(column, values, dtype=pl.Int64).cast(pl.String))
                continue
            if not types <= {str}:
                values = [self._cell(column, line, value) for line, value in zip(lines, values, strict=True)]
            series.append(pl.Series(column, values, dtype=pl.String))
        return pl.DataFrame(series).with_columns(null_if_empty(column) for column in texts)

    def _shape(self, column: str) -> Shape:
        """The shape if it was asked for before, else TEXT: finding it reads the whole file."""
        found = self.__dict__.get("_columns", {}).get(column)
        return found.shape if found and column != USER_ID else Shape.TEXT

    def _cell(self, column: str, line: int, value: Any) -> str | None:
        if isinstance(value, (list, dict)):
            if column == USER_ID or "_columns" not in self.__dict__:
                what = "is a list" if isinstance(value, list) else "is an object"
                raise DatasetError(f"{self.locate(line)}, column {column!r}: {shown(value)} {what}, not one value")
            return json.dumps(value, ensure_ascii=False)
        return _text(value)

    def _blocks(self) -> Iterator[tuple[Sequence[int], list[Row]]]:
        """Yields the objects of a few megabytes at a time, and their lines. Raises DatasetError for any other line."""
        line = 1
        for block in blocks(self.path):
            texts = block.removesuffix(b"\n").split(b"\n")
            lines = range(line, line + len(texts))
            rows = _simple(block, texts)
            yield self._checked(lines, texts) if rows is None else (lines, rows)
            line += len(texts)

    def _checked(self, lines: Sequence[int], texts: list[bytes]) -> tuple[list[int], list[Row]]:
        """The objects of a block, line by line. Raises DatasetError for the first line that is none."""
        kept, rows = [], []
        for line, text in zip(lines, texts, strict=True):
            written = text.strip(BLANK)
            if not written:
                continue
            found = _simple(written, [written])
            try:
                row = found[0] if found else loads_exactly(written)
            except JsonFaultError as fault:
                raise self._refusal(line, written, fault) from fault
            if not isinstance(row, dict):
                raise DatasetError(f"{self.locate(line)}: not a JSON object: {_printed(written)}")
            kept.append(line)
            rows.append(row)
        return kept, rows

    def _refusal(self, line: int, text: bytes, fault: JsonFaultError) -> DatasetError:
        if fault.key is None:
            return DatasetError(f"{self.locate(line)}: not a JSON object: {_printed(text)} ({fault.fault})")
        return DatasetError(f"{self.locate(line)}, column {fault.key!r}: {shown(fault.value)} {fault.fault}")


def _simple(block: bytes, texts: list[bytes]) -> list[Row] | None:
    """The objects of lines in which nothing is out of the ordinary; None if a closer look is needed.

    Then every line is an object, no key stands twice, no text has U+0000, and whole numbers have at most 64 bits.
    """
    try:
        rows = [orjson.loads(text) for text in texts]
    except orjson.JSONDecodeError:
        return None
    if b"\\u0000" in block or set(map(type, rows)) != {dict} or not has_pairs(block, sum(map(len, rows))):
        return None
    if {float, list}.isdisjoint(map(type, chain.from_iterable(map(dict.values, rows)))):
        return rows
    return None if any(_is_inexact(value) for row in rows for value in row.values()) else rows


def _is_inexact(value: Any) -> bool:
    """Whether a number may have been written with more digits than a float has."""
    if type(value) is float:
        return abs(value) >= EXACT_INTEGERS
    return type(value) is list and any(map(_is_inexact, value))


def is_exact(value: float) -> bool:
    """Whether a float is a whole number that has lost no digits."""
    return value.is_integer() and abs(value) < EXACT_INTEGERS


def _text(value: Any) -> str | None:
    """A value as the text that a CSV file would hold."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and is_exact(value):
        return str(int(value))
    return str(value)


def _printed(text: bytes) -> str:
    return shown(text.decode(errors="replace"))
