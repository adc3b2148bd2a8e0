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
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ArtefactError, PymkError
from models.event_log.archive.line_format import REMOVED, encoded, lines_in, lines_of
from models.event_log.archive.shard_files import (
    FileState,
    ShardFiles,
    file_state,
    is_of,
    remove_unfinished,
)
from models.event_log.event import Entry
from models.store.keys import SHARDS
from models.store.protocol import STREAM_START
from models.system import disk, files
from models.system.stream_position import day_of, order

if TYPE_CHECKING:
    import polars as pl

SEGMENT_BYTES = 64 << 20
"""a file of at least this size is followed by another file"""
LOCK_S = 30.0
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
    state: FileState | None = None
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
        with self.locked(shard):
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
            segment, size = self._next_segment(shard, day), 0
        lines = b"".join(encoded(position, entry) for position, entry in entries)
        with disk.room(segment, len(lines), clear=self.directory.parent), segment.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        files.sync_directory(segment.parent)
        return _Tail(segment, size + len(lines), entries[-1][0], file_state(segment))

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
            there = self.files_of(shard)
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
            if not self.directory_of(shard).is_dir():
                continue
            with self.locked(shard):
                remove_unfinished(self.directory_of(shard))
                there = self.files_of(shard)
                there.remove_replaced()
                removed += sum(day_files.remove(day, upto) for day in there.parquet)
                for segment in there.segments:
                    removed += self._rewrite(segment, upto, is_last=segment == there.segments[-1])
        return removed

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

        there = self.files_of(shard)
        for day in there.parquet:
            yield from day_files.entries(day)
        for line in lines_of(there.segments):
            yield line.position, line.entry

    def files_of(self, shard: int) -> ShardFiles:
        """The files of a shard, as they are now."""
        return ShardFiles.of(self.directory_of(shard))

    def _never_still(self, shard: int) -> PymkError:
        return PymkError(f"the files of {self.directory_of(shard)} are replaced again and again; try again")

    def _next_segment(self, shard: int, day: str) -> Path:
        directory = self.directory_of(shard)
        if not directory.is_dir():
            directory.mkdir(parents=True)
            files.sync_directory(self.directory)
        return self.files_of(shard).next_segment(directory, day)

    def _tail(self, shard: int) -> _Tail:
        there = self.files_of(shard)
        if not there.segments:
            return _Tail(None, 0, self._last_of_days(there))
        segment = there.segments[-1]
        known = self._tails.get(shard)
        if known is not None and known.segment == segment and known.state == file_state(segment):
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
                f"{self.directory_of(shard)} ends at {last}, but events up to {acknowledged} were archived: it "
                "is truncated or altered, or the worker of another host archived them; worker and night need the same "
                "PYMK_HOME"
            )

    def directory_of(self, shard: int) -> Path:
        """The directory of a shard."""
        return self.directory / f"{shard:02d}"

    @contextmanager
    def locked(self, shard: int) -> Iterator[None]:
        """Holds the lock of a shard. Raises BusyShardError if another process has it for LOCK_S."""
        with files.locked(self.directory / f".{shard:02d}.lock", LOCK_S) as is_locked:
            if not is_locked:
                raise BusyShardError(f"another process has been writing {self.directory_of(shard)} for {LOCK_S:.0f} s")
            yield


def _truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())
