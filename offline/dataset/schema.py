"""schema.toml: the moment of the export, the kinds of columns, the columns told as a reason."""

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import DatasetError
from models.schema.columns import (
    CREATED_AT_COLUMN,
    FLAG_COLUMNS,
    NAME_COLUMN,
    Kind,
)
from offline.dataset.table import USER_ID
from offline.dataset.timestamps import FIRST_SECOND, LAST_SECOND

_OWN_KINDS = {
    NAME_COLUMN: {Kind.TEXT, Kind.IGNORE},
    CREATED_AT_COLUMN: {Kind.TIMESTAMP, Kind.IGNORE},
    **{column: {Kind.CATEGORICAL, Kind.IGNORE} for column in FLAG_COLUMNS},
}
"""the kinds that may be declared for the columns with a meaning of their own, which keep it unless ignored"""


@dataclass(frozen=True)
class Schema:
    """What schema.toml says; nothing where there is none."""

    path: Path
    as_of: int | None = None
    """the moment of the export in seconds since 1970 UTC"""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    reasons: tuple[str, ...] | None = None

    def place(self, key: str) -> str:
        """The file and, where it is found, the line that speaks of a column, for a message."""
        try:
            lines = self.path.read_text().splitlines()
        except OSError:
            return str(self.path)
        word = re.compile(rf"(?<![\w-]){re.escape(key)}(?![\w-])")
        number = next((number for number, line in enumerate(lines, start=1) if word.search(line)), None)
        return f"{self.path}, line {number}" if number else str(self.path)

    def refuse(self, key: str, fault: str) -> DatasetError:
        """The error about something that the file says."""
        return DatasetError(f"{self.place(key)}: {fault}")


def read_schema(path: Path) -> Schema:
    """The schema of a dataset directory. Raises DatasetError with file, line, column and value."""
    schema = Schema(path)
    try:
        said = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return schema
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as TOML: {error}") from error
    for key in said:
        if key not in ("as_of", "users", "reasons"):
            raise schema.refuse(key, f"{key!r} is unknown; the file has as_of, [users] and [reasons]")
    kinds = _kinds(schema, said.get("users", {}))
    return Schema(path, _as_of(schema, said.get("as_of")), kinds, _reasons(schema, said.get("reasons")))


def _as_of(schema: Schema, said: Any) -> int | None:
    if said is None:
        return None
    try:
        seconds = _seconds(said)
    except (TypeError, ValueError, OverflowError):
        seconds = LAST_SECOND + 1
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise schema.refuse("as_of", f"as_of: {said!r} is not a timestamp (ISO 8601 or epoch seconds)")
    return seconds


def _seconds(said: Any) -> int:
    """Whole seconds since 1970 UTC of a TOML value; without an offset it is UTC."""
    if isinstance(said, bool):
        raise TypeError(said)
    if isinstance(said, (int, float)):
        return int(said // 1)
    if isinstance(said, str):
        said = dt.datetime.fromisoformat(said)
    if isinstance(said, dt.date) and not isinstance(said, dt.datetime):
        said = dt.datetime.combine(said, dt.time())
    if not isinstance(said, dt.datetime):
        raise TypeError(said)
    return int((said if said.tzinfo else said.replace(tzinfo=dt.UTC)).timestamp() // 1)


def _kinds(schema: Schema, said: Any) -> dict[str, Kind]:
    if not isinstance(said, dict):
        raise schema.refuse("users", f"users: {said!r} is not a table of columns and kinds")
    kinds = {}
    for column, kind in said.items():
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


def _reasons(schema: Schema, said: Any) -> tuple[str, ...] | None:
    if said is None:
        return None
    columns = said["columns"] if isinstance(said, dict) and set(said) == {"columns"} else None
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise schema.refuse("reasons", "[reasons] holds one list of column names, columns = [...]")
    return tuple(dict.fromkeys(columns))
