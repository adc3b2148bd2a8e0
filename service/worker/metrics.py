"""The metrics of one worker, in the exposition format of Prometheus."""

import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from itertools import accumulate

import orjson
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from models.candidate_refresh.backlog import read_backlog
from models.errors import StoreError
from models.live_state.erasure_receipts import read_open
from models.system.clock import MICROSECONDS
from models.system.unblocked_output import dropped_lines
from service.worker.candidate_refresh import SECONDS
from service.worker.worker import Worker


class WorkerMetrics(Collector):
    """Reads the counters, and the store for what waits, each time it is asked. Several threads may ask at once."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def describe(self) -> Iterable[Metric]:
        """prometheus_client: nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """prometheus_client: every family. What the store does not answer is left out."""
        worker = self._worker
        yield InfoMetricFamily(
            "pymk_build",
            "The release that runs.",
            {"version": metadata.version("pymk"), "python": platform.python_version()},
        )
        yield InfoMetricFamily(
            "pymk_worker_version", "The version that candidates are made for.", {"version": worker.serves}
        )
        yield _counter("pymk_worker_entries", "Entries of the event log processed.", "kind", worker.log.entries)
        yield from self._refreshes()
        yield _counter(
            "pymk_worker_exposures", "Lists of the exposure log, by outcome.", "outcome", worker.exposure_log.lists
        )
        yield _counter("pymk_worker_failures", "Failures, by part of the worker.", "part", worker.contact.failures)
        yield CounterMetricFamily(
            "pymk_log_lines_dropped", "Log lines dropped: nobody reads them.", float(dropped_lines())
        )
        yield _gauge("pymk_worker_store_up", "Whether the store answered last.", float(not worker.contact.is_away))
        yield _gauge("pymk_worker_shards", "Shards of the event log that this worker holds.", len(worker.leases.held))
        for name, text, read in self._of_the_store():
            try:
                yield _gauge(name, text, read())
            except StoreError:
                continue
        with suppress(StoreError):
            yield from self._drift()

    def _drift(self) -> Iterator[Metric]:
        """The latest report on drift: its alarms, and each check's value and threshold; no samples before the first."""
        alarms = GaugeMetricFamily("pymk_drift_alarms", "Checks of the latest report on drift that say to train again.")
        made = GaugeMetricFamily("pymk_drift_timestamp_seconds", "When the latest report on drift was made.")
        labels = ["check", "group"]
        value = GaugeMetricFamily("pymk_drift_value", "How much each check for drift moved.", labels=labels)
        threshold = GaugeMetricFamily(
            "pymk_drift_threshold", "From which on a check gives alarm, or warns.", labels=labels
        )
        content = self._worker.store.get(self._worker.keys.drift)
        try:
            report = None if content is None else orjson.loads(content)
            if report is not None:
                made.add_metric([], datetime.fromisoformat(report["at"]).timestamp())
                alarms.add_metric([], sum(one["verdict"] == "alarm" for one in report["checks"]))
                for one in report["checks"]:
                    value.add_metric([one["name"], one["group"]], float(one["value"]))
                    threshold.add_metric([one["name"], one["group"]], float(one["threshold"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            pass  # a report of another release: what could be read of it is shown
        yield from (alarms, made, value, threshold)

    def _refreshes(self) -> Iterator[Metric]:
        counters = self._worker.refresh.counters
        outcomes = {
            "block": counters.blocks,
            "newcomer": counters.newcomers,
            "unknown": counters.unknown,
            "failed": counters.failed,
            "dropped": counters.dropped,
        }
        yield _counter("pymk_worker_refreshes", "Users taken from the refresh queue, by outcome.", "outcome", outcomes)
        bounds = map(floatToGoString, (*SECONDS, float("inf")))
        latency = HistogramMetricFamily(
            "pymk_worker_refresh_seconds", "Seconds from the acknowledgement of a change to candidates that include it."
        )
        latency.add_metric([], list(zip(bounds, accumulate(counters.buckets), strict=True)), counters.total_s)
        yield latency

    def _of_the_store(self) -> Iterator[tuple[str, str, Callable[[], float]]]:
        worker = self._worker
        store, keys, clock = worker.store, worker.keys, worker.clock
        yield "pymk_worker_queue_length", "Users who wait for candidates.", lambda: store.queue_length(keys.refresh)
        yield (
            "pymk_worker_exposure_log_length",
            "Batches of lists that wait to be filed.",
            lambda: store.stream_length(keys.exposure_log),
        )
        yield "pymk_worker_log_length", "Entries in the logs of the shards held.", worker.log.waiting
        yield (
            "pymk_worker_oldest_entry_seconds",
            "Age of the oldest entry of the event log that is not processed.",
            lambda: read_backlog(store, keys).oldest_entry_s,
        )
        yield (
            "pymk_worker_oldest_refresh_seconds",
            "For how long the refresh that is due first has been due.",
            lambda: read_backlog(store, keys).oldest_refresh_s,
        )
        yield "pymk_worker_oldest_erasure_seconds", "Age of the oldest erasure that is not done.", self._oldest_erasure
        yield "pymk_worker_live_workers", "Live workers.", lambda: read_backlog(store, keys).live_workers
        yield "pymk_worker_clock_skew_seconds", "How far this host's clock is ahead of the store's.", clock.skew_s

    def _oldest_erasure(self) -> float:
        erasures = read_open(self._worker.store, self._worker.keys).values()
        oldest = min((erasure.timestamp_us for erasure in erasures), default=None)
        return 0.0 if oldest is None else max(0.0, self._worker.clock.now_s() - oldest / MICROSECONDS)


def _counter(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(dict(counts).items()):
        family.add_metric([value], count)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)
