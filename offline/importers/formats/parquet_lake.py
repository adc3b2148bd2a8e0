"""Parquet files of a data lake: a folder of tables, each a file or a folder of files, with Hive partitions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from models.errors import DatasetError
from offline.dataset.parquet_table import ParquetTable
from offline.dataset.table import RECORD, Shape, column_named, first_line
from offline.dataset.table_files import TableFile, every_file
from offline.importers.formats.tables import SourceTable, TableOptions, add_tables, check_map, choose_tables
from offline.importers.origin import PLACE, Origin
from offline.importers.sink import Sink

_ROWS = 1_000_000
"""rows of a block"""


def read_lake(source: Path, options: TableOptions, sink: Sink) -> None:
    """Adds the tables of a file or folder to a sink.

    Raises DatasetError for an unreadable file, a table format that keeps removed rows in its files, or where tables or
    columns have to be named.
    """
    check_map(options.columns)
    files = _tables(source)
    columns = {name: list(_columns(paths)) for name, paths in files.items()}
    chosen = choose_tables(str(source), columns, options.tables, sink)
    tables = {role: _table(name, columns[name], files[name], sink) for role, name in chosen.items()}
    add_tables(tables, options, sink)


def _tables(source: Path) -> dict[str, list[TableFile]]:
    """The files of every table: a file or a folder of `source`, or `source` itself."""
    if source.is_file():
        return {source.stem: [TableFile(source, {})]}
    for path in source.rglob("_delta_log"):
        raise DatasetError(
            f"{path.parent} is a Delta table, whose files hold removed rows too; write its current rows as Parquet "
            "first"
        )
    found: dict[str, list[TableFile]] = {}
    for file in every_file(source):
        if file.path.suffix == ".parquet":
            entry = source / file.path.relative_to(source).parts[0]
            found.setdefault(entry.name if entry.is_dir() else entry.stem, []).append(file)
    for name in found:
        if any(path.suffix == ".avro" for path in (source / name).rglob("metadata/*")):
            raise DatasetError(
                f"{source / name} is an Iceberg table, whose files hold removed rows too; write its current rows as "
                "Parquet first"
            )
    if not found:
        raise DatasetError(f"{source} holds no Parquet file")
    partitions = all("=" in name for name in found)
    if len(found) > 1 and (partitions or _same_columns(found)):
        return {source.name: [file for files in found.values() for file in files]}
    return {source.name: next(iter(found.values()))} if partitions else found


def _same_columns(found: Mapping[str, Sequence[TableFile]]) -> bool:
    """Whether all files are parts of one table, such as part-0000.parquet."""
    columns = [set(_columns(files[:1])) for files in found.values()]
    return all(one == columns[0] for one in columns)


def _schema(path: Path) -> pl.Schema:
    try:
        return pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as Parquet: {first_line(error)}") from error


def _columns(files: Sequence[TableFile]) -> dict[str, None]:
    """The columns of all files and of the names of their folders, in their order."""
    columns: dict[str, None] = {}
    for file in files:
        own = _schema(file.path)
        for column in file.partitions.keys() & own.keys():
            both = f"is in the file, and {file.partitions[column]!r} in the name of a folder above it; keep one"
            raise DatasetError(f"{file.path}, column {column!r}: {both}")
        columns |= dict.fromkeys([*own, *file.partitions])
    return columns


def _table(name: str, columns: Sequence[str], files: Sequence[TableFile], sink: Sink) -> SourceTable:
    def blocks(wanted: Sequence[str]) -> Iterator[tuple[pl.DataFrame, Origin]]:
        for number, file in enumerate(files):
            sink.progress(f"reading {name}", number, len(files))
            for block in _blocks(file, wanted, sink):
                yield block, Origin(str(file.path), "row")
        sink.progress(f"reading {name}", len(files), len(files))

    return SourceTable(name, columns, blocks)


def _blocks(file: TableFile, wanted: Sequence[str], sink: Sink) -> Iterator[pl.DataFrame]:
    """The wanted columns and PLACE: numbers and booleans as they are, all else as a dataset's reader has it."""
    schema, table = _schema(file.path), ParquetTable(file.path, ids=())
    plain, written, missing = [], [], []
    for column in wanted:
        if column not in schema:
            missing.append(pl.lit(file.partitions.get(column) or None).alias(column))
        elif _is_plain(schema[column]):
            plain.append(column)
        elif table.shapes()[column] is not Shape.OTHER:
            written.append(column)
        else:
            sink.report.choose(f"left out: the column {column}, whose type {schema[column]} no kind of column reads")
    scan = pl.scan_parquet(file.path, glob=False, hive_partitioning=False)
    kept = [column for column in wanted if column in plain or column in written or column not in schema]
    rows = table.collect(table.rows([]).select(pl.len())).item()
    for offset in range(0, rows, _ROWS):
        texts = table.collect(table.rows(written).slice(offset, _ROWS))
        numbers = table.collect(scan.select(map(column_named, plain)).slice(offset, _ROWS))
        places = (pl.col(RECORD) + 1).cast(pl.UInt32).alias(PLACE)
        block = pl.concat([texts, numbers], how="horizontal").with_columns(places, *missing)
        yield block.select(*map(column_named, kept), PLACE)


def _is_plain(dtype: pl.DataType) -> bool:
    numeric = dtype.is_numeric() and not isinstance(dtype, pl.Decimal)
    return numeric or isinstance(dtype, (pl.String, pl.Boolean, pl.Null))
