"""The archive of the event log: files of JSON lines under PYMK_HOME/events, one directory for each shard.

    events/03/00000001.jsonl    a line is an entry that starts with its `log_position` in the stream, in rising order

A line is archived once it is synced to disk and the position in the store (Keys.archived) has passed it. Lines that a
crash left after that position are not archived yet; the next append removes them. A removed entry leaves its position
in its line. Lines that call the position `position`, the name of an event's rank in a list, are read too.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from models.errors import ArtefactError, CorruptRecordError, PymkError
from models.event_log.event import Entry
from models.store.keys import SHARDS
from models.store.protocol import STREAM_START
from models.system import disk, files

SEGMENT_BYTES = 64 << 20
"""a file of at least this size is followed by another file"""
LOCK_S = 30.0
REMOVED = b""
"""an entry of which the archive holds the position alone"""
_POSITION = "log_position"
_HEAD = re.compile(rb'\{"(?:log_)?position":"(\d+-\d+)"[,}]')


@dataclass(frozen=True, slots=True)
class _Tail:
    """The end of a shard's archive."""

    segment: Path | None
    size: int
    """bytes of the last segment that are whole lines"""
    last: str
    """position of the last whole line"""
    state: tuple[int, int] | None = None
    """size and modification time of the last segment when this was read"""


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
            segment = tail.segment
            if segment is not None and segment.stat().st_size > tail.size:
                os.truncate(segment, tail.size)
            if segment is None or tail.size >= self._segment_bytes:
                segment, tail = self._next_segment(shard, segment), _Tail(None, 0, tail.last)
            lines = b"".join(_line(position, entry) for position, entry in new)
            with disk.room(segment, len(lines), clear=self.directory.parent), segment.open("ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            files.sync_directory(segment.parent)
            self._tails[shard] = _Tail(segment, tail.size + len(lines), new[-1][0], _state(segment))
        return len(new)

    def read(self, shard: int, acknowledged: str = STREAM_START) -> Iterator[tuple[str, Entry | None]]:
        """The entries of a shard with their positions, in their order; None if one was removed.

        `acknowledged` is the position in the store, read before. Raises ArtefactError if a line up to it is missing
        or unreadable; incomplete lines after it are ignored.
        """
        last = STREAM_START
        segments = self._segments(shard)
        for segment in segments:
            for line in _lines(segment, is_last=segment == segments[-1]):
                last = line.position
                yield line.position, line.entry
        self._check(shard, last, acknowledged)

    def last(self, shard: int) -> str:
        """The position of the last whole line of a shard."""
        return self._tail(shard).last

    def rewrite(self, upto: Mapping[str, int]) -> int:
        """Removes the entries that name one of these users, up to a timestamp for each; returns how many.

        A file is replaced as a whole, and only if it holds such an entry.
        """
        removed = 0
        for shard in range(SHARDS):
            if segments := self._segments(shard):
                with self._locked(shard):
                    removed += sum(
                        self._rewrite(segment, upto, is_last=segment == segments[-1]) for segment in segments
                    )
        return removed

    def _rewrite(self, segment: Path, upto: Mapping[str, int], *, is_last: bool) -> int:
        content, removed = [], 0
        for line in _lines(segment, is_last=is_last):
            if line.entry is not None and line.entry.names_any(upto):
                content.append(_line(line.position, REMOVED))
                removed += 1
            else:
                content.append(line.content)
        if removed:
            files.write_bytes(segment, b"".join(content))
        return removed

    def _segments(self, shard: int) -> list[Path]:
        return sorted((self.directory / f"{shard:02d}").glob("*.jsonl"))

    def _next_segment(self, shard: int, last: Path | None) -> Path:
        directory = self.directory / f"{shard:02d}"
        if not directory.is_dir():
            directory.mkdir(parents=True)
            files.sync_directory(self.directory)
        return directory / f"{1 if last is None else int(last.stem) + 1:08d}.jsonl"

    def _tail(self, shard: int) -> _Tail:
        segments = self._segments(shard)
        if not segments:
            return _Tail(None, 0, STREAM_START)
        known = self._tails.get(shard)
        if known is not None and known.segment == segments[-1] and known.state == _state(segments[-1]):
            return known
        size, last = 0, None
        for line in _lines(segments[-1], is_last=True):
            size, last = size + len(line.content), line.position
        for segment in reversed(segments[:-1]):  # a crash may have left the last segment without a line
            if last is not None:
                break
            for line in _lines(segment, is_last=False):
                last = line.position
        return _Tail(segments[-1], size, last or STREAM_START)

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
                raise PymkError(
                    f"another process has been writing {self.directory / f'{shard:02d}'} for {LOCK_S:.0f} s"
                )
            yield


@dataclass(frozen=True, slots=True)
class _Line:
    """A whole line of a segment."""

    position: str
    entry: Entry | None
    """None if it was removed"""
    content: bytes


def order(position: str) -> tuple[int, int]:
    """The sort key of a position of a stream."""
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)


def _lines(segment: Path, *, is_last: bool) -> Iterator[_Line]:
    """The lines of a segment up to the first incomplete one.

    Raises ArtefactError for an incomplete line in any segment but the last.
    """
    with segment.open("rb") as file:
        for number, content in enumerate(file, 1):
            line = _parsed(content)
            if line is None:
                if not is_last:
                    raise ArtefactError(f"{segment}, line {number}: truncated or altered")
                return
            yield line


def _parsed(content: bytes) -> _Line | None:
    if not content.endswith(b"\n"):
        return None
    try:
        position, fields = position_and_entry(content)
        return _Line(position, Entry.from_json(fields) if fields else None, content)
    except (CorruptRecordError, ValueError):
        return None


def position_and_entry(line: bytes) -> tuple[str, dict[str, Any]]:
    """The position of a line and the JSON of its entry, {} if it was removed. Raises ValueError."""
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("a line of the archive does not start with its position")
    rest = line[head.end() :]
    return head[1].decode(), orjson.loads(b"{" + rest) if rest.strip() else {}


def _line(position: str, entry: bytes) -> bytes:
    """An encoded entry with its position in front; the position alone if the entry is REMOVED."""
    if entry == REMOVED:
        return orjson.dumps({_POSITION: position}) + b"\n"
    return b'{"%b":%b,%b\n' % (_POSITION.encode(), orjson.dumps(position), entry[1:])


def _state(segment: Path) -> tuple[int, int]:
    state = segment.stat()
    return state.st_size, state.st_mtime_ns
