"""The lines of the archive: an entry each, behind its position in the stream of the store.

A removed entry leaves its position in its line. Lines that call the position `position`, the name of an event's rank in
a list, are read too.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from models.errors import ArtefactError, CorruptRecordError
from models.event_log.event import Entry
from models.store.protocol import STREAM_START

REMOVED = b""
"""an entry of which the archive holds the position alone"""
_LONGEST_BYTES = 8 << 20
"""no line is longer"""
_POSITION = "log_position"
_HEAD = re.compile(rb'\{"(?:log_)?position":"(\d+-\d+)"[,}]')


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line of a segment."""

    position: str
    entry: Entry | None
    """None if it was removed"""
    content: bytes


def lines_of(segments: Sequence[Path]) -> Iterator[Line]:
    """The lines of all segments of a shard. Raises FileNotFoundError if one was replaced since they were listed."""
    for segment in segments:
        yield from lines_in(segment, is_last=segment == segments[-1])


def lines_in(segment: Path, *, is_last: bool) -> Iterator[Line]:
    """The lines of a segment up to the first incomplete one.

    Raises ArtefactError for an incomplete line in any segment but the last.
    """
    with segment.open("rb") as file:
        for number, content in enumerate(file, 1):
            line = parsed_line(content)
            if line is None:
                if not is_last:
                    raise ArtefactError(f"{segment}, line {number}: truncated or altered")
                return
            yield line


def last_position(segment: Path) -> str:
    """The position of the last line of a file that has whole lines alone; STREAM_START without one."""
    with segment.open("rb") as file:
        file.seek(max(0, segment.stat().st_size - _LONGEST_BYTES))
        lines = file.read().splitlines(keepends=True)
    line = parsed_line(lines[-1]) if lines else None
    return STREAM_START if line is None else line.position


def parsed_line(content: bytes) -> Line | None:
    """The line in these bytes, with its end; None if it is incomplete or no entry."""
    if not content.endswith(b"\n"):
        return None
    try:
        position, fields = position_and_entry(content)
        return Line(position, Entry.from_json(fields) if fields else None, content)
    except (CorruptRecordError, ValueError):
        return None


def position_and_entry(line: bytes) -> tuple[str, dict[str, Any]]:
    """The position of a line and the JSON of its entry, {} if it was removed. Raises ValueError."""
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("a line of the archive does not start with its position")
    rest = line[head.end() :]
    return head[1].decode(), orjson.loads(b"{" + rest) if rest.strip() else {}


def encoded(position: str, entry: bytes) -> bytes:
    """An encoded entry with its position in front; the position alone if the entry is REMOVED."""
    if entry == REMOVED:
        return orjson.dumps({_POSITION: position}) + b"\n"
    return b'{"%b":%b,%b\n' % (_POSITION.encode(), orjson.dumps(position), entry[1:])
