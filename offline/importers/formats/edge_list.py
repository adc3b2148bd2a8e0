"""Edge lists: one edge a line, as SNAP, KONECT, Network Repository and spreadsheets write them."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from models.errors import DatasetError, UsageError
from models.schema.columns import CREATED_AT_COLUMN
from offline.dataset.table import OTHER_ID, USER_ID, column_named, shown
from offline.importers.cells import look_like_moments, moments, numbers
from offline.importers.column_names import PAIR_FIELDS, WEIGHT, ColumnMap, created_of, ends_of, weight_of
from offline.importers.delimited import LONE_RETURN, RETURN_FAULT, Dialect, read_records
from offline.importers.formats.tables import (
    Conditions,
    SourceTable,
    TableOptions,
    add_users,
    require_one,
    status_of,
)
from offline.importers.origin import PLACE, Origin
from offline.importers.sink import Sink
from offline.importers.source_text import first_lines, opened

COMMENTS = ("#", "%")
_SAMPLE = 200
"""lines that decide the dialect"""
_DELIMITERS = {"tab": "\t", "space": None, "comma": ",", "semicolon": ";", "bar": "|"}
_OTHER_FORMATS = {b"<graphml": "graphml", b"<gexf": "gexf"}
_UNREAD = {b"<": "XML or HTML", b"PK\x03\x04": "a zip archive", b"{": "JSON", b"[": "JSON", b"graph [": "GML"}
_UNREAD |= {b"Creator ": "GML", b"*Vertices": "Pajek", b"*vertices": "Pajek"}
_ADJACENCY_WIDTHS = 4
"""different lengths of lines from which a file is no edge list"""
_MATRIX_MARKET = "%%MatrixMarket"


@dataclass(frozen=True)
class EdgeOptions:
    """What the command says about an edge list."""

    columns: ColumnMap = field(default_factory=ColumnMap)
    delimiter: str | None = None
    """`tab`, `space`, `comma`, `semicolon`, `bar` or one character; None: found"""
    header: bool | None = None
    """whether the first record names the columns; None: found"""
    min_weight: float | None = None
    where: Conditions = field(default_factory=Conditions)
    """which records are friendships"""
    users: Path | None = None
    """a file of people with their profile columns"""


@dataclass(frozen=True)
class _Layout:
    dialect: Dialect
    columns: list[str]
    """names, or numbers from 1 where the file names none"""
    named: bool
    after: int
    """last line before the first edge"""
    directed_by: str | None
    first: list[str]
    """the cells of the first record, which may be the header"""
    sample: list[list[str]]

    def cells(self, column: str) -> pl.Series:
        """The filled cells of a column in the sample."""
        at = self.columns.index(column)
        return pl.Series([row[at] for row in self.sample if row[at : at + 1] not in ([], [""])], dtype=pl.String)


def read_edges(path: Path, options: EdgeOptions, sink: Sink) -> None:
    """Adds the edges of a file, or of every file of a folder, to a sink.

    Raises DatasetError for a file that is no edge list, or whose columns have to be named.
    """
    inside = sorted(path.iterdir()) if path.is_dir() else []
    paths = [one for one in inside if one.is_file() and not one.name.startswith((".", "_"))] or [path]
    if paths == [path] and path.is_dir():
        raise DatasetError(f"{path} holds no files")
    if options.users is not None:
        table = _people(options.users, sink)
        add_users(table, TableOptions(columns=options.columns), sink)
    for one in paths:
        _read_file(one, options, sink)


def _read_file(path: Path, options: EdgeOptions, sink: Sink) -> None:
    layout = _layout(path, options)
    first, second = _ends(path, layout, options.columns)
    created, weight = _extras(path, layout, options, {first, second}, sink)
    options.where.check(layout.columns, str(path))
    status = status_of(layout.columns, options.where)
    _first_line(layout, options, sink)
    sink.friendships.directed_by = sink.friendships.directed_by or layout.directed_by
    origin = Origin(str(path))
    names = (first, second)
    for block in read_records(path, layout.dialect, layout.columns, after=layout.after, progress=sink.progress):
        sink.report.count("edges", block.height)
        if status:
            require_one(block, status, str(path))
        kept = options.where.kept(block, origin, sink)
        ends = [
            column_named(first).str.strip_chars().alias(USER_ID),
            column_named(second).str.strip_chars().alias(OTHER_ID),
        ]
        edges = kept.select(PLACE, *ends)
        if created:
            edges = edges.with_columns(moments(kept, created, origin).alias(CREATED_AT_COLUMN))
        if weight and options.min_weight is not None:
            edges = _heavy(kept, edges, weight, options.min_weight, origin, sink)
        sink.friendships.add(edges, origin, names)


def _people(path: Path, sink: Sink) -> SourceTable:
    """The table of a delimited file whose first line names its columns."""
    lines = [line for line in first_lines(path, _SAMPLE) if line.strip()]
    if not lines:
        raise DatasetError(f"{path} is empty: its first line names its columns")
    dialect = replace(dialect_of(lines, None), comments=())
    columns = _distinct(path, [cell or str(at) for at, cell in enumerate(dialect.cells(lines[0]), start=1)])

    def blocks(wanted: Sequence[str]) -> Iterator[tuple[pl.DataFrame, Origin]]:
        for block in read_records(path, dialect, columns, after=1, progress=sink.progress):
            yield block.select(*map(column_named, wanted), PLACE), Origin(str(path))

    return SourceTable(path.name, columns, blocks)


def _heavy(
    block: pl.DataFrame, edges: pl.DataFrame, weight: str, least: float, origin: Origin, sink: Sink
) -> pl.DataFrame:
    """The edges of at least this weight; reports the others."""
    values = numbers(block, weight, origin, pl.Float64(), "is not a number")
    light = (values < least).fill_null(value=True)
    if light.any():
        at = int(light.arg_true()[0])
        example = f"{edges[USER_ID][at]!r} and {edges[OTHER_ID][at]!r} ({origin.at(block[PLACE][at])})"
        sink.report.drop(f"edges whose {weight!r} is below {least:g}, or empty", int(light.sum()), example)
    return edges.filter(~light)


def _layout(path: Path, options: EdgeOptions) -> _Layout:
    """How a file is written. Raises DatasetError if it holds no edge, or lines of different lengths."""
    _require_lines(path)
    lines = first_lines(path, _SAMPLE)
    comments = [line.strip() for line in lines if line.lstrip().startswith(COMMENTS)]
    rows = [
        (number, line)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith(COMMENTS)
    ]
    matrix = comments[0].split() if comments and comments[0].startswith(_MATRIX_MARKET) else []
    skipped = rows[:1] if matrix else []  # the size of a matrix
    rows = rows[len(skipped) :]
    if not rows:
        raise DatasetError(f"{path} holds no edge: only comments and blank lines")
    for number, line in rows:
        if "\0" in line:
            raise DatasetError(f"{path}, line {number}: {shown(line)} is no text; an edge list has one edge a line")
        if '"' not in line and re.search(LONE_RETURN, line):
            raise DatasetError(f"{path}, line {number}: {shown(line)} {RETURN_FAULT}")
    dialect = dialect_of([line for _, line in rows], options.delimiter)
    sample = [_cells(path, number, dialect, line) for number, line in rows]
    width = len(sample[0])
    widths = sorted({len(row) for row in sample})
    if len(widths) >= _ADJACENCY_WIDTHS:
        raise DatasetError(
            f"{path}: lines of {widths[0]} to {widths[-1]} cells: an adjacency list? An edge list has one edge a line"
        )
    if width < 2:  # the two ends of an edge
        raise DatasetError(f"{path}, line {rows[0][0]}: one cell, and an edge has two ends: {rows[0][1][:80]!r}")
    header = _has_header(sample, options) if options.header is None else options.header
    after = max((number for number, _ in skipped), default=0)
    if header:
        names = [cell or str(at) for at, cell in enumerate(sample[0], start=1)]
        return _Layout(
            dialect, _distinct(path, names), True, rows[0][0], _directed_by(comments, matrix), sample[0], sample[1:]
        )
    names = _commented_names(comments, dialect, width) or [str(at) for at in range(1, width + 1)]
    return _Layout(dialect, names, not names[0].isdigit(), after, _directed_by(comments, matrix), sample[0], sample)


def delimiter_of(given: str) -> str | None:
    """What `--delimiter` names; None for spaces. Raises UsageError for more than one character."""
    delimiter = _DELIMITERS.get(given, given)
    if delimiter is not None and len(delimiter) != 1:
        raise UsageError(f"--delimiter {given}: one of {', '.join(_DELIMITERS)}, or one character")
    return delimiter


def _require_lines(path: Path) -> None:
    """Raises DatasetError for a file in a format that is no text of lines, naming the command that reads it."""
    with opened(path) as file:
        begin = file.read(200).removeprefix(b"\xef\xbb\xbf").lstrip()
    language = next((name for mark, name in _OTHER_FORMATS.items() if mark in begin), None)
    if begin.startswith(b"<") and language:
        raise DatasetError(f"{path} is {language}: pymk import {language} reads it")
    if begin.startswith(b"PAR1"):
        raise DatasetError(f"{path} is Parquet: pymk import parquet reads it")
    what = next((name for mark, name in _UNREAD.items() if begin.startswith(mark)), None)
    if what:
        raise DatasetError(f"{path} is {what}, and no edge list: one edge a line, two people in it")


def dialect_of(lines: Sequence[str], given: str | None) -> Dialect:
    """The dialect of some lines, all of them records; `given` is the delimiter, if it was said."""
    attributed = all(line.rstrip().endswith("}") and "{" in line for line in lines)
    if given is not None:
        return Dialect(delimiter_of(given), COMMENTS, attributed)
    for delimiter in ("\t", ",", ";", "|", None):
        dialect = Dialect(delimiter, COMMENTS, attributed)
        try:
            rows = [dialect.cells(line) for line in lines]
        except csv.Error:
            continue
        widths = {len(row) for row in rows}
        spaced = delimiter == "\t" and all(_several_numbers(row[0]) for row in rows)
        if len(widths) == 1 and widths.pop() > 1 and not spaced:
            return dialect
    return Dialect(_most_used(lines), COMMENTS, attributed)


def _most_used(lines: Sequence[str]) -> str | None:
    """The delimiter of lines of different lengths: that of the first, so that the odd line is refused."""
    return next((delimiter for delimiter in ("\t", ",", ";", "|") if delimiter in lines[0]), None)


def _several_numbers(cell: str) -> bool:
    """Whether a cell holds numbers parted by spaces: KONECT parts the ends by a space and the rest by a tab."""
    parts = cell.split()
    return len(parts) > 1 and all(part.isdigit() for part in parts)


def _cells(path: Path, number: int, dialect: Dialect, line: str) -> list[str]:
    try:
        return dialect.cells(line)
    except csv.Error:  # a cell with a line break: the reader of all records decides
        return []


def _has_header(sample: list[list[str]], options: EdgeOptions) -> bool:
    """Whether the first record names columns: by known names, by those of `--map`, or as text above numbers."""
    first, rest = sample[0], sample[1:]
    ends = ends_of(first)
    if ends is not None and min(map(len, ends)) > 1:  # a and b, or u and v, may be people
        return True
    if any(column in first and not column.isdigit() for column in options.columns.columns.values()):
        return True
    numeric = [at for at in range(len(first)) if rest and all(len(row) > at and _number(row[at]) for row in rest)]
    return any(first[at] and not _number(first[at]) for at in numeric)


def _first_line(layout: _Layout, options: EdgeOptions, sink: Sink) -> None:
    """Reports what the first record was taken for, where it may be otherwise."""
    if options.header is not None:
        return
    header = layout.first
    if layout.sample and layout.named and layout.sample[0] != header:
        sink.report.choose(f"the first line names the columns: {', '.join(header)}; --no-header takes it as an edge")
    elif not layout.named:
        later = {cell for row in layout.sample[1:] for cell in row}
        if not any(_number(cell) or cell in later for cell in header):
            first = " and ".join(map(repr, header[:2]))
            sink.report.choose(f"the first line, {first}, as an edge; --header if it names the columns")


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _commented_names(comments: Sequence[str], dialect: Dialect, width: int) -> list[str] | None:
    """The names in the last comment, as SNAP writes `# FromNodeId	ToNodeId`."""
    if not comments:
        return None
    names = replace(dialect, comments=()).cells(comments[-1].lstrip("#% "))
    return names if len(names) == width and len(set(names)) == width and ends_of(names) else None


def _directed_by(comments: Sequence[str], matrix: Sequence[str]) -> str | None:
    """What says that edges are directed, or None. Raises DatasetError for edges between two kinds of things."""
    for comment in comments:
        words = [word.strip(":,.").lower() for word in comment.lstrip("#% ").split()]
        if words[:2] == ["directed", "graph"] or words[:1] == ["asym"]:
            return f"the file says {comment!r}"
        if words[:1] == ["bip"]:
            raise DatasetError(f"{comment!r} says that the edges join two kinds of things, not people with people")
    return "the file says 'general'" if "general" in matrix else None


def _ends(path: Path, layout: _Layout, columns: ColumnMap) -> tuple[str, str]:
    """The columns of the two ends. Raises DatasetError if nobody can know them."""
    place = str(path)
    first, second = (columns.find(name, layout.columns, place) for name in (USER_ID, OTHER_ID))
    guessed = ends_of(layout.columns)
    if not guessed and (len(layout.columns) == 2 or (not layout.named and len(layout.columns) <= len(PAIR_FIELDS))):
        guessed = (layout.columns[0], layout.columns[1])
    if first and second:
        if first == second:
            raise DatasetError(f"--map says {first!r} for both ends of an edge")
        return first, second
    if guessed and not first and not second:
        return guessed
    found = ", ".join(f"{at} {name!r}" if layout.named else name for at, name in enumerate(layout.columns, start=1))
    example = " ".join(layout.sample[0]) if layout.sample else ""
    raise DatasetError(
        f"{path}: which two columns are the people? It has the columns {found} (first: {example[:80]!r}). "
        f"Say --map user_id={layout.columns[0]} --map other_id={layout.columns[1]}, by name or number"
    )


def _extras(
    path: Path, layout: _Layout, options: EdgeOptions, ends: set[str], sink: Sink
) -> tuple[str | None, str | None]:
    """The columns of dates and weights, or None; reports the guesses and what is left out."""
    left = [column for column in layout.columns if column not in ends]
    created = options.columns.find(CREATED_AT_COLUMN, layout.columns, str(path))
    weight = options.columns.find(WEIGHT, layout.columns, str(path))
    if created is None:
        named = created_of(left)
        likely = [column for column in ([named] if named else [] if layout.named else left) if column != weight]
        created = next((column for column in likely if look_like_moments(layout.cells(column))), None)
        if created:
            sink.report.choose(f"column {created} as the date of the friendship; --map created_at= leaves it out")
    if weight is None and [column for column in left if column != created]:
        weight = weight_of(left) or (None if layout.named else next(one for one in left if one != created))
        if weight and options.min_weight is None:
            sink.report.choose(f"column {weight} is a weight and left out; --min-weight W keeps edges from W on")
    if options.min_weight is not None and not weight:
        raise DatasetError(f"{path} has no column of weights for --min-weight; say --map weight=COLUMN")
    out = [column for column in left if column not in (created, weight, *options.where.values)]
    if out:
        sink.report.choose(f"left out: the columns {', '.join(out)}")
    return created or None, weight or None


def _distinct(path: Path, names: list[str]) -> list[str]:
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise DatasetError(f"{path}: two columns are named {twice!r}")
    return names
