"""Which files of a dataset directory hold which table."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

import structlog

from models.errors import DatasetError
from offline.dataset.folder_table import FolderTable, Part
from offline.dataset.parquet_table import ParquetTable
from offline.dataset.schema import SCHEMA_FILE, Schema
from offline.dataset.table import Table
from offline.dataset.text.blocks import COMPRESSIONS
from offline.dataset.text.csv_table import CsvTable
from offline.dataset.text.jsonl_table import JsonlTable

TABLES = ("users", "connections", "interactions")
CONTACTS_TABLE = "contacts"
"""a table that offline.contacts reads, and no snapshot"""

_READERS: Mapping[str, Callable[[Path, Schema], Table]] = {
    ".csv": lambda path, schema: CsvTable(path, schema.csv),
    ".tsv": lambda path, schema: CsvTable(path, schema.csv),
    ".parquet": lambda path, _: ParquetTable(path),
    ".jsonl": lambda path, _: JsonlTable(path),
    ".ndjson": lambda path, _: JsonlTable(path),
}
FORMATS = (*_READERS, *(form + packed for form in _READERS if form != ".parquet" for packed in COMPRESSIONS))
"""the ends of the names of files that are read"""
CHOICES = ".csv, .tsv, .parquet, .jsonl or .ndjson (text also with .gz or .zst), or a folder of such files"
"""what may follow the name of a table, for error messages"""
NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""the value of a partition without one"""
_LEFT_BEHIND = re.compile(r"(~|#|\.(swp|swo|bak|orig|old|tmp|part))$")
"""ends of names that editors and copies leave beside a file"""
_UNREAD = re.compile(
    r"\.((csv|tsv|parquet|jsonl|ndjson)(\.\w+)?|xlsx?|ods|avro|orc|bz2|xz|lz4|zip|7z|rar)$", re.IGNORECASE
)
"""ends of names of files that probably hold rows, if nothing reads them"""
NEAR = 0.8
"""likeness of two names of which one is probably misspelt"""

log = structlog.get_logger(__name__)


class TableFile(NamedTuple):
    """One file of a table."""

    path: Path
    partitions: Mapping[str, str]
    """column and value, from the names of the folders above it, as Hive writes them"""


def find_table(directory: Path, name: str, schema: Schema) -> Table | None:
    """The table of a name, in one file or in a folder of files, or None.

    Raises DatasetError if it is there twice, is a link to nothing, or if a file seems to be it under another name.
    """
    try:
        found = _places(directory, name)
        if len(found) > 1:
            raise DatasetError(f"{directory} holds {' and '.join(_name(path) for path in found)}: keep one")
        if not found:
            _refuse_misspelt(directory, name)
            return None
        return open_table(found[0], schema)
    except OSError as error:
        raise DatasetError(f"{directory} cannot be read: {error.strerror}") from error


def open_table(path: Path, schema: Schema | None = None) -> Table:
    """The table of a file, chosen by the end of its name, or of a folder of such files.

    Raises DatasetError if a file is unreadable or its name ends otherwise.
    """
    schema = schema or Schema(path.parent / SCHEMA_FILE)
    if path.is_dir():
        return _folder(path, schema)
    form = _format(path.name)
    if form is None:
        raise DatasetError(f"{path}: the name of a table ends in {CHOICES}")
    if not path.is_file():
        what = f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "is not a file"
        raise DatasetError(f"{path} {what}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    return _with_null_words(_READERS[form](path, schema), schema)


def dataset_files(directory: Path) -> list[Path]:
    """Every file that a night reads of a dataset directory, sorted; what does not exist is left out."""
    files = [directory / SCHEMA_FILE]
    for name in TABLES:
        for place in _places(directory, name):
            files += [one.path for one in _files(place)] if place.is_dir() else [place]
    return sorted(path for path in files if path.is_file())


def _places(directory: Path, name: str) -> list[Path]:
    """The files, links to nothing included, and folders that are called like a table."""
    named = [directory / f"{name}{form}" for form in FORMATS]
    found = [path for path in named if os.path.lexists(path)]
    folder = directory / name
    return [*found, folder] if folder.is_dir() and (next(_files(folder), None) or not found) else found


def _name(path: Path) -> str:
    return f"{path.name}/" if path.is_dir() else path.name


def _format(name: str) -> str | None:
    """The key of _READERS that a file's name ends in."""
    plain = next((name.removesuffix(packed) for packed in COMPRESSIONS if name.endswith(packed)), name)
    form = Path(plain).suffix
    return form if form in _READERS and (plain == name or form != ".parquet") else None


def _files(folder: Path) -> Iterator[TableFile]:
    """Yields the files of tables in a folder and below, sorted."""
    return (one for one in every_file(folder) if _format(one.path.name) is not None)


def every_file(folder: Path, partitions: Mapping[str, str] = MappingProxyType({})) -> Iterator[TableFile]:
    """Yields the files in a folder and below, sorted; names that begin with `.` or `_` are left out."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            own = _partition(path, partitions) if "=" in path.name else {}
            yield from every_file(path, {**partitions, **own})
        else:
            yield TableFile(path, partitions)


def _partition(folder: Path, above: Mapping[str, str]) -> dict[str, str]:
    """The column and value in the name of a folder. Raises DatasetError for one without a column, or with one above."""
    name, _, written = folder.name.partition("=")
    column, value = unquote(name), "" if written == NOTHING else unquote(written)
    if not column:
        raise DatasetError(f"{folder}: {folder.name!r} names no column before the equals sign")
    if column in above:
        raise DatasetError(f"{folder}, column {column!r}: {value!r} below a folder of {above[column]!r}; keep one")
    return {column: value}


def _folder(folder: Path, schema: Schema) -> Table:
    every = list(every_file(folder))
    for one in every:
        name = one.path.name
        if _format(name) is None and _UNREAD.search(name) and not _LEFT_BEHIND.search(name):
            raise DatasetError(f"{one.path} is not read: names of files end in {CHOICES}; rename it or move it away")
    files = [one for one in every if _format(one.path.name) is not None]
    if not files:
        raise DatasetError(f"{folder} holds no file of a table: their names end in {CHOICES}")
    others = {_format(one.path.name): one.path for one in files}
    if len(others) > 1:
        names = " and ".join(str(path.relative_to(folder)) for path in others.values())
        raise DatasetError(f"{folder} holds {names}: keep one format")
    parts = [Part(open_table(one.path, schema), one.partitions) for one in files]
    log.info("files_of_a_folder", folder=folder.name, files=len(files))
    return _with_null_words(FolderTable(folder, parts), schema)


def _with_null_words(table: Table, schema: Schema) -> Table:
    table.null_words = schema.null_words
    return table


def _refuse_misspelt(directory: Path, name: str) -> None:
    """Raises DatasetError if a file of the directory is a table's by its name, but for its spelling or its format."""
    for path in sorted(directory.iterdir()):
        stem = path.name.partition(".")[0]
        near = get_close_matches(stem.lower(), (*TABLES, CONTACTS_TABLE), n=1, cutoff=NEAR)
        if near != [name] or path.name.startswith((".", "_")) or _LEFT_BEHIND.search(path.name):
            continue
        form = _format(path.name.lower())
        has_files = path.is_dir() and next(_files(path), None) is not None
        if has_files or (not path.is_dir() and (form is not None or stem.lower() == name)):
            called = f"{name}/" if path.is_dir() else name + (form or CHOICES)
            raise DatasetError(f"{path} is not read: if it holds the {name}, call it {called}; if not, move it away")
