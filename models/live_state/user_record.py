"""The live record: what one user did, and what others did to them, since the watermark; packed, little-endian.

A record is a base, and the journal of what changed since it was written (models.live_state.journal): writers add to the
journal, and models.live_state.compaction merges it into the base from time to time. The base:

    byte 0          layout version (1)
    bytes 1-8       revision, uint64, of the base: no two bases of a user have the same
    5 x int64       timestamps: the latest; of the last change of the profile; of the erasure; of the last change of the
                    friendships; the watermark (0: never)
    3 x int64       by flag of models.schema.columns.Flag, twice the timestamp of its last change, plus 1 if it is true
    3 x uint32      users named, n; edge events, m; users shown, s
    (n + 1) x uint32    where each id starts
    bytes           the ids, UTF-8
    m x uint32, m x uint8, m x int64    edge events: user, number (models.live_state.edges), timestamp
    s x uint32, s x uint16, s x uint32  users shown: user, impressions without an action, time of the last (epoch s)
    4 bytes         CRC-32 of all before

The watermark is the cut of the oldest version that can be activated: the tables of all versions include older events.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.live_state import journal
from models.live_state.edges import (
    CONTACT,
    EDGE_EVENTS,
    GRAPH_CHANGING,
    OF_ONE,
    PAIR_KINDS,
    UNCONTACT,
    Direction,
    edge_event,
)
from models.live_state.journal import JournalEntry
from models.schema.columns import ALL_FLAGS, Flag
from models.schema.event_kinds import EventKind
from models.system.clock import MICROSECONDS
from models.version.packed_record import CHECKSUM_BYTES, RecordFormat

MOST_SHOWN = 1000
"""users of whom a record counts impressions; beyond, the least recently shown are dropped"""
MOST_IMPRESSIONS = (1 << 16) - 1
SHOWN_S = 30 * 86_400
"""seconds after which the impressions of a user no longer count"""
PREFIX_BYTES = 9
"""of a record: they change whenever its base is replaced"""
FLAGS = tuple(Flag)

_REVISION_PREFIX = struct.Struct("<BQ")
_ERASED_PREFIX = struct.Struct("<BQ3q")
"""a record up to its timestamp of the erasure"""
_FORMAT = RecordFormat("live record", 1, "Q5q3q3I")
_COUNTS = struct.Struct("<3I")
_SHOWN = struct.Struct("<IHI")


class Shown(NamedTuple):
    """The impressions of one user on the record's owner."""

    last: int
    """epoch seconds of acknowledgement"""
    times: int
    """since the owner last acted on the user"""


