"""The files of exposures under PYMK_HOME/outcomes: Parquet, one folder a day, each list in exactly one file.

    outcomes/day=2026-11-29/1764374400000-0_1764374405123-2.parquet

A file is named after the first and the last position in the exposure log that it has, and is written aside and renamed.
So what is filed is known by the names alone: a worker that is killed after a file is in place and before the store
knows it does not file those lists again. Small files of a day are merged: the merged file is put in place first, and
a file whose positions another one has is not read.

Writes take the lock of the home; reads need none.
"""

import datetime
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import polars as pl

from models.errors import ArtefactError, PymkError
from models.outcomes.schema import EXPOSURE_COLUMNS
from models.outcomes.viewer_sample import EVERYBODY, ViewerSample
from models.store.protocol import STREAM_START
from models.system import files
from models.system.stream_position import day_of, order

DIRECTORY = "outcomes"
_DAY = "day="
_SUFFIX = ".parquet"
LOCK_S = 30.0
MERGED_AT = 16
"""so many files of a size in a row become one"""
SIZES = (1 << 20, 16 << 20)
"""bytes: files below the first are merged into larger ones, and those below the second once more"""
ATTEMPTS = 10
"""how often files are listed again because one was merged or removed meanwhile"""

Position = tuple[int, int]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class ExposureFile:
    """A file of exposures."""

    path: Path
    first: Position
    last: Position

    @property
    def day(self) -> datetime.date:
        """The day of its lists, UTC."""
        return datetime.date.fromisoformat(self.path.parent.name.removeprefix(_DAY))

    @classmethod
    def of(cls, path: Path) -> "ExposureFile | None":
        """The file of a path; None if it has no such name."""
        first, _, last = path.name.removesuffix(_SUFFIX).partition("_")
        try:
            return cls(path, order(first), order(last))
        except ValueError:
            return None


class ExposureFiles:
    """The exposures of a home."""

    def __init__(self, home: Path) -> None:
        self.directory = home / DIRECTORY

    def all(self) -> list[ExposureFile]:
        """Every file, by its first position; without those whose lists another file has."""
        found = sorted(
            filter(None, map(ExposureFile.of, self.directory.glob(f"{_DAY}*/*{_SUFFIX}"))),
            key=lambda one: (one.first, tuple(-part for part in one.last)),
        )
        kept: list[ExposureFile] = []
        for one in found:
            if not kept or one.last > kept[-1].last:
                kept.append(one)
        return kept

    def last(self) -> str:
        """The last position that is filed."""
        return text(max((one.last for one in self.all()), default=order(STREAM_START)))

    def write(self, frame: pl.DataFrame, first: str, last: str) -> Path:
        """Files exposures that were logged between two positions of one day; returns the file. Hold `locked`."""
        directory = self.directory / f"{_DAY}{day_of(first)}"
        if not directory.is_dir():
            directory.mkdir(parents=True)
            files.sync_directory(self.directory)
        return _write(frame, directory / f"{first}_{last}{_SUFFIX}")

    def merge(self) -> int:
        """Merges small files of a day; returns how many there are less. Hold `locked`."""
        self._remove_covered()
        before = self.all()
        for directory in {one.path.parent for one in before}:
            for most in SIZES:
                own = [one for one in self.all() if one.path.parent == directory]
                small = _small(own, most)
                if len(small) >= MERGED_AT:
                    merged = pl.concat([_read(one.path) for one in small])
                    _write(merged, directory / f"{text(small[0].first)}_{text(small[-1].last)}{_SUFFIX}")
                    self._remove_covered()
        return len(before) - len(self.all())

    def expire(self, before: datetime.date) -> int:
        """Removes the days before one; returns how many. Hold `locked`."""
        old = [path for path in self.directory.glob(f"{_DAY}*") if path.name.removeprefix(_DAY) < before.isoformat()]
        for path in old:
            shutil.rmtree(path)
        return len(old)

    def forget(self, upto: Mapping[str, int]) -> int:
        """Removes what names one of these users, as viewer or candidate, up to a timestamp for each; returns how many
        exposures. Takes the lock. A file is replaced as a whole, and only if it has such an exposure.
        """
        if not upto or not self.directory.is_dir():
            return 0
        removed = 0
        people = pl.DataFrame(list(upto.items()), schema={"id": pl.String, "upto": pl.Int64}, orient="row")
        with self.locked():
            self._remove_covered()
            for one in self.all():
                gone = _naming(_scan(one.path), people)
                if gone.any():
                    frame = _read(one.path)
                    _write(frame.filter(~gone), one.path)
                    removed += int(gone.sum())
        return removed

    def scan(self, since_us: int = 0) -> pl.DataFrame:
        """The exposures of lists made from a time on, by time, in EXPOSURE_COLUMNS; all of them are read."""
        return self.scan_lists(since_us, EXPOSURE_COLUMNS.names()).filter(pl.col("candidate").is_not_null())

    def scan_lists(self, since_us: int, columns: Sequence[str], sample: ViewerSample = EVERYBODY) -> pl.DataFrame:
        """As `scan`, in these columns, `at` among them, and with a row for each list without people.

        Of a sample of the viewers where one is given: what is left out takes no memory beyond that of one file.
        """
        is_wanted = (pl.col("at").dt.epoch("us") >= since_us) & sample.has("viewer")
        frames = self._of_each(since_us, lambda path: _read(path, columns, is_wanted))
        return (pl.concat(frames) if frames else _nothing(columns)).sort("at", maintain_order=True)

    def rows_since(self, since_us: int) -> int:
        """How many rows the files have of lists made from a time on, and of the two days before it at most; what they
        say of themselves is read alone.
        """
        return sum(self._of_each(since_us, _rows))

    def _of_each(self, since_us: int, read: Callable[[Path], Found]) -> list[Found]:
        """What is read of each file that may have lists made from a time on, in their order."""
        day = datetime.datetime.fromtimestamp(since_us / 1e6, datetime.UTC).date() - datetime.timedelta(days=1)
        for _ in range(ATTEMPTS):
            with suppress(FileNotFoundError):  # one was merged or removed since they were listed
                return [read(one.path) for one in self.all() if one.day >= day]
        raise PymkError(f"the files of {self.directory} are rewritten again and again; try again")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the lock of this home's exposures. Raises PymkError if another process has had it for LOCK_S."""
        with files.locked(self.directory / ".lock", LOCK_S) as is_locked:
            if not is_locked:
                raise PymkError(f"another process has been writing {self.directory} for {LOCK_S:.0f} s")
            yield

    def _remove_covered(self) -> None:
        """Removes files whose lists another file has, which a merge that was killed left."""
        kept = {one.path for one in self.all()}
        for path in self.directory.glob(f"{_DAY}*/*{_SUFFIX}"):
            if ExposureFile.of(path) is not None and path not in kept:
                path.unlink()


