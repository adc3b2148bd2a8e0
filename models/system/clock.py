"""Timestamps: when an event was acknowledged, in microseconds since 1970 UTC. They alone decide the order of events.

The time that a client states (`at`) is a signal for training and decides nothing.
"""

import time
from collections.abc import Iterable

MICROSECONDS = 1_000_000
"""in a second"""

SETTLE_US = 2 * MICROSECONDS
"""how long after its timestamp an event may reach the log; the cut-off of a night is this far behind the clock.
The clocks of hosts that write to one store must agree to a fraction of it."""

OLDEST_S = 30 * 86_400
"""an older `at` is set to this age"""


def now_us() -> int:
    """The clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def next_timestamp_us(now: int, lasts: Iterable[int]) -> int:
    """The timestamp of an event that is acknowledged at `now`: later than each of `lasts`, whatever the clock."""
    return max(now, *(last + 1 for last in lasts), 0)


def clamped(at: int | None, now: int) -> tuple[int, bool]:
    """`at` within the last OLDEST_S seconds before `now`, and whether that changed it; all in microseconds.

    None means `now`.
    """
    if at is None:
        return now, False
    kept = min(max(at, now - OLDEST_S * MICROSECONDS), now)
    return kept, kept != at