@dataclass(slots=True)
class LiveRecord:
    """A user's record. All timestamps are microseconds; 0: never."""

    revision: int = 0
    """of the stored base; 0: none is stored"""
    last: int = 0
    """the latest timestamp in the record; the next is later"""
    profile: int = 0
    """of the last change of a profile column"""
    erased: int = 0
    """of the erasure"""
    graph_changed_at: int = 0
    """of the last change of the friendships: cached lists older than this are stale"""
    watermark: int = 0
    """edge events up to this timestamp were dropped"""
    flags: dict[Flag, tuple[int, bool]] = field(default_factory=dict)
    """by changed flag, the timestamp and the value"""
    edges: dict[str, dict[int, int]] = field(default_factory=dict)
    """by other user, the latest timestamp of each edge event"""
    shown: dict[str, Shown] = field(default_factory=dict)
    """by user shown"""

    def apply(self, other_id: str, direction: Direction, kind: EventKind, timestamp_us: int) -> bool:
        """Applies an event that changes a pair; returns whether the record changed. Commutative and idempotent."""
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

    def note(self, other_id: str, number: int, timestamp_us: int) -> None:
        """Applies an edge event of OF_ONE, which the watermark does not bound."""
        edge_events = self.edges.setdefault(other_id, {})
        edge_events[number] = max(timestamp_us, edge_events.get(number, 0))
        self.last = max(self.last, timestamp_us)

    def contacts(self) -> dict[str, int]:
        """The users who are in the owner's contacts, each with the timestamp since when.

        Up to an erasure they were those of another person of the same id, found by a match that was on its way.
        """
        return {
            other: edge_events[CONTACT]
            for other, edge_events in self.edges.items()
            if edge_events.get(CONTACT, 0) > max(edge_events.get(UNCONTACT, 0), self.erased)
        }

    def show(self, other_id: str, timestamp_us: int) -> None:
        """Counts one impression of a user. Packing drops the oldest beyond MOST_SHOWN."""
        times = self.shown[other_id].times if other_id in self.shown else 0
        self.shown[other_id] = Shown(timestamp_us // MICROSECONDS, min(times + 1, MOST_IMPRESSIONS))

    def act(self, other_id: str) -> None:
        """Resets the impressions of a user, since the owner acted on them."""
        self.shown.pop(other_id, None)

    def set_flag(self, flag: Flag, value: bool, timestamp_us: int) -> None:
        """Applies a change of a flag. The later one wins; of two at the same timestamp, false wins."""
        known = self.flags.get(flag)
        if known is None or (timestamp_us, not value) > (known[0], not known[1]):
            self.flags[flag] = (timestamp_us, value)
        self.last = max(self.last, timestamp_us)

    def flags_over(self, base: int, cut: int) -> Flag:
        """The user's flags, given `base` of a version with this cut."""
        flags = Flag(base) & ALL_FLAGS
        for flag, (timestamp_us, value) in self.flags.items():
            if timestamp_us > cut:
                flags = flags | flag if value else flags & ~flag
        return flags

    def drop_before(self, watermark: int) -> None:
        """Removes the edge events and flags up to a timestamp, which every version includes."""
        if watermark <= self.watermark:
            return
        self.watermark = watermark
        left = {
            other: {number: at for number, at in edge_events.items() if at > watermark or lasts(number, edge_events)}
            for other, edge_events in self.edges.items()
        }
        self.edges = {other: edge_events for other, edge_events in left.items() if edge_events}
        self.flags = {flag: change for flag, change in self.flags.items() if change[0] > watermark}

    def drop_shown_before(self, epoch_s: int) -> None:
        """Removes the impressions of users who were last shown before a time."""
        self.shown = {person: shown for person, shown in self.shown.items() if shown.last >= epoch_s}

    def forget(self, other_id: str, upto: int) -> bool:
        """Removes what names a user up to a timestamp; returns whether the record changed."""
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
        """(k, EDGE_EVENTS) int64 for models.live_state.edges.derive, of `others` or all of `edges`, in their order."""
        people = list(self.edges if others is None else others)
        timestamps_us = np.zeros((len(people), EDGE_EVENTS), dtype=np.int64)
        for row, person in enumerate(people):
            for number, timestamp_us in self.edges.get(person, {}).items():
                timestamps_us[row, number] = timestamp_us
        return timestamps_us

    def pack(self) -> bytes:
        """The record, with users in the order of their ids: equal records are equal bytes."""
        # the users named, in one table of ids
        self.shown = _latest(self.shown)
        people = sorted({*self.edges, *self.shown})
        position = {person: at for at, person in enumerate(people)}
        encoded = [person.encode() for person in people]
        starts = np.zeros(len(people) + 1, dtype="<u4")
        np.cumsum([len(user_id) for user_id in encoded], out=starts[1:])
        # columns refer to users by their position in the table
        edge_events = sorted(
            (position[person], number, at) for person, own in self.edges.items() for number, at in own.items()
        )
        shown = sorted((position[person], shown.times, shown.last) for person, shown in self.shown.items())
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
        """The record of these bytes, base and journal; an empty one for None. Raises CorruptRecordError."""
        if packed is None:
            return cls()
        end = base_length(packed)
        record = cls._unpack_base(packed[:end] if end < len(packed) else packed)
        record.merge(journal.entries(packed, end))
        return record

    @classmethod
    def _unpack_base(cls, packed: bytes) -> "LiveRecord":
        record, columns = open_base(packed)
        starts = np.frombuffer(packed, "<u4", columns.n + 1, columns.starts).tolist()
        text = packed[columns.ids : columns.edge_events]
        people = [text[begin:stop].decode() for begin, stop in pairwise(starts)]
        named, edge_events, timestamps_us = _read_columns(packed, columns.edge_events, columns.m, ("<u4", "u1", "<i8"))
        for person, number, timestamp_us in zip(named, edge_events, timestamps_us, strict=True):
            record.edges.setdefault(people[person], {})[number] = timestamp_us
        named, counts, lasts = _read_columns(packed, columns.shown, columns.s, ("<u4", "<u2", "<u4"))
        record.shown = {
            people[person]: Shown(when, times) for person, times, when in zip(named, counts, lasts, strict=True)
        }
        return record

    def merge(self, entries: Iterable[JournalEntry]) -> None:
        """Merges entries of the journal, in their order."""
        for number, timestamp_us, text in entries:
            if number == journal.MERGED:
                continue
            if number in OF_ONE:
                self.note(text, number, timestamp_us)
            elif number < EDGE_EVENTS:
                kind, direction = EventKind(number & ~Direction.IN), Direction(number & Direction.IN)
                if kind is EventKind.IMPRESSION:
                    self.show(text, timestamp_us)
                elif direction is Direction.OUT:
                    self.act(text)
                if kind in PAIR_KINDS:
                    self.apply(text, direction, kind, timestamp_us)
            elif timestamp_us > self.watermark:
                if number == journal.PROFILE:
                    self.profile = max(self.profile, timestamp_us)
                else:
                    self.set_flag(*JournalEntry(number, timestamp_us, text).flag, timestamp_us)
            self.last = max(self.last, timestamp_us)

    @property
    def revision_prefix(self) -> bytes | None:
        """The first bytes of the stored record; None if none is stored."""
        return _REVISION_PREFIX.pack(_FORMAT.layout, self.revision) if self.revision else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it that any version might lack."""
        kept = max(self.profile, self.erased, self.graph_changed_at)
        return not (self.edges or self.shown or self.flags) and kept <= self.watermark

    def next_revision(self, now: int) -> "LiveRecord":
        """This record with the revision of its next base, at least the clock: none repeats after a deletion."""
        self.revision = max(self.revision + 1, now)
        return self


class Columns(NamedTuple):
    """Where in a base its columns begin, bytes, and how many users, edge events and users shown they have."""

    starts: int
    ids: int
    edge_events: int
    shown: int
    n: int
    m: int
    s: int


def open_base(packed: bytes) -> tuple[LiveRecord, Columns]:
    """A record with the header's fields of a base alone, and its columns. Raises CorruptRecordError.

    `packed` may not have more than the base.
    """
    (_, revision, last, profile, erased, graph_changed_at, watermark, *rest), end = _FORMAT.open(packed)
    packed_flags, (n, m, s) = rest[:3], rest[3:]
    starts = _FORMAT.payload_start
    ids = starts + 4 * (n + 1)
    edge_events = ids + int.from_bytes(packed[ids - 4 : ids], "little")
    shown = edge_events + m * 13
    _FORMAT.check_length(end, shown + s * _SHOWN.size)
    record = LiveRecord(revision, last, profile, erased, graph_changed_at, watermark)
    record.flags = {
        flag: (value >> 1, bool(value & 1)) for flag, value in zip(FLAGS, packed_flags, strict=True) if value
    }
    return record, Columns(starts, ids, edge_events, shown, n, m, s)


def lasts(number: int, edge_events: Mapping[int, int]) -> bool:
    """Whether an edge event stays when all versions include its time: a contact that was not taken back."""
    return number == CONTACT and edge_events[CONTACT] > edge_events.get(UNCONTACT, 0)


def base_length(packed: bytes) -> int:
    """Where the journal of a record begins. Raises CorruptRecordError."""
    if len(packed) < _FORMAT.payload_start or packed[0] != _FORMAT.layout:
        raise CorruptRecordError("a live record has no header that this release reads")
    n, m, s = _COUNTS.unpack_from(packed, _FORMAT.payload_start - _COUNTS.size)
    last_start = _FORMAT.payload_start + 4 * n
    if last_start + 4 > len(packed):
        raise CorruptRecordError("a live record is truncated")
    text_bytes = int.from_bytes(packed[last_start : last_start + 4], "little")
    end = last_start + 4 + text_bytes + m * 13 + s * _SHOWN.size + CHECKSUM_BYTES
    if end > len(packed):
        raise CorruptRecordError("a live record is truncated")
    return int(end)


def revision_of(packed: bytes | None) -> tuple[int, int]:
    """What tells a packed record from each other state of it: the revision of its base, and its length in bytes.

    (0, 0) for None. Raises CorruptRecordError.
    """
    if packed is None:
        return 0, 0
    if len(packed) < _REVISION_PREFIX.size or packed[0] != _FORMAT.layout:
        raise CorruptRecordError("a live record has no header that this release reads")
    return int(_REVISION_PREFIX.unpack_from(packed)[1]), len(packed)


def erased_in(packed: bytes | None) -> int:
    """When the user of a packed record was erased, microseconds; 0: never, or it has no header that this release reads.

    Of a damaged record it may be anything.
    """
    if packed is None or len(packed) < _ERASED_PREFIX.size or packed[0] != _FORMAT.layout:
        return 0
    return int(_ERASED_PREFIX.unpack_from(packed)[-1])


def new_base(timestamp_us: int) -> bytes:
    """The base of a record whose journal begins: nothing."""
    return LiveRecord(revision=timestamp_us).pack()


def _latest(shown: Mapping[str, Shown]) -> dict[str, Shown]:
    """The MOST_SHOWN users that were shown last."""
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
