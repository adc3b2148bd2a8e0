"""A table in several files of one format, in a folder and the folders below it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
import structlog

from models.errors import DatasetError
from models.schema.columns import Kind
from offline.dataset.table import BYTES_OF_IDS, RECORD, Shape, Table, column_named, shown

FILE_BITS = 40
"""RECORD is the number of the file, shifted by these bits, and the record within it"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Part:
    """One file, and the columns that the names of its folders give: the same value in every row."""

    table: Table
    constants: Mapping[str, str]

    def shapes(self) -> dict[str, Shape]:
        """Of the columns of the file and of its folders. Raises DatasetError if one stands in both."""
        own = self.table.shapes()
        for column in own.keys() & self.constants.keys():
            both = f"is in the file, and {self.constants[column]!r} in the name of a folder above it; keep one"
            raise DatasetError(f"{self.table.path}, column {column!r}: {both}")
        return own | dict.fromkeys(self.constants, Shape.TEXT)


class FolderTable(Table):
    """The rows of all its files, in the order of their names; a column that a file lacks is empty there."""

    def __init__(self, path: Path, parts: Sequence[Part]) -> None:
        super().__init__(path)
        self._parts = parts
        self.splits_sets = parts[0].table.splits_sets

    def shapes(self) -> dict[str, Shape]:
        return self._shapes

    def has(self, column: str) -> bool:
        return any(column in part.constants or part.table.has(column) for part in self._parts)

    def require(self, column: str) -> None:
        for part in self._parts:
            if column not in part.constants:
                part.table.require(column)

    def holds_floats(self, column: str) -> bool:
        return any(column not in part.constants and part.table.holds_floats(column) for part in self._parts)

    def kind_of_type(self, column: str) -> Kind | None:
        kinds = {part.table.kind_of_type(column) for part in self._parts if part.table.has(column)}
        return kinds.pop() if len(kinds) == 1 else None

    def readings_of_ids(self) -> Collection[str]:
        possible = set(BYTES_OF_IDS)
        return possible.intersection(*(part.table.readings_of_ids() for part in self._parts))

    def read_ids_as(self, reading: str) -> None:
        for part in self._parts:
            part.table.read_ids_as(reading)

    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        return pl.concat(self.parts(columns), rechunk=False)

    def parts(self, columns: Sequence[str]) -> Iterator[pl.LazyFrame]:
        for number, part in enumerate(self._parts):
            if not part.constants.keys().isdisjoint(columns):
                part.shapes()
            own = [column for column in columns if column not in part.constants and part.table.has(column)]
            for frame in part.table.parts(own):
                yield self._completed(frame, number, part, columns)

    def locate(self, record: int) -> str:
        return self._of(record).locate(record & ((1 << FILE_BITS) - 1))

    def unreadable(self, column: str) -> str:
        for part in self._parts:
            if part.table.shapes().get(column) is Shape.OTHER:
                return part.table.unreadable(column)
        return super().unreadable(column)

    def diagnose(self, error: Exception) -> DatasetError:
        for part in self._parts:
            table = part.table
            try:
                readable = [column for column, shape in table.shapes().items() if shape is not Shape.OTHER]
                table.collect(table.rows(readable).select(pl.len()))
            except DatasetError as found:
                return found
        return self._parts[0].table.diagnose(error)

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        merged: dict[str, Shape] = {}
        lacking: dict[str, int] = {}
        shapes = [part.shapes() for part in self._parts]
        for column in dict.fromkeys(column for own in shapes for column in own):
            found = {own[column] for own in shapes if column in own}
            # lists win over plain values: a file without any value has text, and in others `parts` refuses them
            merged[column] = next(shape for shape in (Shape.OTHER, Shape.LIST, Shape.TEXT) if shape in found)
            if missing := sum(column not in own for own in shapes):
                lacking[column] = missing
        if lacking:
            log.info("columns_that_files_lack", folder=self.path.name, files=lacking)
        return merged

    def _of(self, record: int) -> Table:
        return self._parts[record >> FILE_BITS].table

    def _completed(self, frame: pl.LazyFrame, number: int, part: Part, columns: Sequence[str]) -> pl.LazyFrame:
        """The rows of a part with the number of its file and all columns."""
        own = frame.collect_schema()
        cells = []
        for column in columns:
            wants_list = self.__dict__.get("_shapes", {}).get(column) is Shape.LIST
            dtype = pl.List(pl.String) if wants_list else pl.String()
            if column in own and wants_list and own[column] == pl.String:
                self._refuse_values(frame, column, number)
            if column in own and own[column] == dtype:
                cells.append(column_named(column))
            else:
                cells.append(pl.lit(part.constants.get(column) or None, dtype=dtype).alias(column))
        return frame.select(pl.col(RECORD).cast(pl.UInt64) + (number << FILE_BITS), *cells)

    def _refuse_values(self, frame: pl.LazyFrame, column: str, number: int) -> None:
        """Raises DatasetError if a file has a plain value where others have lists."""
        found = self.collect(frame.filter(column_named(column).is_not_null()).head(1))
        if found.height:
            where = self._parts[number].table.locate(found[RECORD].item())
            value = shown(found[column].item())
            raise DatasetError(f"{where}, column {column!r}: {value} is one value where other files have lists")
