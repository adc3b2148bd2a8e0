"""The archive of the event log: files under PYMK_HOME/events, one directory for each shard, read in the order of names.

    events/03/2026-11-29-0001.jsonl            a line is an entry that starts with its `log_position` in the stream
    events/03/2026-11-26-0001.parquet          the same of a day that is over (models.event_log.archive.day_files)
    events/03/lasting-2025-11-28-0002.parquet  what lasts of everything up to this name

A line is archived once it is synced to disk and the position in the store (Keys.archived) has passed it. Lines that a
crash left after that position are not archived yet; the next append removes them. A removed entry leaves its position
in its line. Lines that call the position `position`, the name of an event's rank in a list, are read too, and so are
files of lines that are named by a number alone.

A Parquet file is written aside and renamed, and takes the place of the lines of its name, and a lasting one that of
all files up to its name: from then on these are not read, and they are removed. The last file of a shard is of lines.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from models.errors import ArtefactError, PymkError
from models.event_log.archive.line_format import REMOVED, day_of, encoded, last_position, lines_in, lines_of, order
from models.event_log.archive.shard_files import (
    DAYS,
    LINES,
    ShardFiles,
    aside_of,
    day_in_name,
    is_of,
    lasting_beside,
    remove_unfinished,
    segment_after,
)
from models.event_log.event import Entry
from models.store.keys import SHARDS
from models.store.protocol import STREAM_START
from models.system import disk, files

if TYPE_CHECKING:
    import polars as pl

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 64 << 20
"""a file of at least this size is followed by another file"""
LOCK_S = 30.0
LINES_DAYS = 2
"""days that stay lines: the worker counts the impressions of the latest one again when it starts"""
ATTEMPTS = 10
"""how often a shard is read again because a file was replaced meanwhile"""


class BusyShardError(PymkError):
    """Another process holds a shard of the archive for long."""


@dataclass(frozen=True, slots=True)
class _Tail:
    """The end of a shard's archive."""

    segment: Path | None
    size: int
    """bytes of the last segment that are whole lines"""
    last: str
    """position of the last whole line"""
    state: "_State | None" = None
    """of the last segment when this was read"""


