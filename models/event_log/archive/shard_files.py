"""The files of a shard of the archive, by their names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LASTING = "lasting-"
LINES, DAYS = ".jsonl", ".parquet"

FileState = tuple[int, int, int]
"""inode, size and modification time of a file"""


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """The files that are read, in their order, and those that another file has taken the place of."""

    lasting: list[Path]
    """what lasts of days of long ago, Parquet: one or none"""
    days: list[Path]
    """days after these, Parquet"""
    segments: list[Path]
    """the days after these, lines"""
    replaced: list[Path]

    @property
    def parquet(self) -> list[Path]:
        """The files of Parquet."""
        return self.lasting + self.days

    @classmethod
    def of(cls, directory: Path) -> "ShardFiles":
        """The files of a directory; none if it does not exist."""
        there = set(_listed(directory))
        # one listing may miss both a file and what took its place meanwhile: two alike do not
        while (again := set(_listed(directory))) != there:
            there = again
        lasting = sorted(path for path in there if path.name.startswith(LASTING))[-1:]
        upto = lasting[0].stem.removeprefix(LASTING) if lasting else ""
        later = sorted(path for path in there if not path.name.startswith(LASTING) and path.stem > upto)
        days = [path for path in later if path.suffix == DAYS]
        packed = {path.stem for path in days}
        segments = [path for path in later if path.suffix == LINES and path.stem not in packed]
        return cls(lasting, days, segments, sorted(there.difference(lasting, days, segments)))

    def next_segment(self, directory: Path, day: str) -> Path:
        """The next file for lines of a day (2026-11-29)."""
        of_day = [path.stem for path in (*self.parquet, *self.segments) if is_of(path, day)]
        number = max((int(stem.rpartition("-")[2]) for stem in of_day), default=0)
        return directory / f"{day}-{number + 1:04d}{LINES}"

    def remove_replaced(self) -> None:
        """Removes what another file has taken the place of."""
        for path in self.replaced:
            path.unlink(missing_ok=True)


def _listed(directory: Path) -> Iterator[Path]:
    return (path for path in directory.glob("[!.]*") if path.suffix in (LINES, DAYS))


def remove_unfinished(directory: Path) -> None:
    """Removes what was written aside and never put in its place. Hold the lock of the shard."""
    for path in directory.glob(".*.aside"):
        path.unlink(missing_ok=True)


def aside_of(path: Path) -> Path:
    """Where a file is written that is to be put in its place later."""
    return path.with_name(f".{path.name}.aside")


def lasting_beside(day: Path) -> Path:
    """The file of what lasts of everything up to a day's file."""
    return day.with_name(f"{LASTING}{day.name}")


def is_of(path: Path, day: str) -> bool:
    """Whether a file was begun for entries of a day."""
    return path.name.removeprefix(LASTING).startswith(f"{day}-")


def day_in_name(path: Path) -> str | None:
    """The day of a file's entries; None for one that is named by a number alone."""
    return path.stem.rpartition("-")[0] or None


def file_state(path: Path) -> FileState:
    """Whether a file is still the one that it was. Raises FileNotFoundError."""
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns
