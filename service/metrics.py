"""What the service counts, in the format that Prometheus reads."""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own variable: set before it is imported, values live in files there, shared by processes"""

SECONDS = (0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
"""bounds of the histograms of whole requests"""
STAGE_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05)
"""bounds of the histograms of single stages"""


_Metric = TypeVar("_Metric", Counter, Histogram)


class _Labelled(dict[str, _Metric]):
    """By the value of a metric's one label, its child: to look one up in the metric costs more than to count."""

    def __init__(self, metric: _Metric) -> None:
        super().__init__()
        self._metric: Any = metric  # the child has the type of its parent

    def __missing__(self, label: str) -> _Metric:
        child: _Metric = self._metric.labels(label)
        self[label] = child
        return child


class Metrics:
    """One set of counters for an application, in a registry of its own.

    Where prometheus-client keeps its values in the files of PROMETHEUS_MULTIPROC_DIR, `text` adds up all processes.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "pymk_requests", "Requests answered, by route and status.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "pymk_request_seconds", "Time to answer, by route.", ["route"], buckets=SECONDS, registry=registry
        )
        self.served = Counter("pymk_served", "Lists answered, by how they came about.", ["served"], registry=registry)
        self.stages = Histogram(
            "pymk_stage_seconds", "Time in each stage of a list.", ["stage"], buckets=STAGE_SECONDS, registry=registry
        )
        self.drops = Counter("pymk_drops", "Candidates kept out of a list, by rule.", ["rule"], registry=registry)
        self.moved = Counter(
            "pymk_moved", "Candidates put aside or left out by a soft rule, by rule.", ["rule"], registry=registry
        )
        self.events = Counter("pymk_events", "Events posted, by what became of them.", ["outcome"], registry=registry)
        self.degraded = Counter("pymk_degraded", "What had to be done without, by kind.", ["reason"], registry=registry)
        self.in_flight = Gauge("pymk_in_flight", "Requests in work.", registry=registry, multiprocess_mode="livesum")
        self.switches = Counter("pymk_version_switches", "Versions taken up.", registry=registry)
        self._outcomes = _Labelled(self.served)
        self._stages = _Labelled(self.stages)
        self._drops, self._moved = _Labelled(self.drops), _Labelled(self.moved)
        self._routes: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def listed(
        self, served: str, stages: Mapping[str, float], drops: Mapping[str, int], moved: Mapping[str, int]
    ) -> None:
        """Counts one list: how it came about, seconds of each stage, candidates dropped and put aside by rule."""
        self._outcomes[served].inc()
        for stage, seconds in stages.items():
            self._stages[stage].observe(seconds)
        for rule, count in drops.items():
            self._drops[rule].inc(count)
        for rule, count in moved.items():
            self._moved[rule].inc(count)

    def posted(self, **outcomes: int) -> None:
        """Counts the events of one request by what became of them."""
        for outcome, count in outcomes.items():
            if count:
                self.events.labels(outcome).inc(count)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        found = self._routes.get((route, status))
        if found is None:
            found = self.requests.labels(route, str(status)), self.seconds.labels(route)
            self._routes[route, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def text(self) -> bytes:
        """The exposition text."""
        if MULTIPROCESS in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)