class Archive:
    """The archive of a home. Reads need no lock; writes lock their shard."""

    def __init__(self, home: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = home / "events"
        self._segment_bytes = segment_bytes
        self._tails: dict[int, _Tail] = {}

    def append(self, shard: int, entries: Sequence[tuple[str, bytes]], acknowledged: str = STREAM_START) -> int:
        """Adds entries with their positions and syncs them to disk; returns how many are new.

        `acknowledged` is the position in the store up to which entries are archived. Incomplete lines after it are
        removed first. Raises ArtefactError if an archived line is missing.
        """
        with self._locked(shard):
            tail = self._tail(shard)
            self._check(shard, tail.last, acknowledged)
            new = [(position, entry) for position, entry in entries if order(position) > order(tail.last)]
            if not new:
                return 0
            if tail.segment is not None and tail.segment.stat().st_size > tail.size:
                _truncate(tail.segment, tail.size)
            for day, of_day in groupby(new, key=lambda entry: day_of(entry[0])):
                tail = self._tails[shard] = self._append(shard, tail, day, list(of_day))
        return len(new)

    def _append(self, shard: int, tail: _Tail, day: str, entries: Sequence[tuple[str, bytes]]) -> _Tail:
        """Adds entries of one day to the last segment, or to a new one if that is full or of another day."""
        segment, size = tail.segment, tail.size
        if segment is None or size >= self._segment_bytes or not is_of(segment, day):
            segment, size = self._next_segment(shard, segment, day), 0
        lines = b"".join(encoded(position, entry) for position, entry in entries)
        with disk.room(segment, len(lines), clear=self.directory.parent), segment.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        files.sync_directory(segment.parent)
        return _Tail(segment, size + len(lines), entries[-1][0], _state(segment))

    def read(self, shard: int, acknowledged: str = STREAM_START) -> Iterator[tuple[str, Entry | None]]:
        """The entries of a shard with their positions, in their order; None if one was removed.

        `acknowledged` is the position in the store, read before. Raises ArtefactError if a line up to it is missing
        or unreadable; incomplete lines after it are ignored.
        """
        last = STREAM_START
        for _ in range(ATTEMPTS):
            try:
                for position, entry in self._entries(shard):
                    if order(position) > order(last):
                        last = position
                        yield position, entry
            except FileNotFoundError:  # it was replaced since it was listed
                continue
            self._check(shard, last, acknowledged)
            return
        raise self._never_still(shard)

    def table(self, shard: int, acknowledged: str = STREAM_START, *where: "pl.Expr") -> tuple["pl.DataFrame", str]:
        """The entries of a shard that were not removed, and the position of the last one.

        Rows of models.event_log.archive.day_files.ENTRY_COLUMNS, in their order, for which all conditions hold: days
        without such rows cost little. `acknowledged` and errors as for `read`.
        """
        from models.event_log.archive import day_files

        for _ in range(ATTEMPTS):
            there = self._files(shard)
            try:
                lines = [day_files.table_of_lines(one, is_last=one == there.segments[-1]) for one in there.segments]
                last = next(filter(None, map(day_files.position_of_last, reversed(lines))), None)
                last = last or day_files.last_position(there.parquet)
                table = day_files.select(lines, there.parquet, where)
            except FileNotFoundError:
                continue
            self._check(shard, last, acknowledged)
            return table, last
        raise self._never_still(shard)

    def last(self, shard: int) -> str:
        """The position of the last whole line of a shard."""
        return self._tail(shard).last

    def rewrite(self, upto: Mapping[str, int]) -> int:
        """Removes the entries that name one of these users, up to a timestamp for each; returns how many.

        A file is replaced as a whole, and only if it holds such an entry.
        """
        from models.event_log.archive import day_files

        removed = 0
        for shard in range(SHARDS):
            if not (self.directory / f"{shard:02d}").is_dir():
                continue
            with self._locked(shard):
                remove_unfinished(self.directory / f"{shard:02d}")
                there = self._files(shard)
                there.remove_replaced()
                removed += sum(day_files.remove(day, upto) for day in there.parquet)
                for segment in there.segments:
                    removed += self._rewrite(segment, upto, is_last=segment == there.segments[-1])
        return removed

    def pack(self, now: datetime, whole_days: int) -> "Packed":
        """Turns days that are over into Parquet, and keeps of those more than `whole_days` ago what lasts.

        LINES_DAYS stay lines, and so does the last file. Files are made without the lock, and put in place with it if
        what they were made of is still as it was; a shard that another process holds is left for the next time. A
        reader meanwhile reads either. May be interrupted, and run again. Raises DiskFullError and ArtefactError; then
        the lines stay as they are.
        """
        until, whole_since = (f"{(now - timedelta(ago)).date()}" for ago in (LINES_DAYS, whole_days))
        packed = Packed()
        for shard in range(SHARDS):
            if not (self.directory / f"{shard:02d}").is_dir():
                continue
            try:
                with self._locked(shard):
                    remove_unfinished(self.directory / f"{shard:02d}")
                    self._files(shard).remove_replaced()
                for segment in takewhile(lambda one: self._day(one) < until, self._files(shard).segments[:-1]):
                    packed += self._pack(shard, segment)
                packed += self._pack_lasting(shard, whole_since)
            except BusyShardError as error:
                log.warning("event_archive_not_packed", error=str(error))
        return packed

    def _pack(self, shard: int, segment: Path) -> "Packed":
        """Puts Parquet in the place of lines."""
        from models.event_log.archive import day_files

        states = {segment: _state(segment)}
        table = day_files.table_of_lines(segment, is_last=False)
        made = segment.with_suffix(DAYS)
        day_files.write(table, aside_of(made))
        return Packed(files=1, entries=table.height) if self._put(shard, made, states) else Packed()

    def _pack_lasting(self, shard: int, whole_since: str) -> "Packed":
        """Adds what lasts of the days before one to the file of such entries."""
        from models.event_log.archive import day_files

        there = self._files(shard)
        old = list(takewhile(lambda day: self._day(day) < whole_since, there.days))
        if not old:
            return Packed()
        states = {path: _state(path) for path in there.lasting + old}
        made = lasting_beside(old[-1])
        passed = day_files.merge_lasting(list(states), aside_of(made))
        return Packed(passed=passed) if self._put(shard, made, states) else Packed()

    def _put(self, shard: int, made: Path, states: Mapping[Path, "_State"]) -> bool:
        """Puts a file in place that was written aside, and removes what it was made of; False if that has changed."""
        with self._locked(shard):
            try:
                if any(_state(path) != state for path, state in states.items()):
                    return False
                aside_of(made).replace(made)
            except FileNotFoundError:  # an erasure removed what was unfinished
                return False
            files.sync_directory(made.parent)
            self._files(shard).remove_replaced()
        return True

    @staticmethod
    def _day(path: Path) -> str:
        """The last day of a file's entries."""
        if (day := day_in_name(path)) is not None:
            return day
        if path.suffix == LINES:
            return day_of(last_position(path))
        from models.event_log.archive import day_files

        return day_of(day_files.last_position([path]))

    def _rewrite(self, segment: Path, upto: Mapping[str, int], *, is_last: bool) -> int:
        content, removed = [], 0
        for line in lines_in(segment, is_last=is_last):
            if line.entry is not None and line.entry.names_any(upto):
                content.append(encoded(line.position, REMOVED))
                removed += 1
            else:
                content.append(line.content)
        if removed:
            files.write_bytes(segment, b"".join(content))
        return removed

    def _entries(self, shard: int) -> Iterator[tuple[str, Entry | None]]:
        """The entries of the files that are there now. Raises FileNotFoundError if one is replaced meanwhile."""
        from models.event_log.archive import day_files

        there = self._files(shard)
        for day in there.parquet:
            yield from day_files.entries(day)
        for line in lines_of(there.segments):
            yield line.position, line.entry

    def _files(self, shard: int) -> ShardFiles:
        return ShardFiles.of(self.directory / f"{shard:02d}")

    def _never_still(self, shard: int) -> PymkError:
        return PymkError(f"the files of {self.directory / f'{shard:02d}'} are replaced again and again; try again")

    def _next_segment(self, shard: int, last: Path | None, day: str) -> Path:
        directory = self.directory / f"{shard:02d}"
        if not directory.is_dir():
            directory.mkdir(parents=True)
            files.sync_directory(self.directory)
        return segment_after(last, directory, day)

    def _tail(self, shard: int) -> _Tail:
        there = self._files(shard)
        if not there.segments:
            return _Tail(None, 0, self._last_of_days(there))
        segment = there.segments[-1]
        known = self._tails.get(shard)
        if known is not None and known.segment == segment and known.state == _state(segment):
            return known
        size, last = 0, None
        for line in lines_in(segment, is_last=True):
            size, last = size + len(line.content), line.position
        for earlier in reversed(there.segments[:-1]):  # a crash may have left the last segment without a line
            if last is not None:
                break
            for line in lines_in(earlier, is_last=False):
                last = line.position
        return _Tail(segment, size, last or self._last_of_days(there))

    def _last_of_days(self, there: ShardFiles) -> str:
        if not there.parquet:
            return STREAM_START
        from models.event_log.archive import day_files

        return day_files.last_position(there.parquet)

    def _check(self, shard: int, last: str, acknowledged: str) -> None:
        if order(last) < order(acknowledged):
            raise ArtefactError(
                f"{self.directory / f'{shard:02d}'} ends at {last}, but events up to {acknowledged} were archived: it "
                "is truncated or altered, or the worker of another host archived them; worker and night need the same "
                "PYMK_HOME"
            )

    @contextmanager
    def _locked(self, shard: int) -> Iterator[None]:
        with files.locked(self.directory / f".{shard:02d}.lock", LOCK_S) as is_locked:
            if not is_locked:
                raise BusyShardError(
                    f"another process has been writing {self.directory / f'{shard:02d}'} for {LOCK_S:.0f} s"
                )
            yield


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


def _truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


_State = tuple[int, int, int]
"""inode, size and modification time of a file"""


def _state(path: Path) -> _State:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns
