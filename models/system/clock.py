"""Stamps: when something was acknowledged, in microseconds since 1970 UTC. They alone decide order.

What a client says of the moment (`at`) is a signal for learning and never decides anything.
"""

import time
from collections.abc import Iterable

MICROSECONDS = 1_000_000
"""in a second"""

SETTLE_US = 2 * MICROSECONDS
"""how long after its stamp an event may reach the log; a night's cut stays so far behind the clock.
The clocks of hosts that write to one store have to agree to a fraction of it."""

OLDEST_S = 30 * 86_400
"""an `at` further back than this is taken as this"""


def now_us() -> int:
    """The clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def next_timestamp_us(now: int, lasts: Iterable[int]) -> int:
    """The stamp of what is acknowledged at `now`: later than every one of `lasts`, whatever the clocks say."""
    return max(now, *(last + 1 for last in lasts), 0)


def clamped(at: int | None, now: int) -> tuple[int, bool]:
    """`at` within the last OLDEST_S seconds before `now`, and whether it had to be moved; all in microseconds.

    None is `now`.
    """
    if at is None:
        return now, False
    kept = min(max(at, now - OLDEST_S * MICROSECONDS), now)
    return kept, kept != at
