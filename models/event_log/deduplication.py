"""The identities of the events that were acknowledged within the last 48 hours: a repeated event has no effect.

They are kept by shard and generation, so that a generation is forgotten as a whole. A number in the store says which
generation is written to; it and those before it are looked in. No clock of a host, nor that of the store, decides when
the next one begins: the worker counts the time that passes while it runs (`Generations`), by a clock that is never set.
So an identity may be kept for longer than 48 hours, as long as no worker runs at all, but not for less.
"""

import hashlib
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from secrets import token_hex

from models.errors import CorruptRecordError
from models.event_log.event import Event
from models.store.keys import SHARDS, Keys, shard_of
from models.store.protocol import AsyncStore, SyncStore
from models.store.transaction import ONCE_BYTES, Once
from models.system.clock import DAY_US

GENERATIONS = 3
"""in which an event is looked for: the one that is written to, and the two that 48 hours reach back to"""
GENERATION_S = 25 * 3600.0
"""how long a generation is written to at least: half of 48 hours, and an hour for clocks that are slow"""
MOST_COUNTED_S = 600.0
"""of the time between two rounds of a worker: more passes only if the host or the process stood still"""
_FORGOTTEN = 30
"""so many generations before those are deleted: a worker may have been away"""


@dataclass(frozen=True, slots=True)
class Generation:
    """The generation that is written to, as stored under Keys.accepted_generation."""

    number: int
    age_s: float = 0.0
    """how long it has been written to, by the clocks of workers"""
    counted_by: str = "-"
    """the worker that counted last: two of them never count the same time"""

    def encode(self) -> bytes:
        """The record."""
        return f"{self.number} {self.age_s:.3f} {self.counted_by}".encode()

    @classmethod
    def decode(cls, record: bytes) -> "Generation":
        """The generation of a record. Raises CorruptRecordError."""
        try:
            number, age_s, counted_by = record.decode().split(" ")
            return cls(int(number), float(age_s), counted_by)
        except ValueError as error:
            raise CorruptRecordError(
                "the store's record of the generation of events cannot be read; restore the store, or delete the key "
                "that ends in accepted:generation: then events of the last 48 hours may count twice"
            ) from error


class Generations:
    """Begins the next generation when one is over, and forgets those that are too old; for the worker."""

    def __init__(self, store: SyncStore, keys: Keys, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._keys, self._monotonic = store, keys, monotonic
        self._name = token_hex(8)
        self._counted_at: float | None = None
        """when this worker last counted; None: it may count from here on"""

    def run_once(self) -> int:
        """Counts the time since the last round; returns how many generations of shards were deleted. Raises StoreError.

        A round after which another worker has counted counts nothing.
        """
        now, before = self._monotonic(), self._counted_at
        self._counted_at = now
        key = self._keys.accepted_generation
        record = self._store.get(key)
        if record is None:  # nothing was written yet
            return 0
        current = Generation.decode(record)
        is_first = before is None or current.counted_by != self._name
        passed_s = 0.0 if is_first or before is None else min(max(now - before, 0.0), MOST_COUNTED_S)
        counted = Generation(current.number, current.age_s + passed_s, self._name)
        if counted.age_s >= GENERATION_S:
            counted = Generation(current.number + 1, 0.0, self._name)
        if not self._store.compare_and_set(key, record, counted.encode()):
            return 0
        if counted.number == current.number and not is_first:
            return 0
        last = counted.number - GENERATIONS
        numbers = range(last, last - _FORGOTTEN, -1)
        return self._store.delete(self._keys.accepted(shard, number) for shard in range(SHARDS) for number in numbers)

    def pause(self) -> None:
        """Has the next round count nothing: another worker may count meanwhile."""
        self._counted_at = None


async def current_generation(store: AsyncStore, keys: Keys, now: int) -> int:
    """The number of the generation that is written to. The first one has the number of the day of `now`, microseconds:
    former releases named the generations by the day.
    """
    record = await store.get(keys.accepted_generation)
    if record is None:
        await store.compare_and_set(keys.accepted_generation, None, Generation(now // DAY_US).encode())
        record = await store.get(keys.accepted_generation)
    return Generation.decode(record or b"").number


def identities(event: Event) -> tuple[bytes, ...]:
    """What an event is recognised by, ONCE_BYTES each.

    Its viewer and `event_id`, if it has one; and viewer, kind, other user and `at`, if it has that. Two events that are
    equal in either are the same.
    """
    found = []
    if event.event_id is not None:
        found.append(b"\x00" + event.event_id.encode())
    if event.at is not None:
        other = event.other_id.encode()
        found.append(b"\x01" + struct.pack("<Bqi", event.kind, event.at, len(other)) + other)
    viewer = b"\xff" + event.user_id.encode()
    return tuple(hashlib.blake2b(identity + viewer, digest_size=ONCE_BYTES).digest() for identity in found)


def has_identities(events: Iterable[Event]) -> bool:
    """Whether any of these events can be recognised."""
    return any(event.event_id is not None or event.at is not None for event in events)


def once(keys: Keys, event: Event, generation: int) -> tuple[Once, ...]:
    """The conditions under which an event is new, given the generation that is written to.

    It is looked for in the next one too: that may have begun since the number was read.
    """
    shard = shard_of(event.user_id)
    numbers = (generation, generation + 1, *(generation - ago for ago in range(1, GENERATIONS)))
    names = tuple(keys.accepted(shard, number) for number in numbers)
    return tuple(Once(names, identity) for identity in identities(event))
