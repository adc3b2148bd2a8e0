"""How often each person was shown within the last day, told to everybody where it was too often.

Read from the archive, where every impression stands once: a worker that begins reads the last day of it again. One
worker at a time counts, whichever holds the first shard.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.errors import PymkError
from models.event_log.archive import order, position_and_entry
from models.live_state.exposure import Exposed
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import Vocabulary
from models.store.keys import SHARDS, Keys
from models.store.protocol import STREAM_START, SyncStore
from models.system.clock import MICROSECONDS, now_us

EVERY_S = 10.0
"""how often it is counted and told"""
HOUR_US = 3600 * MICROSECONDS
HOURS = 24
TELL_AGAIN_US = 300 * MICROSECONDS
"""how old what is told may become where nothing changes"""
READ_BYTES = 8 << 20
"""of a shard's archive at once"""
_WORD = EventKind.IMPRESSION.word
_MARK = b'"kind":"' + _WORD.encode() + b'"'
"""in every impression's line, and in few others'"""


@dataclass
class Showings:
    """Impressions of the people of one vocabulary by hour of acknowledgement; whoever is in no version is not shown."""

    vocabulary: Vocabulary
    hours: dict[int, NDArray[np.uint32]] = field(default_factory=dict)
    """by hour since 1970, (n,) uint32"""

    def count(self, people: list[str], timestamps_us: list[int]) -> None:
        """Counts impressions of people, each with its stamp."""
        rows = self.vocabulary.rows(people)
        at = np.array(timestamps_us, dtype=np.int64) // HOUR_US
        for hour in np.unique(at[rows >= 0]).tolist():
            counts = self.hours.setdefault(hour, np.zeros(len(self.vocabulary), np.uint32))
            counts += np.bincount(rows[(at == hour) & (rows >= 0)], minlength=len(counts)).astype(np.uint32)

    def forget(self, now: int) -> None:
        """Drops the hours that lie a day back, microseconds."""
        self.hours = {hour: counts for hour, counts in self.hours.items() if hour > now // HOUR_US - HOURS}

    def above(self, limit: int) -> list[str]:
        """The people who were shown more than `limit` times."""
        if not self.hours:
            return []
        total = np.sum(list(self.hours.values()), axis=0, dtype=np.int64)
        return [self.vocabulary.user_id(row) for row in np.flatnonzero(total > limit).tolist()]

    def moved(self, vocabulary: Vocabulary) -> "Showings":
        """The same counts by the rows of another version."""
        if vocabulary.digest == self.vocabulary.digest:
            return self
        other = Showings(vocabulary)
        for hour, counts in self.hours.items():
            shown = np.flatnonzero(counts)
            rows = vocabulary.rows([self.vocabulary.user_id(row) for row in shown.tolist()])
            other.hours[hour] = np.zeros(len(vocabulary), np.uint32)
            other.hours[hour][rows[rows >= 0]] = counts[shown[rows >= 0]]
        return other


class ExposureWorker:
    """Counts in a thread of its own from `run` to the stop event."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        home: Path,
        limit: int,
        vocabulary: Callable[[], Vocabulary | None],
        mine: Callable[[], bool],
        clock: Callable[[], int] = now_us,
    ) -> None:
        """`vocabulary` of the version served, None before there is one; `mine` whether this worker is to count."""
        self._store, self._keys, self._limit = store, keys, limit
        self._events = home / "events"
        self._vocabulary, self._mine, self._clock = vocabulary, mine, clock
        self._showings: Showings | None = None
        self._read: dict[int, _Read] = {}
        """by shard how far its archive was read"""
        self._told: Exposed | None = None

    def run(self, stop: threading.Event) -> None:
        """Counts and tells until the stop event."""
        while not stop.wait(EVERY_S):
            try:
                self.run_once()
            except (PymkError, OSError) as error:
                structlog.get_logger().warning("exposure_not_told", error=str(error))
            except Exception as error:  # the next turn must find the thread alive
                structlog.get_logger().error("exposure_not_told", exc_info=error)

    def run_once(self) -> None:
        """Counts what was archived since the last time, and tells who was shown too often, where that changed."""
        vocabulary = self._vocabulary()
        if vocabulary is None or not self._mine():
            self._showings, self._told = None, None  # whoever counts next reads the day again
            self._read.clear()
            return
        self._showings = Showings(vocabulary) if self._showings is None else self._showings.moved(vocabulary)
        now = self._clock()
        for shard in range(SHARDS):
            self._follow(shard, self._showings, now - HOURS * HOUR_US)
        self._showings.forget(now)
        exposed = Exposed.of(now, self._showings.above(self._limit))
        if self._told is None or self._told.people != exposed.people or now - self._told.timestamp_us >= TELL_AGAIN_US:
            self._store.set(self._keys.exposure, exposed.pack())
            self._told = exposed

    def _follow(self, shard: int, showings: Showings, since: int) -> None:
        """Reads on in a shard's archive, from the first segment that was written to within the day."""
        read = self._read.get(shard, _Read())
        for segment in sorted((self._events / f"{shard:02d}").glob("*.jsonl")):
            if segment.name < read.segment:
                continue
            state = segment.stat()
            if segment.name > read.segment:
                read = _Read(segment.name, 0 if state.st_mtime_ns // 1000 >= since else state.st_size, state.st_ino)
            elif state.st_ino != read.file:  # somebody was taken out of it; what was counted is known by its position
                read = replace(read, done=0, file=state.st_ino)
            self._read[shard] = read = self._count(segment, read, showings, since)

    def _count(self, segment: Path, read: "_Read", showings: Showings, since: int) -> "_Read":
        """Counts the whole lines of a segment that were not read yet; how far it is read then."""
        done, last = read.done, order(read.last)
        with segment.open("rb") as file:
            file.seek(done)
            rest = b""
            while content := file.read(READ_BYTES):
                *lines, rest = (rest + content).split(b"\n")
                done += sum(map(len, lines)) + len(lines)
                read_here = [position_and_entry(line) for line in lines if _MARK in line]
                impressions = [one for at, one in read_here if one["kind"] == _WORD and order(at) > last]
                said = [one for one in impressions if int(one["stamp"]) > since]
                showings.count([str(one["other_id"]) for one in said], [int(one["stamp"]) for one in said])
                if lines:
                    read = replace(read, done=done, last=position_and_entry(lines[-1])[0])
        return read


@dataclass(frozen=True, slots=True)
class _Read:
    """How far a shard's archive was read."""

    segment: str = ""
    done: int = 0
    """bytes of the segment"""
    file: int = 0
    """which file the segment was"""
    last: str = STREAM_START
    """position of the last line read"""
