"""The users of a dataset from any number of blocks."""

from pathlib import Path

import polars as pl

from models.errors import DatasetError
from models.schema.columns import CREATED_AT_COLUMN, FLAG_COLUMNS
from offline.dataset.table import USER_ID, column_named, shown
from offline.dataset.users import mistaken_flag
from offline.importers.cells import booleans, dates_of, moments, require_ids
from offline.importers.origin import PLACE, Origin
from offline.importers.report import Report

_BLOCK = "\0block"


class Profiles:
    """Users and their profile columns; blocks may have different columns. Kept on disk until they are written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._origins: list[Origin] = []

    @property
    def empty(self) -> bool:
        return not self._origins

    def add(self, block: pl.DataFrame, origin: Origin, name: str = USER_ID) -> None:
        """Adds users: USER_ID String, PLACE, and profile columns of scalars or lists of scalars.

        `name` is the id's column in the source. Raises DatasetError for a cell that is no user id, no moment in
        CREATED_AT_COLUMN, or neither true nor false in a flag.
        """
        require_ids(block, USER_ID, origin, name)
        own = []
        if CREATED_AT_COLUMN in block.columns and not block[CREATED_AT_COLUMN].dtype.is_temporal():
            own.append(dates_of(moments(block, CREATED_AT_COLUMN, origin)))
        own += [booleans(block, column, origin) for column in FLAG_COLUMNS if column in block.columns]
        number = pl.lit(len(self._origins), dtype=pl.UInt32).alias(_BLOCK)
        block.with_columns(*own, number).write_parquet(self._part(len(self._origins)))
        self._origins.append(origin)

    def write(self, path: Path, report: Report) -> None:
        """Writes every user once, as Parquet.

        Raises DatasetError if a user has two different rows, or if a column is called nearly like a flag.
        """
        parts = [pl.scan_parquet(self._part(number), glob=False) for number in range(len(self._origins))]
        self._require_alike(parts, report)
        every = pl.concat(parts, how="diagonal_relaxed")
        columns = [column for column in every.collect_schema() if column not in (PLACE, _BLOCK)]
        if mistaken := mistaken_flag(columns):
            column, flag = mistaken
            hint = f"--map {flag}={column} makes it one; --map {column}= leaves it out"
            raise DatasetError(f"{report.source}, column {column!r}: it is no flag under this name: {hint}")
        repeated = every.filter(pl.col(USER_ID).is_duplicated()).collect(engine="streaming")
        if repeated.height:
            every = every.filter(~pl.col(USER_ID).is_in(self._repeats(repeated, columns, report).implode()))
            every = pl.concat([every, repeated.unique(USER_ID, keep="first", maintain_order=True).lazy()])
        every.select(map(column_named, columns)).sink_parquet(path)
        report.written["people"] = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
        report.columns = [column for column in columns if column != USER_ID]

    def _require_alike(self, parts: list[pl.LazyFrame], report: Report) -> None:
        """Raises DatasetError if a column has lists in one block and single values in another."""
        seen: dict[str, tuple[bool, Origin]] = {}
        for part, origin in zip(parts, self._origins, strict=True):
            for column, dtype in part.collect_schema().items():
                lists = isinstance(dtype, pl.List)
                before, there = seen.setdefault(column, (lists, origin)) if dtype != pl.Null else (lists, origin)
                if before != lists:
                    one, other = (origin, there) if lists else (there, origin)
                    what = f"has lists in {one.label} and single values in {other.label}"
                    raise DatasetError(f"{report.source}, column {column!r}: {what}; --map {column}= leaves it out")

    def _repeats(self, repeated: pl.DataFrame, columns: list[str], report: Report) -> pl.Series:
        """The ids with several rows; reports the rows dropped. Raises DatasetError if two of them differ."""
        rows = repeated.drop(_BLOCK, PLACE).to_struct()
        versions = repeated.filter(rows.is_first_distinct())
        conflict = versions.filter(pl.col(USER_ID).is_duplicated())
        if conflict.height:
            first, second, *_ = conflict.filter(pl.col(USER_ID) == conflict[USER_ID][0]).iter_rows(named=True)
            column = next(name for name in columns if first[name] != second[name])
            raise DatasetError(
                f"{self._at(second)}, column {column!r}: {shown(second[column])}, where {self._at(first)} says "
                f"{shown(first[column])} of the same user {first[USER_ID]!r}"
            )
        ids = versions[USER_ID]
        again = repeated.filter(~pl.struct(_BLOCK, PLACE).is_first_distinct() | ~pl.col(USER_ID).is_first_distinct())
        example = again.row(0, named=True)
        where = f"{example[USER_ID]!r} ({self._at(example)})"
        report.drop("people who stand twice with the same values", again.height, where)
        return ids

    def _at(self, row: dict[str, object]) -> str:
        return self._origins[int(str(row[_BLOCK]))].at(int(str(row[PLACE])))

    def _part(self, number: int) -> Path:
        return self._directory / f"{number:06d}.parquet"
