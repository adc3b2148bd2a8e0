"""Time in tests: a clock that a test sets, and waiting for a condition."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TypeVar
from unittest import mock

from models.system import clock

T = TypeVar("T")

NOW = 1_790_000_000_000_000
"""microseconds since 1970"""


class Clock:
    """Returns `now`, in microseconds since 1970, until a test changes it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@contextmanager
def clock_ahead(hours: float) -> Iterator[None]:
    """Has the clock of this process show so many hours more; its monotonic clock is right."""
    ahead_ns = int(hours * 3600) * 1_000_000_000
    shifted = SimpleNamespace(time_ns=lambda: time.time_ns() + ahead_ns)
    with mock.patch.object(clock, "time", shifted):
        yield


def wait_for(condition: Callable[[], T], *, timeout_s: float = 60.0, interval_s: float = 0.05) -> T:
    """Returns the first true result of `condition`; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{condition} is not true after {timeout_s} s"
        time.sleep(interval_s)
    return found
