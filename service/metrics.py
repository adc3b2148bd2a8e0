"""The metrics of the service, in the exposition format of Prometheus."""

import asyncio
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

SHARED_DIRECTORY = "_PYMK_METRICS_DIRECTORY"
"""environment variable that `pymk serve` sets for several processes: the directory in which they share their metrics"""
SHARED_EVERY_S = 0.1
"""how old the values of another process may be"""

SECONDS = (0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
"""bounds of the histograms of whole requests"""
STAGE_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05)
"""bounds of the histograms of single stages"""

_STATUS = tuple(map(str, range(600)))
_Numbers = Mapping[tuple[str, ...], Sequence[float]]


class Series(NamedTuple):
    """One series of a counter."""

    numbers: list[float]

    def inc(self, by: float = 1.0) -> None:
        """Increments its value."""
        self.numbers[0] += by


class Counter:
    """The series of one counter by their label values. An increment is an addition, without a lock."""

    family: type[CounterMetricFamily | GaugeMetricFamily] = CounterMetricFamily
    length = 1
    """numbers of a series: a value, or of a histogram the count in each bucket and the sum"""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self.name, self._text, self._labels = name, text, labels
        self.series: defaultdict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0] * self.length)
        if not labels:
            self.inc(0)

    def labels(self, *values: str) -> Series:
        """The series of these label values."""
        return Series(self.series[values])

    def inc(self, by: float = 1.0) -> None:
        """Increments the series without labels."""
        self.labels().inc(by)

    def merged(self, values: Sequence[float]) -> float:
        """The numbers of several processes as one."""
        return sum(values)

    def metric(self, numbers: _Numbers) -> Metric:
        """The family of these numbers, for prometheus_client."""
        family = self.family(self.name, self._text, labels=self._labels)
        for labels, (value,) in numbers.items():
            family.add_metric(labels, value)
        return family


class Gauge(Counter):
    """A gauge, which counts only while its process lives."""

    family = GaugeMetricFamily


class SharedGauge(Gauge):
    """A gauge of something that all processes see, such as the store: the largest of their values counts."""

    def merged(self, values: Sequence[float]) -> float:
        """Of the numbers of several processes, the one that counts."""
        return max(values)


class Histogram(Counter):
    """The histograms of one label: the count in each bucket, and the sum."""

    def __init__(self, name: str, text: str, label: str, bounds: Sequence[float]) -> None:
        super().__init__(name, text, label)
        self._bounds, self.length = bounds, len(bounds) + 2

    def observe(self, label: str, seconds: float) -> None:
        """Counts one duration."""
        numbers = self.series[label,]
        numbers[bisect_left(self._bounds, seconds)] += 1
        numbers[-1] += seconds

    def metric(self, numbers: _Numbers) -> Metric:
        """The family of these numbers, for prometheus_client."""
        family = HistogramMetricFamily(self.name, self._text, labels=self._labels)
        bounds = [*map(floatToGoString, (*self._bounds, float("inf")))]
        for labels, (*counts, total) in numbers.items():
            family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        return family


