"""schema.toml: time of the export, kinds of columns, reason columns."""

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
from offline.dataset.table import USER_ID

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

    def locate(self, key: str) -> str:
        """The file and, if found, the line that names a key, for an error message."""
        try:
            lines = self.path.read_text().splitlines()
        except OSError:
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
        document = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return schema
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as TOML: {error}") from error
    for key in document:
        if key not in ("as_of", "users", "reasons"):
            raise schema.refuse(key, f"{key!r} is unknown; the file has as_of, [users] and [reasons]")
    kinds = _kinds(schema, document.get("users", {}))
    return Schema(path, _as_of(schema, document.get("as_of")), kinds, _reasons(schema, document.get("reasons")))


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
