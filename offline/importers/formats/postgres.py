"""PostgreSQL: tables or queries, read in one read-only transaction with COPY."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from models.errors import DatasetError, PymkError, UsageError
from offline.dataset.table import first_line
from offline.importers.delimited import Dialect, read_records
from offline.importers.formats.tables import ROLES, SourceTable, TableOptions, add_tables, check_map, choose_tables
from offline.importers.json_lists import lists_of
from offline.importers.origin import PLACE, Origin
from offline.importers.sink import Sink

if TYPE_CHECKING:
    from psycopg import Connection

INSTALL = "pip install -c constraints.txt '.[postgres]'"
_TIMEOUT_S = 5
_QUERY = re.compile(r"\s*(select|with|values|table)\b", re.IGNORECASE)
_NAME = re.compile(r'("[^"]+"|[\w$]+)(\.("[^"]+"|[\w$]+))?')
_ONE = "\0one"
"""a column that is filled in every row, since a line without a filled cell is none"""
_PROGRESS = 1 << 24
"""bytes between two reports of progress"""

_BOOL, _BYTEA, _JSON, _JSONB = 16, 17, 114, 3802
_INTEGERS = {20, 21, 23, 26}
_FLOATS = {700, 701}
_DATE, _ZONED = 1082, 1184
_MOMENTS = {_DATE, 1114, _ZONED}
_SHAPES = {600, 601, 602, 603, 604, 628, 718}

_TABLES = """
    SELECT CASE WHEN n.nspname = ANY (current_schemas(false)) THEN c.relname ELSE n.nspname || '.' || c.relname END,
           array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
      AND has_table_privilege(c.oid, 'SELECT')
    GROUP BY 1 ORDER BY 1