def _small(own: Sequence[ExposureFile], most: int) -> list[ExposureFile]:
    """The last files of a day that are below a size, in their order."""
    return list(takewhile(lambda one: one.path.stat().st_size < most, reversed(own)))[::-1]


def by_day(entries: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The first entries that are of one day, by their positions."""
    entries = list(entries)
    return list(takewhile(lambda entry: day_of(entry[0]) == day_of(entries[0][0]), entries))


def text(at: Position) -> str:
    """A position as the store writes it."""
    return f"{at[0]}-{at[1]}"


def _read(path: Path, columns: Sequence[str] = EXPOSURE_COLUMNS.names(), *where: pl.Expr) -> pl.DataFrame:
    """The exposures of a file for which all conditions hold. Columns that this release does not know are left out, and
    those that it lacks null.

    Raises ArtefactError if it is damaged, FileNotFoundError if it is gone.
    """
    with _whole(path):
        return _scan(path).filter(*where).select(columns).collect()


def _scan(path: Path) -> pl.LazyFrame:
    """What a file has, in EXPOSURE_COLUMNS: what is left out of it takes no memory."""
    return pl.scan_parquet(
        path,
        glob=False,
        hive_partitioning=False,
        schema=EXPOSURE_COLUMNS,
        missing_columns="insert",
        extra_columns="ignore",
    )


def _rows(path: Path) -> int:
    """How many rows a file has. Raises as `_read` does."""
    with _whole(path):
        counted = _scan(path).select(pl.len()).collect()
    return int(counted.item())


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Says of a file that cannot be read what its loss means."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise ArtefactError(f"{path} is truncated or altered: {error}; without it its lists are not counted") from error


def _nothing(columns: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(schema={name: EXPOSURE_COLUMNS[name] for name in columns})


def _write(frame: pl.DataFrame, path: Path) -> Path:
    with files.writing(path) as file:
        frame.write_parquet(file, compression="zstd")
    return path


def _naming(frame: pl.LazyFrame, people: pl.DataFrame) -> pl.Series:
    """(n,) of bool: which rows name one of some people (id, upto) up to the timestamp of that person."""

    def names(column: str) -> pl.Expr:
        upto = pl.col(column).replace_strict(people["id"], people["upto"], default=-1, return_dtype=pl.Int64)
        return upto >= pl.col("at").dt.epoch("us")

    named = (names("viewer") | names("candidate")).fill_null(value=False)  # a list without people names its viewer
    return frame.select(named).collect().to_series()
