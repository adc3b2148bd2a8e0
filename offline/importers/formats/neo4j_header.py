"""The header lines of Neo4j's CSV files, and the types that they name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from models.errors import DatasetError
from models.schema.columns import Kind

ID, LABEL, START, END, TYPE, IGNORE = "ID", "LABEL", "START_ID", "END_ID", "TYPE", "IGNORE"
_ROLES = (ID, LABEL, START, END, TYPE, IGNORE)
_APOC = {"_id": ID, "_labels": LABEL, "_start": START, "_end": END, "_type": TYPE}

_FIELD = re.compile(
    r"(?P<name>.*?)(?::(?P<type>[A-Za-z_]+)(?P<options>\{[^}]*\})?(?P<list>\[\])?(?:\((?P<space>[^)]*)\))?(?:\{[^}]*\})?)?"
)
_INTEGERS = {"int", "long", "short", "byte"}
_FLOATS = {"float", "double"}
_MOMENTS = {"date", "datetime", "localdatetime"}
_TEXTS = {"string", "char", "time", "localtime", "duration", "point", "boolean", "vector"}


@dataclass(frozen=True)
class HeaderField:
    """One column: `name:int`, `:ID(Person)`, `tags:string[]`, or `_id` of apoc.export.csv."""

    raw: str
    name: str
    """of the property; may be empty for an id or a label"""
    role: str = ""
    """one of ID, LABEL, START_ID, END_ID, TYPE, IGNORE; empty for a property"""
    type: str = ""
    """lower case; empty if the header says none"""
    is_list: bool = False
    space: str = ""
    """the id space of an ID, a START_ID or an END_ID"""

    @property
    def dtype(self) -> pl.DataType:
        if self.type in _INTEGERS:
            return pl.Int64()
        return pl.Float64() if self.type in _FLOATS else pl.String()

    @property
    def kind(self) -> Kind | None:
        """The kind of column that the type states, or None."""
        if self.is_list:
            return Kind.MULTI
        if self.type in _FLOATS:
            return Kind.NUMERIC
        if self.type in _MOMENTS:
            return Kind.TIMESTAMP
        return Kind.LOCATION if self.type == "point" else None

    @property
    def fault(self) -> str:
        return f"is not {'an' if self.type[:1] in 'aeiou' else 'a'} {self.type}, as the header says"


@dataclass(frozen=True)
class Header:
    """The columns of a file."""

    fields: tuple[HeaderField, ...]
    is_apoc: bool
    place: str

    def role(self, role: str) -> HeaderField | None:
        """The column of a role, or None."""
        return next((field for field in self.fields if field.role == role), None)

    @property
    def has_nodes(self) -> bool:
        return self.role(ID) is not None

    @property
    def has_relationships(self) -> bool:
        return self.role(START) is not None and self.role(END) is not None

    @property
    def properties(self) -> list[HeaderField]:
        return [field for field in self.fields if not field.role]


def is_header(cells: Sequence[str]) -> bool:
    """Whether a first line is a header: it names an id, or both ends of a relationship."""
    roles = {_APOC.get(cell.strip()) or _parsed(cell).role for cell in cells}
    return ID in roles or {START, END} <= roles


def parse_header(path: Path, cells: Sequence[str]) -> Header:
    """The header of a file. Raises DatasetError for a type that Neo4j does not have, or a name that stands twice."""
    place = f"{path}, line 1"
    is_apoc = "_id" in cells or {"_start", "_end"} <= set(cells)
    fields = []
    for at, cell in enumerate((cell.strip() for cell in cells), start=1):
        field = HeaderField(cell, cell, _APOC.get(cell, "")) if is_apoc else _parsed(cell)
        if field.role == IGNORE:
            field = replace(field, raw=f"{cell} {at}")
        known = _INTEGERS | _FLOATS | _MOMENTS | _TEXTS | {""}
        if not field.role and field.type not in known:
            raise DatasetError(f"{place}, column {cell!r}: {field.type!r} is no type of Neo4j")
        fields.append(field)
    raws = [field.raw for field in fields]
    twice = next((raw for at, raw in enumerate(raws) if raw in raws[:at]), None)
    if twice is not None:
        raise DatasetError(f"{place}: two columns are named {twice!r}")
    return Header(tuple(fields), is_apoc, place)


def _parsed(cell: str) -> HeaderField:
    match = _FIELD.fullmatch(cell.strip())
    if match is None or match["type"] is None:
        return HeaderField(cell, cell.strip())
    role = match["type"].upper()
    if role in _ROLES:
        return HeaderField(cell, match["name"], role, space=match["space"] or "")
    return HeaderField(cell, match["name"], type=match["type"].lower(), is_list=bool(match["list"]))
