"""A table in a CSV file: UTF-8, a header, quoted as in RFC 4180 unless schema.toml says otherwise."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import polars as pl
import structlog

from models.errors import DatasetError
from offline.dataset.table import RECORD, USER_ID, Shape, Table, shown
from offline.dataset.text.blocks import LONGEST, blocks, gathered
from offline.dataset.text.csv_block import CsvLayout, columns_of
from offline.dataset.text.csv_scanner import CsvFaultError, CsvScanner, Record
from offline.dataset.text.settings import CsvSettings, Dialect

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
"""those that are found without being named"""
_NAME_THE_DELIMITER = "name what separates them in schema.toml: delimiter under [csv]"

log = structlog.get_logger(__name__)


class CsvTable(Table):
    """Refuses rows with more or fewer cells than the header, and quotation marks that readers would not agree about.

    Empty lines are left out, and rows without a filled cell. RECORD is the line at which a row begins.
    """

    splits_sets = True

    def __init__(self, path: Path, settings: CsvSettings | None = None) -> None:
        super().__init__(path)
        self._settings = settings or CsvSettings()

    def shapes(self) -> dict[str, Shape]:
        return dict.fromkeys(self._header.cells, Shape.TEXT)

    def has(self, column: str) -> bool:
        return column in self._header.cells

    def require(self, column: str) -> None:
        if not self.has(column):
            named = ", ".join(repr(name) for name in self._header.cells)
            where = f"{self.path}, line {self._header.line}"
            hint = "" if len(self._header.cells) > 1 or column not in named else "; " + _NAME_THE_DELIMITER
            raise DatasetError(f"{where}: the column {column!r} is missing; the header names {named}{hint}")

    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        return pl.concat(self.parts(columns), rechunk=False)

    def parts(self, columns: Sequence[str]) -> Iterator[pl.LazyFrame]:
        return gathered(chain([self._nothing(columns)], self._frames(columns)))

    def locate(self, record: int) -> str:
        return f"{self.path}, line {record}"

    def diagnose(self, error: Exception) -> DatasetError:
        return DatasetError(f"{self.path} cannot be read as CSV: {error}")

    @cached_property
    def _dialect(self) -> Dialect:
        """By the settings; without a delimiter there, the one by which the header names USER_ID."""
        settings = self._settings
        if settings.delimiter is not None:
            return Dialect(settings.delimiter, settings.quote, settings.escape)
        names_tabs = ".tsv" in self.path.suffixes
        known = "\t" if names_tabs else [one for one in DELIMITERS if one not in (settings.quote, settings.escape)]
        choices = [Dialect(one, settings.quote, settings.escape) for one in known]
        found = next((one for one in choices if self._fits(one)), choices[0])
        if found.delimiter != ",":
            log.info("delimiter_found", file=self.path.name, delimiter=DELIMITERS[found.delimiter])
        return found

    def _fits(self, dialect: Dialect) -> bool:
        try:
            return USER_ID in self._first_record(dialect)[0].cells
        except CsvFaultError:
            return False

    def _first_record(self, dialect: Dialect) -> tuple[Record, int]:
        """The first record that is not an empty line, and the bytes before its end. Raises CsvFaultError."""
        text = next(blocks(self.path), b"").decode(errors="surrogateescape")
        for record in CsvScanner(dialect).records(text, 1, final=True):
            if record.cells:
                return record, len(text[: record.end].encode(errors="surrogateescape"))
        raise DatasetError(f"{self.path} is empty: it needs a header line that names its columns")

    @cached_property
    def _header(self) -> Record:
        try:
            header, end = self._first_record(self._dialect)
        except CsvFaultError as fault:
            raise self._refusal(fault, ()) from fault
        where, cells = f"{self.path}, line {header.line}", header.cells
        if not all(_is_text(cell) for cell in cells):
            raw = next(blocks(self.path))[:end]
            raise DatasetError(f"{where}: not UTF-8: {shown(raw)}")
        for number, name in enumerate(cells):
            if not name:
                raise DatasetError(f"{where}: column {number + 1} has no name")
            if name in cells[:number]:
                raise DatasetError(f"{where}: two columns are named {name!r}")
        return header

    def _nothing(self, columns: Sequence[str]) -> pl.DataFrame:
        return pl.DataFrame(schema={RECORD: pl.UInt32} | dict.fromkeys(columns, pl.String))

    def _frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows, block by block: RECORD (UInt32) and the columns as String, null if empty. Raises DatasetError."""
        layout = CsvLayout(self._dialect, self._header.cells)
        scanner = CsvScanner(layout.dialect)
        rest, line, warned = b"", 1, False
        begun = False
        for block, last in _with_last(blocks(self.path)):
            content, final = rest + block, last
            if not begun:
                begun, (_, skipped) = True, self._first_record(layout.dialect)
                line += content.count(b"\n", 0, skipped)
                content = content[skipped:]
            whole = content if content.endswith(b"\n") else content + b"\n"
            found = columns_of(whole, line, layout, columns)
            if found is not None and final and found[1] < len(content):
                found = None  # the rest of the last block is a record that never ends
            if found is None:
                found = self._scanned(scanner, content, line, columns, final=final or len(content) > LONGEST)
            if not warned and layout.dialect.escape is None and b'\\"' in content:
                at = line + content.count(b"\n", 0, content.index(b'\\"'))
                log.warning("backslash_before_quotation_mark", file=self.path.name, line=at, read="as part of the text")
                warned = True
            frame, used = found
            yield frame
            line += content.count(b"\n", 0, used)
            rest = content[used:]

    def _scanned(
        self, scanner: CsvScanner, content: bytes, line: int, columns: Sequence[str], *, final: bool
    ) -> tuple[pl.DataFrame, int]:
        """Like `columns_of`, cell by cell. Raises DatasetError for the first fault."""
        header = self._header.cells
        text, undecodable = _decoded(content)
        lines: list[int] = []
        rows: list[list[str]] = []
        end = 0
        try:
            for record in scanner.records(text, line, final=final and undecodable is None):
                end = record.end
                if not record.cells:
                    continue
                if len(record.cells) != len(header):
                    mismatch = f"{len(record.cells)} cells where the header names {len(header)}"
                    written = scanner.dialect.delimiter.join(record.cells)
                    raise DatasetError(f"{self.path}, line {record.line}: {mismatch}: {shown(written)}")
                if any(record.cells):
                    lines.append(record.line)
                    rows.append(record.cells)
        except CsvFaultError as fault:
            raise self._refusal(fault, header) from fault
        if undecodable is not None:
            raise DatasetError(f"{self.path}, line {line + text.count(chr(10))}: not UTF-8: {shown(undecodable)}")
        places = [header.index(column) for column in columns]
        cells = {column: [row[place] or None for row in rows] for column, place in zip(columns, places, strict=True)}
        schema = {RECORD: pl.UInt32} | dict.fromkeys(columns, pl.String)
        return pl.DataFrame({RECORD: lines} | cells, schema=schema), len(text[:end].encode())

    def _refusal(self, fault: CsvFaultError, header: Sequence[str]) -> DatasetError:
        named = repr(header[fault.column]) if fault.column < len(header) else str(fault.column + 1)
        return DatasetError(f"{self.path}, line {fault.line}, column {named}: {shown(fault.value)} {fault.fault}")


def _decoded(content: bytes) -> tuple[str, bytes | None]:
    """The text of a block; if it is not UTF-8, that of the lines before, and the first line that is not."""
    try:
        return content.decode(), None
    except UnicodeDecodeError as error:
        begin = content.rfind(b"\n", 0, error.start) + 1
        end = content.find(b"\n", error.start) + 1 or len(content)
        return content[:begin].decode(), content[begin:end]


def _is_text(cell: str) -> bool:
    """Whether a text that was decoded with surrogate escapes has none."""
    return not any("\udc80" <= letter <= "\udcff" for letter in cell)


def _with_last(parts: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yields each part with whether it is the last."""
    before: bytes | None = None
    for part in parts:
        if before is not None:
            yield before, False
        before = part
    if before is not None:
        yield before, True
