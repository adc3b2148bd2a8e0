"""What the service counts, in the format that Prometheus reads."""

import asyncio
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own variable: set before it is imported, values live in files there, shared by processes"""

SECONDS = (0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
"""bounds of the histograms of whole requests"""
STAGE_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05)
"""bounds of the histograms of single stages"""


_STATUS = tuple(map(str, range(600)))
GATHERED_S = 0.1
"""how long counts gather before other processes can read them"""


class _Counts(defaultdict[tuple[str, ...], float]):
    """What a counter is to be raised by, by its labels: an addition instead of a look-up and a lock."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(float)
        self._counter = counter

    def flush(self) -> None:
        """Raises the counter."""
        for labels, count in self.items():
            self._counter.labels(*labels).inc(count)
        self.clear()


class _Times:
    """What is to be observed by the children of a histogram of one label: sum, and count in each bucket."""

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        self._histogram, self._bounds = histogram, bounds
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, label: str, seconds: float) -> None:
        """Takes in one observation."""
        counts = self._buckets.get(label)
        if counts is None:
            counts = self._buckets[label] = [0] * (len(self._bounds) + 1)
            self._sums[label] = 0.0
        counts[bisect_left(self._bounds, seconds)] += 1
        self._sums[label] += seconds

    def flush(self) -> None:
        """Has the histogram know of them; prometheus-client offers no way but its own parts to observe many at once."""
        for label, counts in self._buckets.items():
            if self._sums[label] or any(counts):
                child: Any = self._histogram.labels(label)
                child._sum.inc(self._sums[label])  # noqa: SLF001
                for bucket, count in zip(child._buckets, counts, strict=True):  # noqa: SLF001
                    if count:
                        bucket.inc(count)
                self._buckets[label], self._sums[label] = [0] * len(counts), 0.0


class Metrics:
    """One set of counters for an application, in a registry of its own. One thread or loop at a time.

    What every request counts is gathered for GATHERED_S, or until `text` is asked for: each count under a lock of
    prometheus-client's costs as much as ten that gather. Where prometheus-client keeps its values in the files of
    PROMETHEUS_MULTIPROC_DIR, `text` adds up all processes.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "pymk_requests", "Requests answered, by route and HTTP status.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "pymk_request_seconds", "Seconds to answer, by route.", ["route"], buckets=SECONDS, registry=registry
        )
        self.served = Counter("pymk_served", "Lists answered, by `served`.", ["served"], registry=registry)
        self.stages = Histogram(
            "pymk_stage_seconds", "Seconds of a list, by stage.", ["stage"], buckets=STAGE_SECONDS, registry=registry
        )
        self.drops = Counter("pymk_drops", "Candidates dropped by hard rules, by rule.", ["rule"], registry=registry)
        self.moved = Counter(
            "pymk_moved", "Candidates moved to the end or left out, by soft rule.", ["rule"], registry=registry
        )
        self.events = Counter("pymk_events", "Events posted, by outcome.", ["outcome"], registry=registry)
        self.degraded = Counter("pymk_degraded", "Failures worked around, by kind.", ["reason"], registry=registry)
        self.in_flight = Gauge("pymk_in_flight", "Open requests.", registry=registry, multiprocess_mode="livesum")
        self.switches = Counter("pymk_version_switches", "Switches to another version.", registry=registry)
        self._outcomes, self._answers = _Counts(self.served), _Counts(self.requests)
        self._drops, self._moved = _Counts(self.drops), _Counts(self.moved)
        self._stages, self._routes = _Times(self.stages, STAGE_SECONDS), _Times(self.seconds, SECONDS)
        self._in_work = 0
        self._is_gathering = False

    def in_work(self, requests: int) -> None:
        """Notes how many requests are in work."""
        self._in_work = requests
        if not self._is_gathering:
            self._gather()

    def listed(
        self, served: str, stages: Mapping[str, float], drops: Mapping[str, int], moved: Mapping[str, int]
    ) -> None:
        """Counts one list: how it came about, seconds of each stage, candidates dropped and put aside by rule."""
        self._outcomes[(served,)] += 1
        for stage, seconds in stages.items():
            self._stages.observe(stage, seconds)
        for rule, count in drops.items():
            self._drops[(rule,)] += count
        for rule, count in moved.items():
            self._moved[(rule,)] += count
        if not self._is_gathering:
            self._gather()

    def posted(self, **outcomes: int) -> None:
        """Counts the events of one request by what became of them."""
        for outcome, count in outcomes.items():
            if count:
                self.events.labels(outcome).inc(count)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        self._answers[route, _STATUS[status]] += 1
        self._routes.observe(route, seconds)
        if not self._is_gathering:
            self._gather()

    def flush(self) -> None:
        """Has prometheus-client know of all that was counted."""
        self._is_gathering = False
        for gathered in (self._outcomes, self._answers, self._drops, self._moved, self._stages, self._routes):
            gathered.flush()
        self.in_flight.set(self._in_work)

    def _gather(self) -> None:
        """Flushes in a while; at once where no loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        self._is_gathering = True
        loop.call_later(GATHERED_S, self.flush)

    def text(self) -> bytes:
        """The exposition text."""
        self.flush()
        if MULTIPROCESS in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)
