"""Packs an archive: turns the lines of days that are over into Parquet, and keeps of those long ago what lasts.

Files are made without the lock of their shard, and put in place with it if what they were made of is still as it was.
A reader meanwhile reads either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

import structlog

from models.event_log.archive import day_files
from models.event_log.archive.archive import Archive, BusyShardError
from models.event_log.archive.line_format import last_position
from models.event_log.archive.shard_files import (
    DAYS,
    LINES,
    FileState,
    aside_of,
    day_in_name,
    file_state,
    lasting_beside,
    remove_unfinished,
)
from models.store.keys import SHARDS
from models.system import files
from models.system.stream_position import day_of

LINES_DAYS = 2
"""days that stay lines: the worker counts the impressions of the latest one again when it starts"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Packed:
    """What packing changed."""

    files: int = 0
    """of lines that are Parquet now"""
    entries: int = 0
    """in these"""
    passed: int = 0
    """entries of long ago that are not kept"""

    def __add__(self, other: "Packed") -> "Packed":
        return Packed(self.files + other.files, self.entries + other.entries, self.passed + other.passed)


def pack(archive: Archive, now: datetime, whole_days: int) -> Packed:
    """Turns days that are over into Parquet, and keeps of those more than `whole_days` ago what lasts.

    LINES_DAYS stay lines, and so does the last file. A shard that another process holds or changes is left for the next
    time. May be interrupted, and run again. Raises DiskFullError and ArtefactError; then the lines stay as they are.
    """
    until, whole_since = (f"{(now - timedelta(ago)).date()}" for ago in (LINES_DAYS, whole_days))
    packed = Packed()
    for shard in range(SHARDS):
        if not archive.directory_of(shard).is_dir():
            continue
        try:
            with archive.locked(shard):
                remove_unfinished(archive.directory_of(shard))
                archive.files_of(shard).remove_replaced()
            for segment in takewhile(lambda one: _day(one) < until, archive.files_of(shard).segments[:-1]):
                packed += _pack_lines(archive, shard, segment)
            packed += _pack_lasting(archive, shard, whole_since)
        except (BusyShardError, FileNotFoundError) as error:  # an erasure removes what is unfinished
            log.warning("event_archive_not_packed", error=str(error))
    return packed


def _pack_lines(archive: Archive, shard: int, segment: Path) -> Packed:
    """Puts Parquet in the place of lines."""
    states = {segment: file_state(segment)}
    table = day_files.table_of_lines(segment, is_last=False)
    made = segment.with_suffix(DAYS)
    day_files.write(table, aside_of(made))
    return Packed(files=1, entries=table.height) if _put(archive, shard, made, states) else Packed()


def _pack_lasting(archive: Archive, shard: int, whole_since: str) -> Packed:
    """Adds what lasts of the days before one to the file of such entries."""
    there = archive.files_of(shard)
    old = list(takewhile(lambda day: _day(day) < whole_since, there.days))
    if not old:
        return Packed()
    states = {path: file_state(path) for path in there.lasting + old}
    made = lasting_beside(old[-1])
    passed = day_files.merge_lasting(list(states), aside_of(made))
    return Packed(passed=passed) if _put(archive, shard, made, states) else Packed()


def _put(archive: Archive, shard: int, made: Path, states: Mapping[Path, FileState]) -> bool:
    """Puts a file in place that was written aside, and removes what it was made of; False if that has changed."""
    with archive.locked(shard):
        if any(file_state(path) != state for path, state in states.items()):
            return False
        aside_of(made).replace(made)
        files.sync_directory(made.parent)
        archive.files_of(shard).remove_replaced()
    return True


def _day(path: Path) -> str:
    """The last day of a file's entries."""
    if (day := day_in_name(path)) is not None:
        return day
    return day_of(last_position(path) if path.suffix == LINES else day_files.last_position([path]))