"""


def read_postgres(dsn: str, options: TableOptions, staging: Path, sink: Sink) -> None:
    """Adds tables or queries of a database to a sink; `staging` is a directory for copies of tables.

    Raises PymkError if the driver is not installed or the server does not answer, DatasetError for what it says about
    a query, and where tables or columns have to be named.
    """
    check_map(options.columns)
    psycopg = _driver()
    try:
        with psycopg.connect(dsn, connect_timeout=_TIMEOUT_S, application_name="pymk import") as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            sink.as_of = connection.execute("SELECT now()").fetchone()[0]
            tables = _tables(connection, options, staging, sink)
            add_tables(tables, options, sink)
    except psycopg.OperationalError as error:
        raise PymkError(f"PostgreSQL does not answer: {_said(error)}") from error
    except psycopg.ProgrammingError as error:
        raise DatasetError(f"PostgreSQL refuses: {_said(error)}") from error
    except psycopg.Error as error:
        raise DatasetError(f"PostgreSQL stops: {_said(error)}") from error


def _driver() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(f"reading PostgreSQL needs the extra 'postgres': {INSTALL} ({error})") from error
    return psycopg


def _said(error: Exception) -> str:
    """What the server said, without what a connection string may hold."""
    return " ".join(re.sub(r"(password\s*=\s*)\S+", r"\1…", first_line(error)).split())


def _tables(connection: "Connection[Any]", options: TableOptions, staging: Path, sink: Sink) -> dict[str, SourceTable]:
    """The tables by role: those said, or found by their names and columns."""
    queries = {role: said for role, said in options.tables.items() if not _NAME.fullmatch(said.strip())}
    for role, said in queries.items():
        if not _QUERY.match(said):
            raise UsageError(f"--{role} {said!r} is neither a table nor a query, which begins with SELECT or WITH")
    named = {role: said.strip().replace('"', "") for role, said in options.tables.items() if role not in queries}
    found = {name: list(columns) for name, columns in connection.execute(_TABLES).fetchall()}
    chosen: dict[str, str] = {}
    if "connections" not in queries:
        if not options.tables:
            chosen = choose_tables("the database", found, {}, sink)
        else:
            chosen = named if "connections" in named else choose_tables("the database", found, named, sink)
    else:
        chosen = named
    for role, name in chosen.items():
        if name not in found and name.split(".")[-1] not in {known.split(".")[-1] for known in found}:
            choose_tables("the database", found, {role: name}, sink)  # says what there is
    tables = {}
    for role in ROLES:
        if role in queries:
            text = queries[role].strip().rstrip(";")
            tables[role] = _table(connection, f"the query of --{role}", text, staging / f"{role}.csv", sink)
        elif role in chosen:
            parts = '"."'.join(part.replace('"', '""') for part in chosen[role].split("."))
            query = f'SELECT * FROM "{parts}"'  # noqa: S608 - a quoted identifier that the catalogue holds
            tables[role] = _table(connection, chosen[role], query, staging / f"{role}.csv", sink)
    return tables


def _table(connection: "Connection[Any]", name: str, query: str, copy: Path, sink: Sink) -> SourceTable:
    cursor = connection.execute(f"SELECT * FROM ({query}) AS source LIMIT 0")  # noqa: S608
    types = {column.name: column.type_code for column in cursor.description or ()}
    arrays = {
        oid
        for (oid,) in connection.execute(
            "SELECT oid::int8 FROM pg_type WHERE typcategory = 'A' AND oid = ANY (%s)", [list(types.values())]
        )
    }

    def blocks(wanted: Sequence[str]) -> Iterator[tuple[pl.DataFrame, Origin]]:
        readable = [column for column in wanted if types[column] not in _SHAPES | {_BYTEA}]
        for column in wanted:
            if column not in readable:
                sink.report.choose(f"left out: the column {column} of {name}, whose type no kind of column reads")
        cells = ", ".join(_cell(column, types[column], arrays) for column in readable)
        copied = f"COPY (SELECT 1, {cells} FROM ({query}) AS source) TO STDOUT (FORMAT csv)"  # noqa: S608
        _copy(connection, copied, copy, name, sink)
        if not copy.stat().st_size:
            return
        row = 0
        for block in read_records(copy, Dialect(), [_ONE, *readable]):
            places = pl.int_range(row + 1, row + 1 + block.height, dtype=pl.UInt32, eager=True).alias(PLACE)
            row += block.height
            typed = [_typed(block[column], types[column], arrays) for column in readable]
            yield pl.DataFrame([*typed, places]), Origin(name, "row")
        copy.unlink()

    return SourceTable(name, list(types), blocks)


def _copy(connection: "Connection[Any]", query: str, path: Path, name: str, sink: Sink) -> None:
    """Streams the rows of a query to a file."""
    done = reported = 0
    with path.open("wb") as file, connection.cursor().copy(query) as rows:
        for chunk in rows:
            done += file.write(chunk)
            if done - reported > _PROGRESS:
                sink.progress(f"copying {name}", done, None)
                reported = done
    sink.progress(f"copying {name}", done, done)


def _cell(column: str, oid: int, arrays: set[int]) -> str:
    """A column as the text that COPY writes: moments as ISO 8601, without infinity; arrays as JSON."""
    escaped = column.replace('"', '""')
    quoted = f'"{escaped}"'
    if oid in _MOMENTS:
        form = "YYYY-MM-DD" if oid == _DATE else 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
        moment = f"{quoted} AT TIME ZONE 'UTC'" if oid == _ZONED else quoted
        years = f"extract(year FROM {moment}) BETWEEN 1 AND 9999"
        written = f"CASE WHEN {years} THEN to_char({moment}, '{form}') ELSE {quoted}::text END"
        return f"CASE WHEN isfinite({quoted}) THEN {written} END"
    if oid in arrays:
        return f"to_json({quoted})::text"
    return f"{quoted}::text"


def _typed(cells: pl.Series, oid: int, arrays: set[int]) -> pl.Series:
    if oid in _INTEGERS:
        return cells.cast(pl.Int64)
    if oid in _FLOATS:
        return cells.cast(pl.Float64)
    if oid == _BOOL:
        return (cells == "true").alias(cells.name)
    return lists_of(cells) if oid in arrays or oid in (_JSON, _JSONB) else cells
