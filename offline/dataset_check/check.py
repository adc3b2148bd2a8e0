"""The whole check of a dataset directory."""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from models.schema.columns import CREATED_AT_COLUMN
from models.schema.event_kinds import EventKind
from offline.dataset.pairs import AT, KIND
from offline.dataset.reader import read_dataset
from offline.dataset.schema import SCHEMA_FILE, read_schema
from offline.dataset.table import OTHER_ID, USER_ID, Table
from offline.dataset.table_files import find_table
from offline.dataset_check.columns import USERS, ColumnSummary, iso, summarise_users, user_findings
from offline.dataset_check.findings import Finding, warning
from offline.dataset_check.graph import CONNECTIONS, INTERACTIONS, GraphSummary, check_graph


@dataclass(frozen=True)
class TableSummary:
    """One table."""

    table: str
    file: str
    rows: int


@dataclass(frozen=True)
class DatasetCheck:
    """What a dataset holds, and what looks odd in it."""

    data: str
    as_of: str
    """moment of the export, ISO 8601"""
    as_of_from: str
    """`schema.toml`, or `now`, the start of the check"""
    tables: list[TableSummary]
    columns: list[ColumnSummary]
    graph: GraphSummary
    findings: list[Finding]
    """warnings first"""

    def as_json(self) -> dict[str, Any]:
        """The document that `pymk check --json` prints."""
        return {"data": self.data, "ok": True, "refusal": None, **asdict(self)}


def check_dataset(directory: Path, *, started_at: dt.datetime) -> DatasetCheck:
    """Reads and checks a whole dataset directory; writes nothing. Raises DatasetError as a night does."""
    dataset = read_dataset(directory, started_at=started_at)
    schema = read_schema(directory / SCHEMA_FILE)
    people, pairs, events = (find_table(directory, name, schema) for name in (USERS, CONNECTIONS, INTERACTIONS))
    tables: list[TableSummary] = []
    columns: list[ColumnSummary] = []
    if people is not None:
        tables.append(TableSummary(USERS, people.path.name, dataset.users.frame.height + dataset.users.duplicates))
        columns += summarise_users(dataset, people, schema.kinds)
    for name, table, frame in ((CONNECTIONS, pairs, dataset.connections), (INTERACTIONS, events, dataset.interactions)):
        if table is not None:
            tables.append(TableSummary(name, table.path.name, frame.height))
            columns += _pair_columns(name, table, frame)
    graph, odd = check_graph(dataset)
    findings = [*user_findings(dataset), *odd, *_passed_over(columns)]
    findings.sort(key=lambda finding: finding.severity.value, reverse=True)
    origin = "schema.toml" if dataset.is_dated else "now"
    return DatasetCheck(str(directory), iso(dataset.as_of), origin, tables, columns, graph, findings)


def _pair_columns(name: str, table: Table, frame: pl.DataFrame) -> Iterator[ColumnSummary]:
    """The columns of connections or interactions."""
    taken = {USER_ID: "id", OTHER_ID: "id", CREATED_AT_COLUMN: "timestamp", KIND: "event kind", AT: "timestamp"}
    for column in table.shapes():
        if column not in frame.columns or column not in taken:
            yield ColumnSummary(name, column, "ignore", f"not read: {name} has no column of this name")
            continue
        cells = frame[column]
        filled = cells.drop_nulls()
        example = None if filled.is_empty() else _example(column, filled[0])
        empty = cells.null_count()
        yield ColumnSummary(
            name, column, taken[column], "its name", len(cells) - empty, empty, filled.n_unique(), example
        )


def _passed_over(columns: Sequence[ColumnSummary]) -> Iterator[Finding]:
    """A column of dates that is not read, for its name has capitals or other marks."""
    read = {(one.table, one.column) for one in columns if one.filled is not None}
    for one in columns:
        letters = re.sub(r"[^a-z]", "", one.column.lower())
        dates = letters == "createdat" and (one.table, CREATED_AT_COLUMN) not in read
        if one.table == CONNECTIONS and one.filled is None and dates:
            sentence = f"{one.column!r} is not read: call it {CREATED_AT_COLUMN} if it is the date of the friendship"
            yield warning("misspelt_column", one.table, one.column, 1, sentence)


def _example(column: str, cell: Any) -> str:
    if column == KIND:
        return EventKind(cell).word
    return iso(cell) if column in (CREATED_AT_COLUMN, AT) else str(cell)
