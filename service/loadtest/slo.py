"""Service level objectives: whether a run kept them, and the highest rate at which a service does."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from service.loadtest.counters import Durations, merged
from service.loadtest.processes import RunResult

LATENESS_SHARE = 0.1
"""share of the measured p99 that the harness may be late by, if that is more than the limit in milliseconds: a
latency of seconds is not measured wrong by milliseconds"""
STARTED_SHARE = 0.99
"""share of the planned requests that the harness must start"""
RATE_FACTOR = 2.0
"""from one rate to the next while the objectives are kept"""
LOWEST_RATE = 1.0


@dataclass(frozen=True)
class Slo:
    """What a service must keep; None: no objective."""

    p99_ms: float | None
    error_share: float | None
    """requests without an answer, refusals included"""

    def missed(self, result: RunResult) -> list[str]:
        """The objectives that a run missed, in words."""
        missed = []
        p99_ms = 1000 * latency(result).quantile(0.99)
        if self.p99_ms is not None and not p99_ms <= self.p99_ms:
            found = "there is none" if math.isnan(p99_ms) else f"it is {p99_ms:.2f} ms"
            missed.append(f"p99 shall be {self.p99_ms:g} ms at most, and {found}")
        share = unanswered_share(result)
        if self.error_share is not None and share > self.error_share:
            missed.append(f"{self.error_share:.2%} of requests at most may go without an answer, and {share:.2%} did")
        return missed


def latency(result: RunResult) -> Durations:
    """Latencies of all kinds."""
    return merged(outcomes.latency for outcomes in result.counters.outcomes)


def unanswered_share(result: RunResult) -> float:
    """Errors and refusals among all requests."""
    outcomes = result.counters.outcomes
    return sum(one.failed + one.refused for one in outcomes) / max(result.counters.started, 1)


def bottleneck(result: RunResult, max_lateness_ms: float) -> list[str]:
    """Why the harness limited a run, so that its figures say nothing of the service, in words; empty if it did not."""
    reasons = []
    counters = result.counters
    late_s, latency_s = counters.lateness.quantile(0.99), latency(result).quantile(0.99)
    bound_s = max(max_lateness_ms / 1000, LATENESS_SHARE * (0.0 if math.isnan(latency_s) else latency_s))
    if late_s > bound_s:
        reasons.append(
            f"the harness itself was late by {1000 * late_s:.2f} ms at p99; {1000 * bound_s:.2f} ms are allowed"
        )
    if not result.partial and counters.started < STARTED_SHARE * counters.planned:
        reasons.append(f"the harness started only {counters.started} of {counters.planned} planned requests")
    return reasons


class Held(Enum):
    """Whether a rate was held."""

    YES = "held"
    NO = "missed"
    UNKNOWN = "harness"
    """the harness was the bottleneck"""


@dataclass(frozen=True)
class HighestRate:
    """The result of a search."""

    rate: float
    """highest rate that was held; 0 if none was"""
    bounded_by_harness: bool
    """the next higher rate failed by the harness, so the service may hold more"""
    reached_limit: bool
    """no higher rate was allowed"""


def search_highest_rate(measure: Callable[[float], Held], first: float, limit: float, precision: float) -> HighestRate:
    """Searches by measuring: doubles from `first` until a rate fails, parts if the first does, then bisects.

    Ends when the rate that failed is within `precision` (a share) of the one that was held.
    """
    low, high, by_harness = 0.0, 0.0, False
    rate = min(first, limit)
    while True:
        held = measure(rate)
        if held is Held.YES:
            low = rate
            if rate >= limit:
                return HighestRate(low, bounded_by_harness=False, reached_limit=True)
        else:
            high, by_harness = rate, held is Held.UNKNOWN
        if not high:
            rate = min(rate * RATE_FACTOR, limit)
        elif not low:
            if high <= LOWEST_RATE:
                return HighestRate(0.0, bounded_by_harness=by_harness, reached_limit=False)
            rate = max(high / RATE_FACTOR, LOWEST_RATE)
        elif high <= low * (1 + precision):
            return HighestRate(low, bounded_by_harness=by_harness, reached_limit=False)
        else:
            rate = (low * high) ** 0.5
