"""One table of a dataset directory, whatever the format of its file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from models.errors import DatasetError

USER_ID = "user_id"

RECORD = "\0record"
"""the column that numbers the records of a file from 0, in the order of the file"""

SHOWN_CHARACTERS = 80
"""how much of a cell a message repeats"""


class Shape(Enum):
    """How the cells of a column come out of a file."""

    TEXT = "text"
    LIST = "list"
    OTHER = "other"
    """nothing that a kind reads: an object, binary data"""


class Table(ABC):
    """A file of records under named columns, read lazily; every cell comes as text or as a list of texts."""

    splits_sets = False
    """whether a set of values stands in one cell, separated by `|`"""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def shapes(self) -> dict[str, Shape]:
        """The columns in the order of the file. Empty where the file names none."""

    @abstractmethod
    def has(self, column: str) -> bool:
        """Whether a column can be asked for, be it without any value."""

    @abstractmethod
    def require(self, column: str) -> None:
        """Raises DatasetError where the file has no such column at all."""

    @abstractmethod
    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        """RECORD (UInt32) and the named columns as String or List(String); an empty cell is null."""

    @abstractmethod
    def place(self, record: int) -> str:
        """Where a record stands, for a message. May read the file up to it."""

    @abstractmethod
    def diagnose(self, error: Exception) -> DatasetError:
        """The error that says which line made the file unreadable."""

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """The rows of a frame that reads this table. Raises DatasetError where the file cannot be read."""
        try:
            return frame.collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self.diagnose(error) from error

    def refuse(self, record: int, column: str, fault: str | Callable[[str], str]) -> NoReturn:
        """Raises DatasetError with the place, the column and the value of a cell; `fault` is read after the value."""
        cell = self.collect(self.rows([column]).filter(pl.col(RECORD) == record))[column].item()
        if cell is None:
            said = "the cell is empty"
        else:
            said = f"{shown(cell)} {fault if isinstance(fault, str) else fault(cell)}"
        raise DatasetError(f"{self.place(record)}, column {column!r}: {said}")


def shown(cell: Any) -> str:
    """A cell as messages show it, cut where it is long."""
    value = list(cell) if isinstance(cell, pl.Series) else cell
    written = repr(value)
    return written if len(written) <= SHOWN_CHARACTERS else f"{written[:SHOWN_CHARACTERS]}…"


def first_line(error: Exception) -> str:
    """The first line of a library's message."""
    return str(error).strip().partition("\n")[0]


def null_if_empty(column: str, text: pl.Expr | None = None) -> pl.Expr:
    """A column of text, the one of that name unless another is given, in which an empty cell is null."""
    cell = pl.col(column) if text is None else text
    return pl.when(cell != "").then(cell).alias(column)
