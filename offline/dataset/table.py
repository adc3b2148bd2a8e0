"""The interface that the readers of every file format implement."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from models.errors import DatasetError
from models.schema.columns import Kind

USER_ID, OTHER_ID = "user_id", "other_id"

CELLS = "cells"
"""a safe name for a column alone: methods of a series take its own name for a pattern"""

RECORD = "\0record"
"""the column that says which record a row is: ascending in the order of the file, and what `Table.locate` takes"""

ROUNDED = "is a float that has lost digits of the id, or never was one"
EXACTLY = "write ids as text or as integers"
"""what is wrong with an id in a float, and what helps"""

BYTES_OF_IDS = ("text", "uuids", "bytes")
"""what ids of bytes may be, the likeliest first: UTF-8, 16 bytes, or any bytes, read as hexadecimal digits"""

SHOWN_CHARACTERS = 80
"""longest part of a cell that an error message repeats"""


class Shape(Enum):
    """The shape of the cells that a file holds for a column."""

    TEXT = "text"
    LIST = "list"
    OTHER = "other"
    """objects or binary data, which no kind can parse"""


class Table(ABC):
    """A file of records under named columns, read lazily; every cell is read as text or as a list of texts."""

    splits_sets = False
    """whether one cell holds a set of values, separated by `|`"""

    null_words: Sequence[str] = ()
    """the words that stand for an empty cell, but never for a user id"""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def shapes(self) -> dict[str, Shape]:
        """The columns in the order of the file; empty if the file names none."""

    @abstractmethod
    def has(self, column: str) -> bool:
        """Whether `rows` accepts the column, even if it holds no value."""

    @abstractmethod
    def require(self, column: str) -> None:
        """Raises DatasetError if the file lacks the column."""

    def holds_floats(self, column: str) -> bool:
        """Whether the file stores the column as floats, which round large integers."""
        return False

    def kind_of_type(self, column: str) -> Kind | None:
        """The kind that the type of the stored column implies, whatever its values; None if it implies none."""
        return None

    def readings_of_ids(self) -> Collection[str]:
        """The BYTES_OF_IDS as which every id of bytes can be read."""
        return BYTES_OF_IDS

    def read_ids_as(self, reading: str) -> None:  # noqa: B027  text files have no bytes
        """Reads ids of bytes as one of BYTES_OF_IDS, whatever else a column of them may hold."""

    @abstractmethod
    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        """RECORD (UInt32 or UInt64) and the named columns as String or List(String); an empty cell is null."""

    def parts(self, columns: Sequence[str]) -> Iterator[pl.LazyFrame]:
        """The rows in their order, as one frame or as several of a bounded size."""
        yield self.rows(columns)

    def unreadable(self, column: str) -> str:
        """Where a column of Shape.OTHER has a value that no kind can parse, and what it is, for an error message."""
        return f"{self.path}, column {column!r}: holds objects or nested values"

    @abstractmethod
    def locate(self, record: int) -> str:
        """File and line of a record, for an error message. May read the file up to it."""

    @abstractmethod
    def diagnose(self, error: Exception) -> DatasetError:
        """The DatasetError that names the line at which reading failed."""

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """Runs a query over this table. Raises DatasetError if the file cannot be read."""
        try:
            return frame.collect(engine="streaming")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise self.diagnose(error) from error

    def refuse(self, record: int, column: str, fault: str | Callable[[str], str]) -> NoReturn:
        """Raises DatasetError with the line, the column and the value of a cell, followed by `fault`."""
        cell = self.collect(self.rows([column]).filter(pl.col(RECORD) == record))[column].item()
        if cell is None:
            problem = "the cell is empty"
        else:
            problem = f"{shown(cell)} {fault if isinstance(fault, str) else fault(cell)}"
        raise DatasetError(f"{self.locate(record)}, column {column!r}: {problem}")


def shown(cell: Any) -> str:
    """A cell as error messages print it, at most SHOWN_CHARACTERS long."""
    value = list(cell) if isinstance(cell, pl.Series) else cell
    written = repr(value)
    return written if len(written) <= SHOWN_CHARACTERS else f"{written[:SHOWN_CHARACTERS]}…"


def first_line(error: Exception) -> str:
    """The first line of a library's message."""
    return str(error).strip().partition("\n")[0]


def column_named(column: str) -> pl.Expr:
    """The column of this very name: Polars takes `*` for all columns, and `^…$` for a pattern of names."""
    return pl.col(f"^{re.escape(column)}$" if column == "*" or column.startswith("^") else column)


def null_if_empty(column: str, text: pl.Expr | None = None) -> pl.Expr:
    """A text column with empty cells as null; `text` replaces the column's own cells."""
    cell = column_named(column) if text is None else text
    return pl.when(cell != "").then(cell).alias(column)
