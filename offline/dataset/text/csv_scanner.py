"""The cells of CSV text one after the other: as the csv module reads it if strict, with a fault where that guesses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from offline.dataset.text.settings import Dialect

NULL_MARK = "N"
"""after the escape character, as a whole cell without quotation marks: no value, as databases write it"""


@dataclass
class CsvFaultError(Exception):
    """A record that readers of CSV would not agree about."""

    line: int
    """at which the cell begins, from 1"""
    column: int
    """from 0"""
    value: str
    """the cell as it is written, up to the next delimiter or line end"""
    fault: str


@dataclass(frozen=True)
class Record:
    """One record of a file."""

    line: int
    """where it begins, from 1"""
    cells: list[str]
    """empty if the line is"""
    end: int
    """the position in the text after it"""


class CsvScanner:
    """Reads records by the rules of one dialect.

    A line ends in LF, in CR LF, or in CR CR LF as programs write by mistake. Between quotation marks these are text.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def records(self, text: str, line: int, *, final: bool) -> Iterator[Record]:
        """Yields the records of a text that begins at a line of the file.

        The text ends in a line end or is the last of the file. A record that may go on in the next text is left out,
        unless it is the last. Raises CsvFaultError.
        """
        start = 0
        while start < len(text):
            record = self._record(text, start, line, final=final)
            if record is None:
                return
            yield record
            line += text.count("\n", start, record.end)
            start = record.end

    def _record(self, text: str, start: int, line: int, *, final: bool) -> Record | None:
        """The record that begins at a position; None if the text ends inside quotation marks and is not the last."""
        cells: list[str] = []
        begin, here = start, line
        while True:
            quoted = self.dialect.quote is not None and text.startswith(self.dialect.quote, begin)
            found = (self._quoted if quoted else self._bare).match(text, begin)
            if found is None:
                if not final:
                    return None
                raise self._fault(text, begin, here, len(cells), "begins with a quotation mark that is never closed")
            cell = self._unescaped(found[1]) if quoted else self._of_bare(text, found, here, len(cells))
            if "\0" in cell:
                raise CsvFaultError(here, len(cells), cell, "contains U+0000")
            end = found.end()
            if text.startswith(self.dialect.delimiter, end):
                cells.append(cell)
                here += text.count("\n", begin, end)
                begin = end + 1
                continue
            ended = self._line_end.match(text, end)
            if ended is None:
                raise self._fault(text, begin, here, len(cells), self._after_cell(text, end))
            if not final and not ended[0].endswith("\n"):
                return None  # an escaped line end
            return Record(line, [] if ended.start() == start else [*cells, cell], ended.end())

    def _of_bare(self, text: str, found: re.Match[str], line: int, column: int) -> str:
        """The cell that stands without quotation marks. Raises CsvFaultError if it has one."""
        written: str = found[0]
        quote, escape = self.dialect.quote, self.dialect.escape
        if escape is None:
            if quote and quote in written:
                hint = 'quote the cell and double the mark, or write quote = "" under [csv] in schema.toml'
                fault = f"has a quotation mark and is not quoted: {hint} if no cell of the file is quoted"
                raise self._fault(text, found.start(), line, column, fault)
            return written
        if written == escape + NULL_MARK:
            return written
        if quote and quote in self._escaped.sub("", written):
            raise self._fault(
                text, found.start(), line, column, "has a quotation mark that is neither escaped nor around the cell"
            )
        return self._escaped.sub(r"\1", written)

    def _unescaped(self, inside: str) -> str:
        """The text of a quoted cell."""
        quote = self.dialect.quote or ""
        if self.dialect.escape is None:
            return inside.replace(quote * 2, quote)
        return self._doubled_or_escaped.sub(lambda found: found[1] or quote, inside)

    def _after_cell(self, text: str, at: int) -> str:
        if text.startswith("\r", at):
            return "is followed by a carriage return that ends no line: lines end in LF or CR LF"
        if self.dialect.escape is None:
            hint = 'schema.toml names the character that escapes it: escape = "\\\\" under [csv]'
            return f"goes on after its closing quotation mark: inside quotes a mark is doubled, or {hint}"
        if text.startswith(self.dialect.escape, at):
            return "ends in an escape character"
        return "goes on after its closing quotation mark"

    def _fault(self, text: str, at: int, line: int, column: int, fault: str) -> CsvFaultError:
        ends = re.compile(f"[{re.escape(self.dialect.delimiter)}\r\n]|$")
        quoted = self._quoted.match(text, at) if self.dialect.quote else None
        found = ends.search(text, quoted.end() if quoted else at)
        return CsvFaultError(line, column, text[at : found.start() if found else len(text)], fault)

    @cached_property
    def _quoted(self) -> re.Pattern[str]:
        quote, escape = re.escape(self.dialect.quote or ""), re.escape(self.dialect.escape or "")
        escaped = f"|{escape}." if escape else ""
        inside = f"[^{quote}{escape}]*+(?:(?:{quote}{quote}{escaped})[^{quote}{escape}]*+)*+"
        return re.compile(f"{quote}({inside}){quote}", re.DOTALL)

    @cached_property
    def _bare(self) -> re.Pattern[str]:
        delimiter, escape = re.escape(self.dialect.delimiter), re.escape(self.dialect.escape or "")
        if not escape:
            return re.compile(f"[^{delimiter}\r\n]*+")
        return re.compile(f"(?:[^{delimiter}{escape}\r\n]|{escape}.)*+", re.DOTALL)

    @cached_property
    def _escaped(self) -> re.Pattern[str]:
        return re.compile(f"{re.escape(self.dialect.escape or '')}(.)", re.DOTALL)

    @cached_property
    def _doubled_or_escaped(self) -> re.Pattern[str]:
        quote, escape = re.escape(self.dialect.quote or ""), re.escape(self.dialect.escape or "")
        return re.compile(f"{quote}{quote}|{escape}(.)", re.DOTALL)

    _line_end = re.compile("\r*+(?:\n|\\Z)")
