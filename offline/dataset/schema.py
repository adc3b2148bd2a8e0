"""schema.toml: time of the export, kinds of columns, reason columns, how the files are written."""

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import DatasetError
from models.schema.columns import CREATED_AT_COLUMN, FLAG_COLUMNS, NAME_COLUMN, Kind
from models.schema.timestamps import TimestampFaultError, timestamp_fault, timestamp_us
from models.system.clock import MICROSECONDS
from models.system.known_names import unknown_name
from models.system.toml_text import read_toml_file
from offline.dataset import null_words
from offline.dataset.table import USER_ID
from offline.dataset.text.settings import QUOTE, CsvSettings

SCHEMA_FILE = "schema.toml"
_KEYS = ("as_of", "users", "reasons", "csv", "null_words")
_SYMBOL = re.compile(r"[\t -~]")
_CSV_KEYS = ("delimiter", "quote", "escape")

_OWN_KINDS = {
    NAME_COLUMN: {Kind.TEXT, Kind.IGNORE},
    CREATED_AT_COLUMN: {Kind.TIMESTAMP, Kind.IGNORE},
    **{column: {Kind.CATEGORICAL, Kind.IGNORE} for column in FLAG_COLUMNS},
}
"""the kinds that schema.toml may declare for the built-in columns; a built-in column keeps its meaning unless ignored
"""


@dataclass(frozen=True)
class Schema:
    """The content of schema.toml; empty if there is no file."""

    path: Path
    as_of: int | None = None
    """time of the export in seconds since 1970 UTC"""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    reasons: tuple[str, ...] | None = None
    csv: CsvSettings = field(default_factory=CsvSettings)
    """how all CSV files of the directory are written"""
    null_words: tuple[str, ...] = null_words.DEFAULT
    """the cells that are read as empty, except in columns of user ids"""

    def locate(self, key: str) -> str:
        """The file and, if found, the line that names a key, for an error message."""
        try:
            lines = self.path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            return str(self.path)
        word = re.compile(rf"(?<![\w-]){re.escape(key)}(?![\w-])")
        number = next((number for number, line in enumerate(lines, start=1) if word.search(line)), None)
        return f"{self.path}, line {number}" if number else str(self.path)

    def refuse(self, key: str, fault: str) -> DatasetError:
        """The DatasetError for a fault in the file."""
        return DatasetError(f"{self.locate(key)}: {fault}")


def read_schema(path: Path) -> Schema:
    """The schema of a dataset directory. Raises DatasetError with file, line, column and value."""
    schema = Schema(path)
    try:
        document = read_toml_file(path)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise DatasetError(f"{path} is a link to {path.readlink()}, which does not exist") from error
        return schema
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as TOML: {error}") from error
    for key in document:
        if key not in _KEYS:
            raise schema.refuse(key, f"{key!r} {unknown_name(key, 'part of this file', _KEYS)}")
    return Schema(
        path,
        _as_of(schema, document.get("as_of")),
        _kinds(schema, document.get("users", {})),
        _reasons(schema, document.get("reasons")),
        _csv(schema, document.get("csv", {})),
        _null_words(schema, document.get("null_words", list(null_words.DEFAULT))),
    )


def _as_of(schema: Schema, value: Any) -> int | None:
    if value is None:
        return None
    written = value
    if isinstance(value, dt.date):  # TOML has dates and times of its own
        moment = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
        written = moment.isoformat()
    try:
        return timestamp_us(written) // MICROSECONDS
    except TimestampFaultError as error:
        raise schema.refuse("as_of", f"as_of: {value!r} {timestamp_fault(written)}") from error


def _kinds(schema: Schema, value: Any) -> dict[str, Kind]:
    if not isinstance(value, dict):
        raise schema.refuse("users", f"users: {value!r} is not a table of columns and kinds")
    kinds = {}
    for column, kind in value.items():
        if kind not in list(Kind):
            known = ", ".join(Kind)
            raise schema.refuse(column, f"column {column!r}: {kind!r} is not a kind of column ({known})")
        if column == USER_ID:
            raise schema.refuse(column, f"column {USER_ID!r}: the user id has no kind; take the line out")
        allowed = _OWN_KINDS.get(column)
        if allowed and kind not in allowed:
            others = " or ".join(repr(str(one)) for one in sorted(allowed))
            raise schema.refuse(column, f"column {column!r} has a meaning of its own: it can be {others}, not {kind!r}")
        kinds[column] = Kind(kind)
    return kinds


def _reasons(schema: Schema, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    columns = value["columns"] if isinstance(value, dict) and set(value) == {"columns"} else None
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise schema.refuse("reasons", "[reasons] holds one list of column names, columns = [...]")
    return tuple(dict.fromkeys(columns))


def _csv(schema: Schema, value: Any) -> CsvSettings:
    if not isinstance(value, dict):
        raise schema.refuse("csv", f"csv: {value!r} is no section; write [csv] and below it delimiter, quote or escape")
    for key, symbol in value.items():
        if key not in _CSV_KEYS:
            raise schema.refuse(key, f"[csv] {key!r} {unknown_name(key, 'setting of CSV files', _CSV_KEYS)}")
        may_be_none = key != "delimiter" and symbol == ""
        if not may_be_none and not (isinstance(symbol, str) and _SYMBOL.fullmatch(symbol)):
            none = "" if key == "delimiter" else ', or "" for none'
            raise schema.refuse(key, f"[csv] {key}: {symbol!r} is not one character of ASCII{none}")
    quote, escape = value.get("quote", QUOTE) or None, value.get("escape") or None
    if escape == quote:  # a mark that escapes itself is a doubled one
        escape = None
    named = [symbol for symbol in (value.get("delimiter"), quote, escape) if symbol]
    if len(set(named)) < len(named):
        raise schema.refuse("csv", "[csv] two of delimiter, quote and escape are the same")
    return CsvSettings(value.get("delimiter"), quote, escape)


def _null_words(schema: Schema, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise schema.refuse("null_words", f"null_words: {value!r} is not a list of words in quotation marks")
    return tuple(dict.fromkeys(value))
