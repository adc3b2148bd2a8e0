"""The live record: what one person did, and had done to them, since the floor, in one packed little-endian record.

    byte 0          layout version (1)
    bytes 1-8       revision, uint64: rises with every write; these nine bytes are what a conditional write compares
    5 x int64       last stamp; stamp of the last change of the profile; of the erasure; of the last change of the
                    friendships; floor (0: never)
    3 x int64       by flag of models.schema.columns.Flag, twice the stamp of its last change, plus 1 where it was set
    3 x uint32      people named, n; marks, m; people shown, s
    (n + 1) x uint32    where the id of each begins
    bytes           the ids, UTF-8
    m x uint32, m x uint8, m x int64    by mark: the person, the mark (models.live_state.edges), the stamp
    s x uint32, s x uint16, s x uint32  by person shown: the person, how often without an action, when last (epoch s)
    4 bytes         CRC-32 of all before

The floor is the cut of the oldest version that can still be activated: every version's tables know what came before.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.live_state.edges import (
    EDGE_EVENTS,
    GRAPH_CHANGING,
    Direction,
    edge_event,
)
from models.schema.columns import ALL_FLAGS, Flag
from models.schema.event_kinds import EventKind
from models.system.clock import MICROSECONDS
from models.version.packed_record import RecordFormat

MOST_SHOWN = 1000
"""people of whom a record counts showings; of more, those not shown for longest are forgotten"""
MOST_SHOWINGS = (1 << 16) - 1
FLAGS = tuple(Flag)

_REVISION_PREFIX = struct.Struct("<BQ")
_FORMAT = RecordFormat("live record", 1, "Q5q3q3I")
_SHOWN = struct.Struct("<IHI")


class Shown(NamedTuple):
    """How a person was shown to the one whose record it is."""

    last: int
    """epoch seconds, by the order of acknowledgement"""
    times: int
    """since the viewer last did anything else with the person"""


@dataclass(slots=True)
class LiveRecord:
    """A person's record. All stamps are microseconds; 0 stands for never."""

    revision: int = 0
    """of what the store holds; 0: nothing"""
    last: int = 0
    """the latest stamp of anything in it, which the next one has to pass"""
    profile: int = 0
    """of the last change of a profile column"""
    erased: int = 0
    """of the erasure"""
    graph_changed_at: int = 0
    """of the last change of the friendships: kept lists older than this are no use"""
    watermark: int = 0
    """marks up to this stamp were dropped"""
    flags: dict[Flag, tuple[int, bool]] = field(default_factory=dict)
    """by flag that was changed: when, and to what"""
    edges: dict[str, dict[int, int]] = field(default_factory=dict)
    """by other person, the latest stamp of each mark"""
    shown: dict[str, Shown] = field(default_factory=dict)
    """by person shown"""

    def apply(self, other_id: str, direction: Direction, kind: EventKind, timestamp_us: int) -> bool:
        """Takes in one half of an event that changes a pair; whether it was news. Any order, any number of times."""
        edge_events = self.edges.get(other_id, {})
        number = edge_event(direction, kind)
        if timestamp_us <= max(edge_events.get(number, 0), self.watermark):
            return False
        edge_events[number] = timestamp_us
        self.edges[other_id] = edge_events
        self.last = max(self.last, timestamp_us)
        if kind in GRAPH_CHANGING:
            self.graph_changed_at = max(self.graph_changed_at, timestamp_us)
        return True

    def show(self, other_id: str, timestamp_us: int) -> None:
        """Counts one showing of a person. Who is too many goes when the record is packed."""
        times = self.shown[other_id].times if other_id in self.shown else 0
        self.shown[other_id] = Shown(timestamp_us // MICROSECONDS, min(times + 1, MOST_SHOWINGS))

    def act(self, other_id: str) -> None:
        """Begins counting the showings of a person anew: the viewer did something with them."""
        self.shown.pop(other_id, None)

    def set_flag(self, flag: Flag, value: bool, timestamp_us: int) -> None:
        """Takes in a change of a flag; the later one stands, and of two at the same stamp the one that hides."""
        held = self.flags.get(flag)
        if held is None or (timestamp_us, not value) > (held[0], not held[1]):
            self.flags[flag] = (timestamp_us, value)
        self.last = max(self.last, timestamp_us)

    def flags_over(self, base: int, cut: int) -> Flag:
        """The flags of the person, who has `base` in a version with this cut."""
        flags = Flag(base) & ALL_FLAGS
        for flag, (timestamp_us, value) in self.flags.items():
            if timestamp_us > cut:
                flags = flags | flag if value else flags & ~flag
        return flags

    def drop_before(self, watermark: int) -> None:
        """Forgets the marks and flags up to a stamp that every version's cut has reached."""
        if watermark <= self.watermark:
            return
        self.watermark = watermark
        left = {
            other: {one: at for one, at in edge_events.items() if at > watermark}
            for other, edge_events in self.edges.items()
        }
        self.edges = {other: edge_events for other, edge_events in left.items() if edge_events}
        self.flags = {flag: change for flag, change in self.flags.items() if change[0] > watermark}

    def forget(self, other_id: str, upto: int) -> bool:
        """Drops all up to a stamp that names a person; whether anything did."""
        edge_events, shown = self.edges.get(other_id, {}), self.shown.get(other_id)
        left = {number: timestamp_us for number, timestamp_us in edge_events.items() if timestamp_us > upto}
        old = shown is not None and shown.last <= upto // MICROSECONDS
        if left:
            self.edges[other_id] = left
        else:
            self.edges.pop(other_id, None)
        if old:
            self.shown.pop(other_id, None)
        return old or len(left) < len(edge_events)

    def timestamps_us(self, others: Iterable[str] | None = None) -> NDArray[np.int64]:
        """(k, MARKS) int64 for models.live_state.edges.derive, of `others` or of everybody in `edges`, in their
        order."""
        people = list(self.edges if others is None else others)
        timestamps_us = np.zeros((len(people), EDGE_EVENTS), dtype=np.int64)
        for row, person in enumerate(people):
            for number, timestamp_us in self.edges.get(person, {}).items():
                timestamps_us[row, number] = timestamp_us
        return timestamps_us

    def pack(self) -> bytes:
        """The record, with people in the order of their ids: equal records are equal bytes."""
        self.shown = _latest(self.shown)
        people = sorted({*self.edges, *self.shown})
        place = {person: at for at, person in enumerate(people)}
        encoded = [person.encode() for person in people]
        starts = np.zeros(len(people) + 1, dtype="<u4")
        np.cumsum([len(one) for one in encoded], out=starts[1:])
        edge_events = sorted((place[person], one, at) for person, own in self.edges.items() for one, at in own.items())
        shown = sorted((place[person], one.times, one.last) for person, one in self.shown.items())
        flags = [self.flags.get(flag, (0, False)) for flag in FLAGS]
        return _FORMAT.seal(
            (
                self.revision,
                self.last,
                self.profile,
                self.erased,
                self.graph_changed_at,
                self.watermark,
                *(2 * timestamp_us + value for timestamp_us, value in flags),
                len(people),
                len(edge_events),
                len(shown),
            ),
            [
                starts.tobytes(),
                *encoded,
                *_columns(edge_events, ("<u4", "u1", "<i8")),
                *_columns(shown, ("<u4", "<u2", "<u4")),
            ],
        )

    @classmethod
    def unpack(cls, packed: bytes | None) -> "LiveRecord":
        """The record in these bytes; an empty one for None.

        Raises CorruptRecordError for another layout, a wrong length or a wrong checksum.
        """
        if packed is None:
            return cls()
        (_, revision, last, profile, erased, graph_changed_at, watermark, *rest), end = _FORMAT.open(packed)
        packed_flags, (n, m, s) = rest[:3], rest[3:]
        starts = np.frombuffer(packed, "<u4", n + 1, _FORMAT.payload_start).tolist()
        at = _FORMAT.payload_start + 4 * (n + 1)
        text = packed[at : at + starts[-1]]
        at += starts[-1]
        _FORMAT.check_length(end, at + m * 13 + s * _SHOWN.size)
        people = [text[begin:stop].decode() for begin, stop in pairwise(starts)]
        record = cls(revision, last, profile, erased, graph_changed_at, watermark)
        record.flags = {
            flag: (value >> 1, bool(value & 1)) for flag, value in zip(FLAGS, packed_flags, strict=True) if value
        }
        whose, edge_events, timestamps_us = _read_columns(packed, at, m, ("<u4", "u1", "<i8"))
        for person, number, timestamp_us in zip(whose, edge_events, timestamps_us, strict=True):
            record.edges.setdefault(people[person], {})[number] = timestamp_us
        whose, counts, lasts = _read_columns(packed, at + m * 13, s, ("<u4", "<u2", "<u4"))
        record.shown = {
            people[person]: Shown(when, times) for person, times, when in zip(whose, counts, lasts, strict=True)
        }
        return record

    @property
    def revision_prefix(self) -> bytes | None:
        """What the stored record begins with as long as nobody else has written it; None: there is none."""
        return _REVISION_PREFIX.pack(_FORMAT.layout, self.revision) if self.revision else None

    def next_revision(self, now: int) -> "LiveRecord":
        """This record under the revision that its next write has; above the clock's, so that none comes twice."""
        self.revision = max(self.revision + 1, now)
        return self


def revision_of(packed: bytes | None) -> int:
    """The revision of a packed record without the rest; 0 where there is none. Raises CorruptRecordError."""
    if packed is None:
        return 0
    if len(packed) < _REVISION_PREFIX.size or packed[0] != _FORMAT.layout:
        raise CorruptRecordError("a live record has no header that this release reads")
    return int(_REVISION_PREFIX.unpack_from(packed)[1])


def _latest(shown: Mapping[str, Shown]) -> dict[str, Shown]:
    """The MOST_SHOWN that were shown last."""
    if len(shown) <= MOST_SHOWN:
        return dict(shown)
    kept = sorted(shown, key=lambda person: (shown[person], person), reverse=True)[:MOST_SHOWN]
    return {person: shown[person] for person in kept}


def _columns(rows: list[tuple[int, int, int]], dtypes: tuple[str, str, str]) -> list[bytes]:
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return [np.array(column, dtype=dtype).tobytes() for column, dtype in zip(columns, dtypes, strict=True)]


def _read_columns(packed: bytes, at: int, count: int, dtypes: tuple[str, str, str]) -> list[list[int]]:
    columns = []
    for dtype in dtypes:
        columns.append(np.frombuffer(packed, dtype, count, at).tolist())
        at += count * np.dtype(dtype).itemsize
    return columns
