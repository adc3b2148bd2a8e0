"""The clock of a process, and the limits of times. Timestamps, which decide the order of events, are taken from the
store (models.live_state.timestamps).

The time that a client states (`at`) is a signal for training and decides nothing.
"""

import time

MICROSECONDS = 1_000_000
"""in a second"""

DAY_S = 86_400
HOUR_US = 3600 * MICROSECONDS
DAY_US = DAY_S * MICROSECONDS

OLDEST_S = 30 * DAY_S
"""an older `at` is set to this age"""


def now_us() -> int:
    """The clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def clamped(at: int | None, now: int) -> tuple[int, bool]:
    """`at` within the last OLDEST_S seconds before `now`, and whether that changed it; all in microseconds.

    None means `now`.
    """
    if at is None:
        return now, False
    kept = min(max(at, now - OLDEST_S * MICROSECONDS), now)
    return kept, kept != at
