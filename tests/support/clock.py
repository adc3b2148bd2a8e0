"""Time in tests: a clock that a test sets, and waiting for a condition."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

NOW = 1_790_000_000_000_000
"""microseconds since 1970"""


class Clock:
    """Returns `now`, in microseconds since 1970, until a test changes it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def wait_for(condition: Callable[[], T], *, timeout_s: float = 60.0, interval_s: float = 0.05) -> T:
    """Returns the first true result of `condition`; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{condition} is not true after {timeout_s} s"
        time.sleep(interval_s)
    return found
