"""How often each user was shown within the last day; those shown too often are published to the serving processes.

Impressions are read from the archive, which has each once: a worker that starts reads the last day again. One worker at
a time counts, the one that holds the first shard.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.event_log.archive.line_format import position_and_entry
from models.experiments.registry import read as read_experiments
from models.live_state.exposure import Exposed
from models.live_state.seldom_shown import SeldomShown
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import Vocabulary
from models.store.keys import SHARDS, Keys
from models.store.protocol import STREAM_START, SyncStore
from models.system.clock import HOUR_US, MICROSECONDS, now_us
from models.system.stream_position import order
from service.worker.contact import Contact
from service.worker.rounds import repeat

EVERY_S = 10.0
"""how often impressions are counted and the table is published"""
HOURS = 24
PUBLISH_AGAIN_US = 300 * MICROSECONDS
"""how old the published table may become if nothing changes"""
SELDOM_US = 60 * MICROSECONDS
"""how old the table of those hardly shown becomes"""
SELDOM_TTL_S = 900.0
"""when it expires, if no worker makes another"""
READ_BYTES = 8 << 20
"""of a shard's archive at once"""
PART = "exposure"
_WORD = EventKind.IMPRESSION.word
_MARK = b'"kind":"' + _WORD.encode() + b'"'
"""in the line of every impression, and in few others"""


@dataclass
class Showings:
    """Impressions of the users of one vocabulary by hour of acknowledgement; others are not counted."""

    vocabulary: Vocabulary
    hours: dict[int, NDArray[np.uint32]] = field(default_factory=dict)
    """by hour since 1970, (n,) uint32"""

    def count(self, people: list[str], timestamps_us: list[int]) -> None:
        """Counts impressions of people, each with its timestamp."""
        rows = self.vocabulary.rows(people)
        at = np.array(timestamps_us, dtype=np.int64) // HOUR_US
        for hour in np.unique(at[rows >= 0]).tolist():
            counts = self.hours.setdefault(hour, np.zeros(len(self.vocabulary), np.uint32))
            counts += np.bincount(rows[(at == hour) & (rows >= 0)], minlength=len(counts)).astype(np.uint32)

    def expire(self, now: int) -> None:
        """Drops the hours that are a day old; `now` in microseconds."""
        self.hours = {hour: counts for hour, counts in self.hours.items() if hour > now // HOUR_US - HOURS}

    def above(self, limit: int) -> list[str]:
        """The users who were shown more than `limit` times."""
        if not self.hours:
            return []
        total = np.sum(list(self.hours.values()), axis=0, dtype=np.int64)
        return [self.vocabulary.user_id(row) for row in np.flatnonzero(total > limit).tolist()]

    def below(self, limit: int) -> NDArray[np.bool_]:
        """(n,) who was shown less than `limit` times."""
        total = np.zeros(len(self.vocabulary), dtype=np.int64)
        for counts in self.hours.values():
            total += counts
        return total < limit

    def in_rows_of(self, vocabulary: Vocabulary) -> "Showings":
        """The same counts in the rows of another version."""
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
        is_mine: Callable[[], bool],
        clock: Callable[[], int] = now_us,
        contact: Contact | None = None,
        seldom: int = 5,
        *,
        favours: bool = False,
    ) -> None:
        """`seldom` impressions a day are hardly any; `favours`: the installation wants to know who has so few. Arms of
        experiments may too.

        `vocabulary` is that of the served version, None if there is none; `is_mine`: whether this worker counts."""
        self._store, self._keys, self._limit = store, keys, limit
        self._events = home / "events"
        self._contact = Contact() if contact is None else contact
        self._vocabulary, self._is_mine, self._clock = vocabulary, is_mine, clock
        self._showings: Showings | None = None
        self._read: dict[int, _Read] = {}
        """by shard how far its archive was read"""
        self._published: Exposed | None = None
        self._seldom, self._favours, self._seldom_at = seldom, favours, 0

    def run(self, stop: threading.Event) -> None:
        """Counts and publishes until the stop event."""
        repeat(stop, self._round, self._contact, PART, "exposure_not_published", every_s=EVERY_S)

    def _round(self) -> float:
        self.run_once()
        return EVERY_S

    def run_once(self) -> None:
        """Counts what was archived since the last round, and publishes the table of exposed users if it changed."""
        vocabulary = self._vocabulary()
        if vocabulary is None or not self._is_mine():
            self._showings, self._published = None, None  # a worker that counts again reads the whole day
            self._read.clear()
            return
        self._showings = Showings(vocabulary) if self._showings is None else self._showings.in_rows_of(vocabulary)
        now = self._clock()
        for shard in range(SHARDS):
            self._follow(shard, self._showings, now - HOURS * HOUR_US)
        self._showings.expire(now)
        exposed = Exposed.of(now, self._showings.above(self._limit))
        if (
            self._published is None
            or self._published.people != exposed.people
            or not 0 <= now - self._published.timestamp_us < PUBLISH_AGAIN_US  # or the clock was set back
        ):
            self._store.set(self._keys.exposure, exposed.pack())
            self._published = exposed
        if not 0 <= now - self._seldom_at < SELDOM_US:
            if self._favours or self._arms_favour():
                table = SeldomShown(vocabulary.digest, self._showings.below(self._seldom))
                self._store.set(self._keys.seldom_shown, table.pack(), SELDOM_TTL_S)
            self._seldom_at = now

    def _arms_favour(self) -> bool:
        """Whether an experiment that runs favours people who were hardly shown; not one that cannot be read."""
        with suppress(CorruptRecordError):
            return any(run.experiment.boosts for run in read_experiments(self._store, keys=self._keys).running)
        return False

    def _follow(self, shard: int, showings: Showings, since: int) -> None:
        """Reads further in a shard's archive, from the first segment that was written to within the day."""
        read = self._read.get(shard, _Read())
        for segment in sorted((self._events / f"{shard:02d}").glob("*.jsonl")):
            if segment.name < read.segment:
                continue
            try:
                state = segment.stat()
            except FileNotFoundError:  # a night packed it, which is older than a day
                continue
            if segment.name > read.segment:
                read = _Read(segment.name, 0 if state.st_mtime_ns // 1000 >= since else state.st_size, state.st_ino)
            elif state.st_ino != read.file:  # a purge rewrote it; counted lines are known by their position
                read = replace(read, done=0, file=state.st_ino)
            with suppress(FileNotFoundError):
                self._read[shard] = read = self._count(segment, read, showings, since)

    def _count(self, segment: Path, read: "_Read", showings: Showings, since: int) -> "_Read":
        """Counts the whole lines of a segment that were not read yet; returns how far it is read."""
        done, last = read.done, order(read.last)
        with segment.open("rb") as file:
            file.seek(done)
            rest = b""
            while content := file.read(READ_BYTES):
                *lines, rest = (rest + content).split(b"\n")
                done += sum(map(len, lines)) + len(lines)
                entries = [position_and_entry(line) for line in lines if _MARK in line]
                shown = [
                    (str(entry["other_id"]), int(entry["stamp"]))
                    for position, entry in entries
                    if entry["kind"] == _WORD and order(position) > last and int(entry["stamp"]) > since
                ]
                showings.count([user_id for user_id, _ in shown], [timestamp_us for _, timestamp_us in shown])
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
    """inode of the segment's file"""
    last: str = STREAM_START
    """position of the last line read"""
