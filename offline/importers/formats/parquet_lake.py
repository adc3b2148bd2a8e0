"""Parquet files of a data lake: a folder of tables, each a file or a folder of files, with Hive partitions."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from models.errors import DatasetError
from offline.dataset.table import column_named, first_line
from offline.importers.formats.tables import SourceTable, TableOptions, add_tables, check_map, choose_tables
from offline.importers.origin import PLACE, Origin
from offline.importers.sink import Sink

_ROWS = 1_000_000
"""rows of a block"""
_EXACT = 2.0**53


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


def _tables(source: Path) -> dict[str, list[Path]]:
    """The files of every table: a file or a folder of `source`, or `source` itself."""
    if source.is_file():
        return {source.stem: [source]}
    for path in source.rglob("_delta_log"):
        raise DatasetError(
            f"{path.parent} is a Delta table, whose files hold removed rows too; write its current rows as Parquet "
            "first"
        )
    found: dict[str, list[Path]] = {}
    for entry in sorted(source.iterdir()):
        if entry.name.startswith(("_", ".")):
            continue
        if entry.is_file() and entry.suffix == ".parquet":
            found[entry.stem] = [entry]
        elif entry.is_dir() and (inside := _files(entry)):
            if any(path.suffix == ".avro" for path in entry.rglob("metadata/*")):
                raise DatasetError(
                    f"{entry} is an Iceberg table, whose files hold removed rows too; write its current rows as "
                    "Parquet first"
                )
            found[entry.name] = inside
    if not found:
        raise DatasetError(f"{source} holds no Parquet file")
    partitions = all("=" in name for name in found)
    if len(found) > 1 and (partitions or _same_columns(found)):
        return {source.name: [path for paths in found.values() for path in paths]}
    return {source.name: next(iter(found.values()))} if partitions else found


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*.parquet")
        if not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
    )


def _same_columns(found: dict[str, list[Path]]) -> bool:
    """Whether all files are parts of one table, such as part-0000.parquet."""
    columns = [set(_columns(paths[:1])) for paths in found.values()]
    return all(one == columns[0] for one in columns)


def _scan(path: Path) -> pl.LazyFrame:
    hive = any("=" in part for part in path.parent.parts)
    return pl.scan_parquet(path, glob=False, hive_partitioning=hive)


def _schema(path: Path) -> pl.Schema:
    try:
        return _scan(path).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as Parquet: {first_line(error)}") from error


def _columns(paths: Sequence[Path]) -> dict[str, None]:
    """The columns of all files, in their order."""
    return dict.fromkeys(column for path in paths for column in _schema(path))


def _table(name: str, columns: Sequence[str], paths: Sequence[Path], sink: Sink) -> SourceTable:
    def blocks(wanted: Sequence[str]) -> Iterator[tuple[pl.DataFrame, Origin]]:
        for number, path in enumerate(paths):
            sink.progress(f"reading {name}", number, len(paths))
            for block in _blocks(path, wanted, sink):
                yield block, Origin(str(path), "row")
        sink.progress(f"reading {name}", len(paths), len(paths))

    return SourceTable(name, columns, blocks)


def _blocks(path: Path, wanted: Sequence[str], sink: Sink) -> Iterator[pl.DataFrame]:
    schema = _schema(path)
    cells = []
    for column in wanted:
        if column not in schema:
            cells.append(pl.lit(None).alias(column))
        elif (readable := _readable(column, schema[column])) is not None:
            cells.append(readable)
        else:
            sink.report.choose(f"left out: the column {column}, whose type {schema[column]} no kind of column reads")
    scan = _scan(path)
    try:
        rows = scan.select(pl.len()).collect().item()
        for offset in range(0, rows, _ROWS):
            block = scan.slice(offset, _ROWS).select(cells).collect()
            places = pl.int_range(offset + 1, offset + 1 + block.height, dtype=pl.UInt32, eager=True)
            _require_exact(path, block, schema, places)
            yield block.with_columns(*_whole(block), places.alias(PLACE))
    except pl.exceptions.PolarsError as error:
        raise DatasetError(f"{path} cannot be read as Parquet: {first_line(error)}") from error


def _readable(column: str, dtype: pl.DataType) -> pl.Expr | None:
    """A column in a type that a dataset's Parquet file may have, or None."""
    cell = column_named(column)
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = dtype.inner
        texts = isinstance(inner, (pl.String, pl.Boolean, pl.Categorical, pl.Enum)) or inner.is_integer()
        return cell.cast(pl.List(pl.String)) if texts else None
    if isinstance(dtype, pl.Decimal):
        text = cell.cast(pl.String)
        return (
            pl.when(text.str.contains(".", literal=True))
            .then(text.str.strip_chars_end("0").str.strip_chars_end("."))
            .otherwise(text)
            .alias(column)
        )
    if isinstance(dtype, pl.Binary):
        return cell.map_batches(_binary, return_dtype=pl.String)
    if isinstance(dtype, (pl.Categorical, pl.Enum, pl.Time)):
        return cell.cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        utc = cell.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else cell
        return utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias(column)
    if isinstance(dtype, pl.Date):
        return cell.dt.strftime("%Y-%m-%d")
    plain = isinstance(dtype, (pl.String, pl.Boolean, pl.Null)) or dtype.is_numeric()
    return cell if plain else None


def _binary(cells: pl.Series) -> pl.Series:
    """UUIDs of 16 bytes as they are written, other bytes as UTF-8."""
    import uuid

    filled = cells.drop_nulls()
    if len(filled) and all(len(one) == 16 for one in filled):
        texts = [None if one is None else str(uuid.UUID(bytes=one)) for one in cells]
    else:
        texts = [None if one is None else one.decode(errors="replace") for one in cells]
    return pl.Series(cells.name, texts, dtype=pl.String)


def _whole(block: pl.DataFrame) -> list[pl.Expr]:
    """Columns of floats that hold whole numbers alone, such as ids with gaps, as integers."""
    return [
        column_named(column).fill_nan(None).cast(pl.Int64)
        for column, dtype in block.schema.items()
        if dtype.is_float() and (block[column].fill_nan(None).drop_nulls() % 1 == 0).all()
    ]


def _require_exact(path: Path, block: pl.DataFrame, schema: pl.Schema, places: pl.Series) -> None:
    """Raises DatasetError for whole numbers in floats that are too large to be exact."""
    for column in block.columns:
        if schema.get(column) is not None and schema[column].is_float():
            cells = block[column].fill_nan(None)
            large = ((cells.abs() >= _EXACT) & cells.is_finite()).fill_null(value=False)
            if large.any():
                at = int(large.arg_true()[0])
                Origin(str(path), "row").refuse(
                    places[at], column, cells[at], "is a float too large to be exact; write ids as integers or text"
                )
