"""The archive of the event log: files of JSON lines under PYMK_HOME/events, one directory a shard.

    events/03/00000001.jsonl    each line an entry behind its `log_position` in the stream; rising from line to line

A line is archived once it is synced to disk and the position in the store (Keys.archived) has passed it. Whatever a
crash left behind that position is not archived yet, and is taken away by the next append. Where an entry was taken out,
its line keeps the position alone. Lines that call it `position`, as an event calls its place in a list, are read too.
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
from models.system import files

SEGMENT_BYTES = 64 << 20
"""size from which on a new file is begun"""
LOCK_S = 30.0
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
    """size and time of the last segment when this was so"""


class Archive:
    """The archive of a home. Many may read; those that write exclude each other shard by shard."""

    def __init__(self, home: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = home / "events"
        self._segment_bytes = segment_bytes
        self._tails: dict[int, _Tail] = {}

    def append(self, shard: int, entries: Sequence[tuple[str, bytes]], acknowledged: str = STREAM_START) -> int:
        """Adds entries with their positions and syncs them to disk; how many were not there yet.

        `acknowledged` is the position that the store calls archived: everything up to it has to be there. What stands
        behind it half-written is taken away first. Raises ArtefactError where something that was archived is missing.
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
            with segment.open("ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            files.sync_directory(segment.parent)
            self._tails[shard] = _Tail(segment, tail.size + len(lines), new[-1][0], _state(segment))
        return len(new)

    def read(self, shard: int, acknowledged: str = STREAM_START) -> Iterator[tuple[str, Entry | None]]:
        """The entries of a shard with their positions, in their order; None where one was taken out.

        `acknowledged` is the position in the store, read before. Raises ArtefactError where a line up to it is missing
        or unreadable; what is half-written behind it is passed over.
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
        """Takes out every entry that is of one of these people or names them, of each up to a stamp; how many.

        Each file is replaced as a whole, and only where something was in it.
        """
        taken = 0
        for shard in range(SHARDS):
            if segments := self._segments(shard):
                with self._locked(shard):
                    taken += sum(self._rewrite(one, upto, is_last=one == segments[-1]) for one in segments)
        return taken

    def _rewrite(self, segment: Path, upto: Mapping[str, int], *, is_last: bool) -> int:
        content, taken = [], 0
        for line in _lines(segment, is_last=is_last):
            if line.entry is not None and line.entry.names_any(upto):
                content.append(orjson.dumps({_POSITION: line.position}) + b"\n")
                taken += 1
            else:
                content.append(line.content)
        if taken:
            files.write_bytes(segment, b"".join(content))
        return taken

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
        for segment in reversed(segments[:-1]):  # a crash may have left the last one without a line
            if last is not None:
                break
            for line in _lines(segment, is_last=False):
                last = line.position
        return _Tail(segments[-1], size, last or STREAM_START)

    def _check(self, shard: int, last: str, acknowledged: str) -> None:
        if order(last) < order(acknowledged):
            raise ArtefactError(
                f"{self.directory / f'{shard:02d}'} ends at {last} where events up to {acknowledged} were archived: it "
                "is truncated or altered, or another host's worker has them; worker and night need the same PYMK_HOME"
            )

    @contextmanager
    def _locked(self, shard: int) -> Iterator[None]:
        with files.locked(self.directory / f".{shard:02d}.lock", LOCK_S) as held:
            if not held:
                raise PymkError(
                    f"another process has been writing {self.directory / f'{shard:02d}'} for {LOCK_S:.0f} s"
                )
            yield


@dataclass(frozen=True, slots=True)
class _Line:
    """A whole line of a segment."""

    position: str
    entry: Entry | None
    """None where it was taken out"""
    content: bytes


def order(position: str) -> tuple[int, int]:
    """What positions of a stream sort by."""
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)


def _lines(segment: Path, *, is_last: bool) -> Iterator[_Line]:
    """The lines of a segment up to the first that is not whole; only the last segment may have such.

    Raises ArtefactError where another has.
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
        position, said = position_and_entry(content)
        return _Line(position, Entry.from_json(said) if said else None, content)
    except (CorruptRecordError, ValueError):
        return None


def position_and_entry(line: bytes) -> tuple[str, dict[str, Any]]:
    """The position of a line and the JSON of its entry, {} where it was taken out. Raises ValueError."""
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("a line of the archive does not begin with its position")
    rest = line[head.end() :]
    return head[1].decode(), orjson.loads(b"{" + rest) if rest.strip() else {}


def _line(position: str, entry: bytes) -> bytes:
    """An encoded entry with its position put first."""
    return b'{"%b":%b,%b\n' % (_POSITION.encode(), orjson.dumps(position), entry[1:])


def _state(segment: Path) -> tuple[int, int]:
    state = segment.stat()
    return state.st_size, state.st_mtime_ns
