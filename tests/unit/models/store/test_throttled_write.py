"""A large write goes at full speed where nobody reads, and leaves the store to others where they do."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from models.publishing.publish_lock import LEASE_S
from models.store.redis_commands import BATCH_BYTES
from models.store.throttled_write import (
    LONGEST_PAUSE_S,
    MEASURE_S,
    SHARED_READS_PER_S,
    SHORT_BYTES,
    throttled_write,
)
from tests.support.memory_store import MemoryStore

VALUE = bytes(10_000)
SECONDS_A_BYTE = 5e-9
"""5 ms a megabyte"""


@dataclass
class Busy(MemoryStore):
    """A store whose writes take their time, in which others read so many keys a second."""

    reads_per_s: float
    slow_from: int = 1 << 62
    """number of the write from which on all take `slower` times as long"""
    slower: float = 50
    now: float = 0.0
    writes: list[int] = field(default_factory=list)
    """bytes of each"""
    pauses: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    _read: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(lambda: self.now)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self._read += seconds * self.reads_per_s
        self.get_many(["a"] * int(self._read))
        self._read %= 1

    def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        written = list(pairs)
        super().set_many(written, ttl_s)
        self.writes.append(sum(len(key) + len(value) for key, value in written))
        self.took.append(self.writes[-1] * SECONDS_A_BYTE * (self.slower if len(self.writes) > self.slow_from else 1))
        self._pass(self.took[-1])

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._pass(seconds)

    def load(self, megabytes: int) -> None:
        pairs = ((f"{number:06}", VALUE) for number in range(megabytes * 100))
        throttled_write(self, pairs, clock=lambda: self.now, sleep=self.sleep)


def test_all_is_written() -> None:
    store = Busy(SHARED_READS_PER_S)
    store.load(5)
    assert store.count(f"{number:06}" for number in range(500)) == 500
    assert store.get("000499") == VALUE


def test_nobody_reads_and_it_goes_at_full_speed() -> None:
    store = Busy(0)
    store.load(1000)
    assert store.now < 1000e6 * SECONDS_A_BYTE + 2 * MEASURE_S
    assert max(store.writes) >= BATCH_BYTES
    assert len(store.pauses) < len(store.writes) / 2, "only until it is known that nobody reads"


def test_others_have_half_of_the_time_and_short_waits() -> None:
    store = Busy(2 * SHARED_READS_PER_S)
    store.load(1000)
    assert max(store.writes) < SHORT_BYTES + len(VALUE) + 10
    assert sum(store.pauses) == pytest.approx(sum(store.took), rel=0.05)


def test_who_reads_little_takes_little_time() -> None:
    store = Busy(SHARED_READS_PER_S / 10)
    store.load(1000)
    assert sum(store.pauses) == pytest.approx(0.1 * sum(store.took), rel=0.6)


def test_a_store_that_is_slow_is_left_alone_for_as_long_as_it_was_slow() -> None:
    store = Busy(2 * SHARED_READS_PER_S, slow_from=400)
    store.load(200)
    late = list(zip(store.took, store.pauses, strict=True))[400:]
    assert len(late) > 100
    assert all(pause == pytest.approx(took) for took, pause in late)
    assert late[0][1] > 10 * store.pauses[399]


def test_no_pause_is_so_long_that_the_lease_is_lost() -> None:
    store = Busy(2 * SHARED_READS_PER_S, slow_from=0, slower=10_000)
    store.load(2)
    assert max(store.took) > 5
    assert max(store.pauses) == LONGEST_PAUSE_S < LEASE_S / 2
