"""A table in a JSONL file: one JSON object a line; a key may be missing."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property

import polars as pl

from models.errors import DatasetError
from offline.dataset.table import RECORD, Shape, Table, first_line, null_if_empty, shown

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class JsonlTable(Table):
    """Reads numbers and booleans as text; skips blank lines.

    A column that mixes lists and plain values is read as text, with its lists as JSON.
    """

    def shapes(self) -> dict[str, Shape]:
        return {name: _shape(dtype) for name, dtype in self._inferred.items()}

    def has(self, column: str) -> bool:
        """Always True: a row without the key has an empty cell."""
        return True

    def require(self, column: str) -> None:
        """Does nothing: a row without the key is rejected later as an empty cell, with its line."""

    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        texts = [column for column in columns if self._known.get(column) is not Shape.LIST]
        schema = {column: pl.String if column in texts else pl.List(pl.String) for column in columns}
        frame = pl.scan_ndjson(self._source, schema=schema, row_index_name=RECORD)
        return frame.with_columns(null_if_empty(column) for column in texts)

    def locate(self, record: int) -> str:
        for number, (line, _) in enumerate(self._lines()):
            if number == record:
                return f"{self.path}, line {line}"
        return f"{self.path}, record {record + 1}"

    def diagnose(self, error: Exception) -> DatasetError:
        for line, raw in self._lines():
            try:
                if isinstance(json.loads(raw), dict):
                    continue
            except ValueError:
                pass  # neither JSON nor UTF-8: reported below like any line that is not an object
            return DatasetError(f"{self.path}, line {line}: not a JSON object: {shown(raw.decode(errors='replace'))}")
        return DatasetError(f"{self.path} cannot be read as JSONL: {first_line(error)}")

    @property
    def _known(self) -> dict[str, Shape]:
        """The shapes if `shapes()` was called, else {}: inferring them reads the whole file."""
        return self.shapes() if "_inferred" in self.__dict__ else {}

    @cached_property
    def _inferred(self) -> pl.Schema:
        if not self.path.stat().st_size:
            return pl.Schema()
        try:
            return pl.scan_ndjson(self._source, infer_schema_length=None).collect_schema()
        except pl.exceptions.PolarsError as error:
            raise self.diagnose(error) from error

    @cached_property
    def _source(self) -> str | bytes:
        """The path with glob characters escaped, or the content of the file if it starts with a byte order mark."""
        with self.path.open("rb") as file:
            if file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK:
                return file.read()
        return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(self.path))

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yields the lines that are not blank, with their numbers."""
        with self.path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = (raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw).strip()
                if line:
                    yield number, line


def _shape(dtype: pl.DataType) -> Shape:
    if isinstance(dtype, pl.List):
        return Shape.OTHER if dtype.inner.is_nested() else Shape.LIST
    return Shape.OTHER if isinstance(dtype, pl.Struct) else Shape.TEXT
