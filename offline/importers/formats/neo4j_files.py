"""The CSV files of a Neo4j dump: which header belongs to which file."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.errors import DatasetError
from offline.importers.delimited import Dialect, read_records
from offline.importers.formats.neo4j_header import Header, is_header, parse_header
from offline.importers.origin import Origin
from offline.importers.source_text import Progress, first_lines

_SUFFIXES = re.compile(r"\.(csv|tsv|txt)(\.(gz|zst|bz2|xz))?$", re.IGNORECASE)
_HEADER_WORD = re.compile(r"[-_.]?headers?[-_.]?", re.IGNORECASE)
_PART = re.compile(r"([-_.]?(part)?[-_.]?\d+)+$", re.IGNORECASE)
_DELIMITERS = (",", "\t", "|", ";")


@dataclass(frozen=True)
class CsvFile:
    """One file of records, with the header that describes it."""

    path: Path
    header: Header
    dialect: Dialect
    after: int
    """1 if its first line is the header, else 0"""

    @property
    def origin(self) -> Origin:
        return Origin(str(self.path))

    @property
    def stem(self) -> str:
        """The name without endings and numbers of parts."""
        return _PART.sub("", _SUFFIXES.sub("", self.path.name))

    def blocks(self, progress: Progress) -> Iterator[pl.DataFrame]:
        """The records under the header's raw names, as `read_records` yields them."""
        names = [field.raw for field in self.header.fields]
        yield from read_records(self.path, self.dialect, names, after=self.after, progress=progress)


def find_files(source: Path, delimiter: str | None) -> list[CsvFile]:
    """The files of a dump, which is a folder of CSV files or one of them.

    Raises DatasetError for a file without a header, or a folder without CSV files.
    """
    paths = [source]
    if source.is_dir():
        named = [path for path in source.rglob("*") if path.is_file() and _SUFFIXES.search(path.name)]
        paths = sorted(path for path in named if not path.name.startswith((".", "_")))
    if not paths:
        raise DatasetError(f"{source} holds no CSV file; neo4j-admin and apoc.export.csv write such")
    first = {path: (first_lines(path, 1) or [""])[0] for path in paths}
    headers: dict[Path, tuple[Dialect, Header]] = {}
    for path, line in first.items():
        if found := _header(path, line, delimiter):
            headers[path] = found
    alone = {path for path in headers if _HEADER_WORD.search(_SUFFIXES.sub("", path.name)) and _is_one_line(path)}
    files = []
    for path in paths:
        if path in headers and path not in alone:
            dialect, header = headers[path]
            files.append(CsvFile(path, header, dialect, after=1))
    for path in paths:
        if path in headers or not first[path].strip():
            continue
        beside = _header_beside(path, alone)
        if beside is None:
            stem = _PART.sub("", _SUFFIXES.sub("", path.name))
            raise DatasetError(
                f"{path}, line 1: no header: {first[path][:80]!r}. A header names :ID, or :START_ID and :END_ID, in "
                f"the first line or in a file such as {stem}_header.csv beside it"
            )
        dialect, header = headers[beside]
        files.append(CsvFile(path, header, dialect, after=0))
    return files


def _header(path: Path, line: str, given: str | None) -> tuple[Dialect, Header] | None:
    for delimiter in [given] if given else _DELIMITERS:
        dialect = Dialect(delimiter)
        try:
            cells = dialect.cells(line)
        except csv.Error:
            continue
        if is_header(cells) and (len(cells) > 1 or not any(mark in line for mark in _DELIMITERS)):
            return dialect, parse_header(path, cells)
    return None


def _is_one_line(path: Path) -> bool:
    return len([line for line in first_lines(path, 3) if line.strip()]) == 1


def _header_beside(path: Path, headers: set[Path]) -> Path | None:
    """The header file of a data file: the same name with the word header in it."""
    stem = _PART.sub("", _SUFFIXES.sub("", path.name)).lower()
    for header in sorted(headers):
        named = _HEADER_WORD.sub("", _SUFFIXES.sub("", header.name)).lower()
        if header.parent == path.parent and _PART.sub("", named) == stem:
            return header
    return None
