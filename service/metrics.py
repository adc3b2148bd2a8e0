"""The metrics of the service, in the exposition format of Prometheus."""

import asyncio
import fcntl
import os
import platform
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from models.system.unblocked_output import dropped_lines

SHARED_DIRECTORY = "_PYMK_METRICS_DIRECTORY"
"""environment variable that `pymk serve` sets for several processes: the directory in which they share their metrics"""
METRICS = "pymk.metrics"
"""key, in the state of the application, of its Metrics"""
REFUSED = "pymk.refused"
"""key, in the scope of a request, of the status with which the server refused its head"""
SHARED_EVERY_S = 0.1
"""how old the values of another process may be"""

EXPOSITION_SHARE = 0.05
"""most of the time of one core that goes into exposition texts, however many scrapers ask"""

DEADLINES = (0.1, 0.25, 0.4, 0.5, 1.0, 2.5, 5.0, 10.0)
"""bounds of all histograms at the end: a request may take twice PYMK_REDIS_TIMEOUT_MS, which is 0.4 s by default"""
SECONDS = (0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, *DEADLINES)
"""bounds of the histograms of whole requests"""
STAGE_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, *DEADLINES)
"""bounds of the histograms of single stages and of trips to the store"""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""values of the label `method`; any other is `other`"""

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
        self.bounds, self.length = bounds, len(bounds) + 2

    def observe(self, label: str, seconds: float) -> None:
        """Counts one duration."""
        numbers = self.series[label,]
        numbers[bisect_left(self.bounds, seconds)] += 1
        numbers[-1] += seconds

    def metric(self, numbers: _Numbers) -> Metric:
        """The family of these numbers, for prometheus_client."""
        family = HistogramMetricFamily(self.name, self._text, labels=self._labels)
        bounds = [*map(floatToGoString, (*self.bounds, float("inf")))]
        for labels, (*counts, total) in numbers.items():
            family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        return family


class Metrics(Collector):
    """The metrics of one application. One thread or event loop at a time.

    prometheus_client collects the numbers when they are read. Its own counters take a lock: 1.2 µs an increment and
    1.6 µs an observation instead of 0.09 µs and 0.22 µs here, some ten of them for each request. If `pymk serve` runs
    several processes, each writes its numbers into a file of the shared directory every SHARED_EVERY_S, and `text` adds
    those of all: of processes that have ended the counters, but not the gauges. A process holds a lock beside its file,
    which the kernel releases with it; its number would say nothing, since the kernel gives it away again.
    """

    def __init__(self) -> None:
        self.requests = Counter(
            "pymk_requests", "Requests answered, by route, HTTP status and method.", "route", "status", "method"
        )
        self.seconds = Histogram("pymk_request_seconds", "Seconds to answer, by route.", "route", SECONDS)
        self.served = Counter("pymk_served", "Lists answered, by `served`.", "served")
        self.stages = Histogram("pymk_stage_seconds", "Seconds of a list, by stage.", "stage", STAGE_SECONDS)
        self.store = Histogram(
            "pymk_store_seconds", "Seconds of a trip to the store, failed ones too.", "operation", STAGE_SECONDS
        )
        self.drops = Counter("pymk_drops", "Candidates dropped by hard rules, by rule.", "rule")
        self.moved = Counter("pymk_moved", "Candidates moved to the end or left out, by soft rule.", "rule")
        self.exposures = Counter(
            "pymk_exposures", "Lists given out, by what became of their record in the exposure log.", "outcome"
        )
        self.events = Counter("pymk_events", "Events posted, by outcome.", "outcome")
        self.degraded = Counter("pymk_degraded", "Failures worked around, by kind.", "reason")
        self.in_flight = Gauge("pymk_in_flight", "Requests in progress.")
        self.damaged_records = SharedGauge(
            "pymk_damaged_records", "Users whose live record or live profile does not read back."
        )
        self.full_records = SharedGauge(
            "pymk_full_records", "Users in whose live record an event of another user found no room."
        )
        self.unread_entries = SharedGauge(
            "pymk_unread_entries",
            "Entries of the hidden log and of the event log, records of erasures and numbers that do not read back.",
            "record",
        )
        self.clock_ahead = SharedGauge(
            "pymk_clock_ahead_seconds",
            "How far the latest timestamp in the store is ahead of this process's clock.",
        )
        self.connections = Gauge("pymk_connections", "Open connections.")
        self.closed = Counter("pymk_connections_closed", "Connections that the server ended, by reason.", "reason")
        self.switches = Counter("pymk_version_switches", "Switches to another version.")
        self.version = SharedGauge("pymk_version_info", "1, for each version that a process serves.", "version")
        self.version_published = SharedGauge(
            "pymk_version_published_timestamp_seconds", "When each of these versions was published.", "version"
        )
        self.log_lines_dropped = Counter("pymk_log_lines_dropped", "Log lines dropped: nobody reads them.")
        self.live_workers = SharedGauge("pymk_live_workers", "Live workers.")
        self.oldest_entry = SharedGauge(
            "pymk_oldest_entry_seconds", "Age of the oldest entry of the event log that is not processed."
        )
        self.oldest_refresh = SharedGauge(
            "pymk_oldest_refresh_seconds", "For how long the refresh that is due first has been due."
        )
        self._families = {family.name: family for family in vars(self).values()}
        self._build = GaugeMetricFamily("pymk_build_info", "1, for this release.", labels=("version", "python"))
        self._build.add_metric((metadata.version("pymk"), platform.python_version()), 1)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        directory, self._written = os.environ.get(SHARED_DIRECTORY), b""
        self._file = Path(directory) / f"{os.getpid()}-{token_hex(4)}.json" if directory else None
        self._lock = _held_lock(self._file) if self._file else None
        if self._file:
            self._share_regularly(self._file)
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._next: asyncio.Task[bytes] | None = None
        self._making = asyncio.Lock()
        self._not_before = 0.0
        self._own: dict[str, dict[tuple[str, ...], list[float]]] = {}

    def in_work(self, requests: int) -> None:
        """Sets the number of requests in flight."""
        self.in_flight.series[()][0] = requests

    def serves(self, version: str, published_s: float) -> None:
        """Sets the version that this process serves, and when it was published, epoch seconds."""
        for gauge, value in ((self.version, 1.0), (self.version_published, published_s)):
            gauge.series[version,][0] = value
            for other in gauge.series.keys() - {(version,)}:
                del gauge.series[other]

    def live_figures(self, damaged: int, ahead_s: float) -> None:
        """Sets the number of damaged live records, and how far the store's timestamps are ahead."""
        self.damaged_records.series[()][0] = damaged
        self.clock_ahead.series[()][0] = ahead_s

    def full(self, records: int) -> None:
        """Sets the number of live records that are full."""
        self.full_records.series[()][0] = records

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

    def answered(self, route: str, status: int, seconds: float, method: str = "GET") -> None:
        """Counts one request."""
        self.requests.series[route, _STATUS[status], method if method in METHODS else "other"][0] += 1
        self.seconds.observe(route, seconds)

    def collect(self) -> Iterator[Metric]:
        """prometheus_client: every family, over all processes."""
        totals = {name: dict(series) for name, series in self._own.items()}
        for name, labels, numbers in self._shared_by_others():
            own = totals[name].get(labels, [0.0] * len(numbers))
            merged = self._families[name].merged
            totals[name][labels] = [merged(pair) for pair in zip(own, numbers, strict=True)]
        for name, family in self._families.items():
            yield family.metric(totals[name])
        yield self._build

    def text(self) -> bytes:
        """The exposition text. It is shared first, so that no later text of another process counts less."""
        self._take()
        return generate_latest(self._registry)

    async def exposition(self) -> bytes:
        """The exposition text, made in a thread, once for all who wait; it is as of a moment after the call.

        Texts follow each other so slowly that they take EXPOSITION_SHARE of a core: scrapers wait, requests do not.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._exposition(), name="metrics")
        return await asyncio.shield(self._next)

    async def _exposition(self) -> bytes:
        async with self._making:
            await asyncio.sleep(self._not_before - time.monotonic())
            self._next = None  # who asks from here on may have counted what this text lacks
            self._take()
            started = time.monotonic()
            loop = asyncio.get_running_loop()
            text = await loop.run_in_executor(self._thread, generate_latest, self._registry)
            ended = time.monotonic()
            self._not_before = ended + (ended - started) / EXPOSITION_SHARE
            return text

    def close(self) -> None:
        """Ends the thread that makes texts, and the gauges of this process."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        """Shares the numbers and copies them for a text."""
        self.log_lines_dropped.series[()][0] = dropped_lines()
        if self._file:
            self._share(self._file)
        self._own = {
            name: {labels: [*numbers] for labels, numbers in family.series.items()}
            for name, family in self._families.items()
        }

    def _share_regularly(self, file: Path) -> None:
        self._share(file)
        asyncio.get_running_loop().call_later(SHARED_EVERY_S, self._share_regularly, file)

    def _share(self, file: Path) -> None:
        """Writes the numbers of this process if they changed."""
        self.log_lines_dropped.series[()][0] = dropped_lines()
        content = orjson.dumps([(one.name, *of) for one in self._families.values() for of in one.series.items()])
        if content != self._written:
            aside = file.with_suffix(".aside")
            aside.write_bytes(content)
            aside.replace(file)  # so that no process reads a part of it
            self._written = content

    def _shared_by_others(self) -> Iterator[tuple[str, tuple[str, ...], list[float]]]:
        """Name, label values and numbers of every series of the other processes."""
        for file in self._file.parent.glob("*.json") if self._file else ():
            if file == self._file:
                continue
            is_alive = _is_alive(file)
            for name, labels, numbers in orjson.loads(file.read_bytes()):
                if is_alive or not isinstance(self._families[name], Gauge):
                    yield name, tuple(labels), numbers


def _held_lock(file: Path) -> int:
    """The descriptor of a lock beside a file, held as long as this process lives."""
    lock = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _is_alive(file: Path) -> bool:
    """Whether the process that writes a file lives."""
    with suppress(OSError):
        lock = os.open(file.with_suffix(".lock"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
    return False
