"""Whether a run kept what was asked of it, and whether the harness may speak of it at all."""

import math
from dataclasses import dataclass

from service.loadtest.histogram import Histogram, merged
from service.loadtest.processes import Finished

LATENESS_SHARE = 0.1
"""or this share of the latency it was measured with, where that is more: a service that takes seconds is not measured
wrong by milliseconds"""
KEPT_SHARE = 0.99
"""of the schedule's requests, those the harness must have got round to"""


@dataclass(frozen=True)
class Slo:
    """What a service shall keep; None: not asked."""

    p99_ms: float | None
    error_share: float | None
    """requests without an answer, refusals included"""

    def missed(self, finished: Finished) -> list[str]:
        """What of it a run did not keep, in words."""
        missed = []
        p99_ms = 1000 * latency(finished).quantile(0.99)
        if self.p99_ms is not None and not p99_ms <= self.p99_ms:
            found = "there is none" if math.isnan(p99_ms) else f"it is {p99_ms:.2f} ms"
            missed.append(f"p99 shall be {self.p99_ms:g} ms at most, and {found}")
        share = unanswered_share(finished)
        if self.error_share is not None and share > self.error_share:
            missed.append(f"{self.error_share:.2%} of requests at most may go without an answer, and {share:.2%} did")
        return missed


def latency(finished: Finished) -> Histogram:
    """Latencies of all kinds."""
    return merged(one.latency.histogram() for one in finished.tally.outcomes)


def unanswered_share(finished: Finished) -> float:
    """Errors and refusals among all requests."""
    outcomes = finished.tally.outcomes
    return sum(one.failed + one.refused for one in outcomes) / max(finished.tally.asked, 1)


def bottleneck(finished: Finished, max_lateness_ms: float) -> list[str]:
    """Why the harness cannot vouch for a run, in words; none where it can."""
    reasons = []
    tally = finished.tally
    late_s, seen_s = tally.lateness.histogram().quantile(0.99), latency(finished).quantile(0.99)
    bound_s = max(max_lateness_ms / 1000, LATENESS_SHARE * (0.0 if math.isnan(seen_s) else seen_s))
    if late_s > bound_s:
        reasons.append(
            f"the harness itself was late by {1000 * late_s:.2f} ms at p99, where {1000 * bound_s:.2f} ms are allowed"
        )
    if not finished.partial and tally.asked < KEPT_SHARE * tally.planned:
        reasons.append(f"the harness got round to {tally.asked} of {tally.planned} requests only")
    return reasons