class Metrics(Collector):
    """The metrics of one application. One thread or event loop at a time.

    prometheus_client collects the numbers when they are read. Its own counters take a lock: 1.2 µs an increment and
    1.6 µs an observation instead of 0.09 µs and 0.22 µs here, some ten of them for each request. If `pymk serve` runs
    several processes, each writes its numbers into a file of the shared directory every SHARED_EVERY_S, and `text` adds
    those of all: of processes that have ended the counters, but not the gauges.
    """

    def __init__(self) -> None:
        self.requests = Counter("pymk_requests", "Requests answered, by route and HTTP status.", "route", "status")
        self.seconds = Histogram("pymk_request_seconds", "Seconds to answer, by route.", "route", SECONDS)
        self.served = Counter("pymk_served", "Lists answered, by `served`.", "served")
        self.stages = Histogram("pymk_stage_seconds", "Seconds of a list, by stage.", "stage", STAGE_SECONDS)
        self.drops = Counter("pymk_drops", "Candidates dropped by hard rules, by rule.", "rule")
        self.moved = Counter("pymk_moved", "Candidates moved to the end or left out, by soft rule.", "rule")
        self.events = Counter("pymk_events", "Events posted, by outcome.", "outcome")
        self.degraded = Counter("pymk_degraded", "Failures worked around, by kind.", "reason")
        self.in_flight = Gauge("pymk_in_flight", "Requests in progress.")
        self.switches = Counter("pymk_version_switches", "Switches to another version.")
        self.live_workers = SharedGauge("pymk_live_workers", "Live workers.")
        self.oldest_entry = SharedGauge(
            "pymk_oldest_entry_seconds", "Age of the oldest entry of the event log that is not processed."
        )
        self.oldest_refresh = SharedGauge(
            "pymk_oldest_refresh_seconds", "For how long the refresh that is due first has been due."
        )
        self._families = {family.name: family for family in vars(self).values()}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        directory, self._written = os.environ.get(SHARED_DIRECTORY), b""
        self._file = Path(directory) / f"{os.getpid()}-{token_hex(4)}.json" if directory else None
        if self._file:
            self._share_regularly(self._file)

    def in_work(self, requests: int) -> None:
        """Sets the number of requests in flight."""
        self.in_flight.series[()][0] = requests

    def waiting(self, live_workers: int, oldest_entry_s: float, oldest_refresh_s: float) -> None:
        """Sets what waits for the workers."""
        self.live_workers.series[()][0] = live_workers
        self.oldest_entry.series[()][0] = oldest_entry_s
        self.oldest_refresh.series[()][0] = oldest_refresh_s

    def listed(
        self, served: str, stages: Mapping[str, float], drops: Mapping[str, int], moved: Mapping[str, int]
    ) -> None:
        """Counts one list: how it was served, seconds of each stage, candidates dropped and moved by rule."""
        self.served.series[served,][0] += 1
        for stage, seconds in stages.items():
            self.stages.observe(stage, seconds)
        for rule, count in drops.items():
            self.drops.series[rule,][0] += count
        for rule, count in moved.items():
            self.moved.series[rule,][0] += count

    def posted(self, **outcomes: int) -> None:
        """Counts the events of one request by their outcome."""
        for outcome, count in outcomes.items():
            if count:
                self.events.labels(outcome).inc(count)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        self.requests.series[route, _STATUS[status]][0] += 1
        self.seconds.observe(route, seconds)

    def collect(self) -> Iterator[Metric]:
        """prometheus_client: every family, over all processes."""
        totals = {name: dict(family.series) for name, family in self._families.items()}
        for name, labels, numbers in self._shared_by_others():
            own = totals[name].get(labels, [0.0] * len(numbers))
            merged = self._families[name].merged
            totals[name][labels] = [merged(pair) for pair in zip(own, numbers, strict=True)]
        for name, family in self._families.items():
            yield family.metric(totals[name])

    def text(self) -> bytes:
        """The exposition text. It is shared first, so that no later text of another process counts less."""
        if self._file:
            self._share(self._file)
        return generate_latest(self._registry)

    def _share_regularly(self, file: Path) -> None:
        self._share(file)
        asyncio.get_running_loop().call_later(SHARED_EVERY_S, self._share_regularly, file)

    def _share(self, file: Path) -> None:
        """Writes the numbers of this process if they changed."""
        content = orjson.dumps([(one.name, *of) for one in self._families.values() for of in one.series.items()])
        if content != self._written:
            aside = file.with_suffix(".aside")
            aside.write_bytes(content)
            aside.replace(file)  # so that no process reads a part of it
            self._written = content

    def _shared_by_others(self) -> Iterator[tuple[str, tuple[str, ...], list[float]]]:
        """Name, label values and numbers of every series of the other processes."""
        for file in self._file.parent.glob("*.json") if self._file else ():
            is_alive = _is_alive(int(file.name.partition("-")[0]))
            for name, labels, numbers in orjson.loads(file.read_bytes()) if file != self._file else ():
                if is_alive or not isinstance(self._families[name], Gauge):
                    yield name, tuple(labels), numbers


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
