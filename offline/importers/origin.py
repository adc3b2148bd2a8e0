"""Where an imported record stands in its source, for messages."""

from dataclasses import dataclass
from typing import NoReturn

from models.errors import DatasetError
from offline.dataset.table import shown

PLACE = "\0place"
"""the column of record numbers of a block, UInt32, counted as the origin's unit counts"""


@dataclass(frozen=True)
class Origin:
    """One file, query or element of a source."""

    label: str
    """path, or the name of a table or query"""
    unit: str = "line"
    """what a place counts: `line`, `row`, `edge`, `node`"""

    def at(self, place: int) -> str:
        """The source and place of a record."""
        return f"{self.label}, {self.unit} {place}"

    def refuse(self, place: int, column: str, value: object, fault: str) -> NoReturn:
        """Raises DatasetError with source, place, column and value."""
        raise DatasetError(f"{self.at(place)}, column {column!r}: {_filled(value)} {fault}")


def _filled(value: object) -> str:
    return "the cell" if value is None else shown(value)
