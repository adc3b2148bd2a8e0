"""A table in a CSV file: UTF-8, a header, comma-separated, quoted as in RFC 4180."""

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import polars as pl

from models.errors import DatasetError
from offline.dataset.table import RECORD, Shape, Table, first_line, null_if_empty, shown


class CsvTable(Table):
    """Rejects rows with more or fewer cells than the header; skips rows without a filled cell.

    Polars fills a short row with empty cells, so the separators of every line are counted first. The csv module finds
    the line to report if a count is off (a short row, or line breaks inside a cell) or Polars fails.
    """

    splits_sets = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._checked = False

    def shapes(self) -> dict[str, Shape]:
        return dict.fromkeys(self._header, Shape.TEXT)

    def has(self, column: str) -> bool:
        return column in self._header

    def require(self, column: str) -> None:
        if not self.has(column):
            named = ", ".join(repr(name) for name in self._header)
            raise DatasetError(f"{self.path}, line 1: the column {column!r} is missing; the header names {named}")

    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        self._check_widths()
        frame = pl.scan_csv(self.path, infer_schema=False, row_index_name=RECORD, glob=False)
        filled = frame.filter(pl.any_horizontal(pl.col(self._header).is_not_null()))
        return filled.select(RECORD, *[null_if_empty(column) for column in columns])

    def locate(self, record: int) -> str:
        try:
            for number, (line, _) in enumerate(_records(self.path)):
                if number == record + 1:
                    return f"{self.path}, line {line}"
        except csv.Error:
            pass  # the csv module is stricter than Polars: the record's number must do
        return f"{self.path}, record {record + 1}"

    def diagnose(self, error: Exception) -> DatasetError:
        return self._fault() or DatasetError(f"{self.path} cannot be read as CSV: {first_line(error)}")

    @cached_property
    def _header(self) -> list[str]:
        try:
            cells = next((cells for _, cells in _records(self.path)), None)
        except csv.Error as error:
            raise DatasetError(f"{self.path}, line 1: {error}") from error
        if cells is None:
            raise DatasetError(f"{self.path} is empty: it needs a header line that names its columns")
        for number, name in enumerate(cells):
            if not name:
                raise DatasetError(f"{self.path}, line 1: column {number + 1} has no name")
            if name in cells[:number]:
                raise DatasetError(f"{self.path}, line 1: two columns are named {name!r}")
        return cells

    def _check_widths(self) -> None:
        """Raises DatasetError if a row has more or fewer cells than the header."""
        if self._checked:
            return
        line = pl.col("line")
        quoted = line.str.contains('"', literal=True)
        unquoted = pl.when(quoted).then(line.str.replace_all('"[^"]*"', "")).otherwise(line)
        wrong = unquoted.str.count_matches(",", literal=True) != len(self._header) - 1
        filled = ~line.is_in(["", "\r"])
        suspects = pl.scan_lines(self.path, name="line", glob=False).filter(wrong & filled)
        if self.collect(suspects.head(1)).height and (fault := self._fault()):
            raise fault
        self._checked = True

    def _fault(self) -> DatasetError | None:
        """The error for the first line that does not fit the header, or None."""
        line = 1
        try:
            for line, cells in _records(self.path):
                if cells and len(cells) != len(self._header):
                    mismatch = f"{len(cells)} cells where the header names {len(self._header)}"
                    return DatasetError(f"{self.path}, line {line}: {mismatch}: {shown(','.join(cells))}")
        except csv.Error as error:
            return DatasetError(f"{self.path}, line {max(line, _line_of(error))}: {error}")
        return None


class _BadLineError(csv.Error):
    """A line that is not UTF-8 or that the csv module cannot parse."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _line_of(error: csv.Error) -> int:
    return error.line if isinstance(error, _BadLineError) else 1


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields every record with the number of its first line, header first; skips blank lines before the header.

    Raises csv.Error; DatasetError if a line is not UTF-8.
    """
    with _cells_of_any_size():
        reader = csv.reader(_lines(path), strict=True)
        begun = False
        while True:
            first = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise _BadLineError(first, str(error)) from error
            if cells or begun:
                begun = True
                yield first, cells


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                raise DatasetError(f"{path}, line {number}: not UTF-8: {shown(raw)}") from error
            yield line.removeprefix("\ufeff") if number == 1 else line


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    """Lifts the csv module's limit of 128 KiB a cell inside the block."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
