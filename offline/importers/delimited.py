"""Records of delimited text, in blocks: every cell as text, with the line of each record."""

import csv
import gc
import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from models.errors import DatasetError
from offline.dataset.table import column_named, shown
from offline.importers.origin import PLACE
from offline.importers.source_text import Progress, quiet, text_blocks

ROWS = 200_000
"""rows of a block that the csv module reads"""

LONE_RETURN = r"\r[^\r]"
"""regular expression of a carriage return within a line"""
RETURN_FAULT = "has a carriage return that ends no line: lines end in LF or CR LF"
_LINE = "\0text"
_ATTRIBUTES = re.compile(r"[\s,;]*\{.*\}\s*$")


@dataclass(frozen=True)
class Dialect:
    """How the records of a file are written; cells may be quoted as in RFC 4180."""

    delimiter: str | None = ","
    """one character; None: any run of spaces and tabs"""
    comments: tuple[str, ...] = ()
    """what the first character of a comment is"""
    attributed: bool = False
    """whether a line ends with a dictionary of attributes, which is left out, as in networkx's edge lists"""

    @property
    def name(self) -> str:
        names = {None: "spaces", "\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
        return names.get(self.delimiter, repr(self.delimiter))

    def cells(self, line: str) -> list[str]:
        """The cells of one record that stands on one line. Raises csv.Error."""
        line = self.without_attributes(line)
        if self.delimiter is None:
            words = line.split()
            if self.attributed or '"' not in line:
                return [word.strip('"') for word in words]
            return next(csv.reader([" ".join(words)], delimiter=" ", strict=True), [])
        return [cell.strip() for cell in next(csv.reader([line], delimiter=self.delimiter, strict=True), [])]

    def without_attributes(self, line: str) -> str:
        """The line without its dictionary, if lines of this dialect have one."""
        return _ATTRIBUTES.sub("", line) if self.attributed else line

    def skips(self, line: str) -> bool:
        """Whether a line is blank or a comment."""
        return not line.strip() or line.lstrip().startswith(self.comments or ("\0",))


def read_records(
    path: Path, dialect: Dialect, columns: Sequence[str], *, after: int = 0, progress: Progress = quiet
) -> Iterator[pl.DataFrame]:
    """Yields blocks of records: `columns` as String, an empty cell as null, and PLACE, the line.

    Lines up to the number `after` are skipped. Raises DatasetError for the first record with more or fewer cells, or
    with quotes that are not well formed.
    """
    blocks = text_blocks(path, progress)
    for first, text in blocks:
        if '"' in text and not dialect.attributed:
            yield from _quoted(path, dialect, columns, _lines(first, text, blocks), after)
            return
        yield _unquoted(path, dialect, columns, first, text, after)


def _unquoted(path: Path, dialect: Dialect, columns: Sequence[str], first: int, text: str, after: int) -> pl.DataFrame:
    """A block without a quotation mark, split by one regular expression."""
    lines = pl.Series(_LINE, text.split("\n"))
    line = pl.col(_LINE).str.strip_suffix("\r")
    if dialect.attributed:
        line = line.str.replace(_ATTRIBUTES.pattern, "")
    begins = pl.col(_LINE).str.strip_chars_start()
    skipped = pl.any_horizontal(begins == "", *[begins.str.starts_with(mark) for mark in dialect.comments])
    numbered = lines.to_frame().with_columns(pl.int_range(first, pl.len() + first, dtype=pl.UInt32).alias(PLACE))
    kept = numbered.filter(~skipped & (pl.col(PLACE) > after)).with_columns(line)
    returned = kept[_LINE].str.contains(LONE_RETURN)
    if returned.any():
        at = int(returned.arg_true()[0])
        raise DatasetError(f"{path}, line {kept[PLACE][at]}: {shown(kept[_LINE][at])} {RETURN_FAULT}")
    pattern = _pattern(dialect.delimiter, len(columns))
    cells = kept[_LINE].str.extract_groups(pattern).struct.unnest()
    cells.columns = list(columns)
    ragged = ~kept[_LINE].str.contains(pattern)
    if ragged.any():
        at = int(ragged.arg_true()[0])
        raise _ragged(path, kept[PLACE][at], dialect, columns, kept[_LINE][at])
    return cells.select(_null_if_empty(column) for column in columns).with_columns(kept[PLACE])


def _pattern(delimiter: str | None, count: int) -> str:
    if delimiter is None:
        return r"^\s*" + r"\s+".join([r"(\S+)"] * count) + r"\s*$"
    mark = re.escape(delimiter)
    return "^" + mark.join([f"([^{mark}]*)"] * count) + "$"


def _quoted(
    path: Path, dialect: Dialect, columns: Sequence[str], lines: Iterator[tuple[int, str]], after: int
) -> Iterator[pl.DataFrame]:
    """The rest of a file from its first block with a quotation mark on, read by the csv module."""
    records = _csv_records(path, dialect, lines, after)
    while True:
        with _without_collection():
            rows = list(islice(records, ROWS))
            if not rows:
                return
            for place, cells in rows:
                if len(cells) != len(columns):
                    text = (dialect.delimiter or " ").join(cells)
                    raise _ragged(path, place, dialect, columns, text)
            by_column = zip(*(cells for _, cells in rows), strict=True)
            block = pl.DataFrame(dict(zip(columns, by_column, strict=True)), schema=dict.fromkeys(columns, pl.String))
        places = pl.Series(PLACE, [place for place, _ in rows], dtype=pl.UInt32)
        yield block.select(_null_if_empty(column) for column in columns).with_columns(places)


class _Feed:
    """The lines of one record after another; between records it skips comments and blank lines."""

    def __init__(self, dialect: Dialect, lines: Iterator[tuple[int, str]], after: int) -> None:
        self._dialect, self._lines, self._after = dialect, lines, after
        self.begin = after
        """the line on which the record begins"""
        self.within = False
        """whether the record has begun"""

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            if not self.within:
                if number <= self._after or self._dialect.skips(line):
                    continue
                self.begin, self.within = number, True
            plain = self._dialect.without_attributes(line)
            yield plain if self._dialect.delimiter is not None else " ".join(plain.split())


def _csv_records(
    path: Path, dialect: Dialect, lines: Iterator[tuple[int, str]], after: int
) -> Iterator[tuple[int, list[str]]]:
    """Yields the line on which a record begins and its cells."""
    limit = csv.field_size_limit(sys.maxsize)
    feed = _Feed(dialect, lines, after)
    reader = csv.reader(iter(feed), delimiter=dialect.delimiter or " ", strict=True)
    try:
        while True:
            feed.within = False
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DatasetError(f"{path}, line {feed.begin}: {error}") from error
            yield feed.begin, cells
    finally:
        csv.field_size_limit(limit)


def _lines(first: int, text: str, blocks: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines of a block and of those after it, with their ends and numbers."""
    number = first
    for line in io.StringIO(text, newline="\n"):
        yield number, line
        number += 1
    for begin, block in blocks:
        yield from _lines(begin, block, iter(()))


def _ragged(path: Path, place: int, dialect: Dialect, columns: Sequence[str], line: str) -> DatasetError:
    try:
        found = len(dialect.cells(line))
    except csv.Error:
        found = 0
    expected = f"{found} cells where the others have {len(columns)}"
    return DatasetError(f"{path}, line {place}: {expected}, parted by {dialect.name}: {shown(line)}")


def _null_if_empty(column: str) -> pl.Expr:
    cell = column_named(column)
    return pl.when(cell != "").then(cell).alias(column)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Pauses the garbage collector, which looks at every list of a block again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
