"""The highest rate that a service holds: upwards in great steps, then closer."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

GROWTH = 2.0
"""from one rate to the next while all goes well"""
LOWEST_RATE = 1.0


class Held(Enum):
    """How a rate went."""

    YES = "held"
    NO = "missed"
    UNKNOWN = "harness"
    """the harness was the bottleneck"""


@dataclass(frozen=True)
class Highest:
    """What a search found."""

    rate: float
    """highest rate that was held; 0 where none was"""
    bounded_by_harness: bool
    """the next higher rate failed by the harness, so the service may hold more"""
    reached_most: bool
    """no rate above was allowed"""


def highest(measure: Callable[[float], Held], first: float, most: float, precision: float) -> Highest:
    """Searches by measuring: doubles from `first` until a rate fails, halves where the first does, then bisects.

    Ends when the rate that failed is within `precision` (a share) of the one that held.
    """
    low, high, by_harness = 0.0, 0.0, False
    rate = min(first, most)
    while True:
        held = measure(rate)
        if held is Held.YES:
            low = rate
            if rate >= most:
                return Highest(low, bounded_by_harness=False, reached_most=True)
        else:
            high, by_harness = rate, held is Held.UNKNOWN
        if not high:
            rate = min(rate * GROWTH, most)
        elif not low:
            if high <= LOWEST_RATE:
                return Highest(0.0, bounded_by_harness=by_harness, reached_most=False)
            rate = max(high / GROWTH, LOWEST_RATE)
        elif high <= low * (1 + precision):
            return Highest(low, bounded_by_harness=by_harness, reached_most=False)
        else:
            rate = (low * high) ** 0.5
