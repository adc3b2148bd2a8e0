"""Every count of every process is in the exposition text, under the names that dashboards read."""

import asyncio
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import SECONDS, SHARED_DIRECTORY, SHARED_EVERY_S, STAGE_SECONDS, Metrics
from tests.support.clock import wait_for

Samples = dict[tuple[str, str], float]


def samples(metrics: Metrics) -> Samples:
    """Values by name and label values."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (one.name, ",".join(one.labels[name] for name in sorted(one.labels))): one.value
        for family in families
        for one in family.samples
    }


def count(metrics: Metrics) -> None:
    metrics.in_work(2)
    metrics.listed("ranked", {"store": 0.0002, "rank": 0.00021}, {"connected": 3}, {"diversity": 2})
    metrics.listed("cache", {"store": 0.5}, {"connected": 1, "self": 1}, {})
    metrics.answered("/x", 200, 0.002)
    metrics.answered("/x", 503, 7.0)
    metrics.store.observe("get_many", 0.4)
    metrics.posted(accepted=4, repeated=0)
    metrics.degraded.labels("store").inc()
    metrics.switches.inc()
    metrics.in_work(1)


def test_every_count_is_in_the_text() -> None:
    metrics = Metrics()
    count(metrics)
    count(metrics)
    found = samples(metrics)
    assert found["pymk_served_total", "ranked"] == found["pymk_served_total", "cache"] == 2
    assert found["pymk_drops_total", "connected"] == 8
    assert found["pymk_drops_total", "self"] == 2
    assert found["pymk_moved_total", "diversity"] == 4
    assert found["pymk_requests_total", "GET,/x,200"] == found["pymk_requests_total", "GET,/x,503"] == 2
    assert found["pymk_events_total", "accepted"] == 8
    assert found["pymk_degraded_total", "store"] == found["pymk_version_switches_total", ""] == 2
    assert found["pymk_in_flight", ""] == 1
    assert found["pymk_stage_seconds_count", "store"] == 4
    assert found["pymk_stage_seconds_bucket", "0.0001,store"] == 0
    assert found["pymk_stage_seconds_bucket", "0.0002,store"] == 2, "a bound belongs to its bucket"
    assert found["pymk_stage_seconds_bucket", "0.05,store"] == 2
    assert found["pymk_stage_seconds_bucket", "+Inf,store"] == 4
    assert found["pymk_stage_seconds_bucket", "0.0002,rank"] == 0
    assert found["pymk_stage_seconds_bucket", "0.0005,rank"] == 2
    assert found["pymk_request_seconds_sum", "/x"] == 14.004
    assert found["pymk_store_seconds_bucket", "0.25,get_many"] == 0
    assert found["pymk_store_seconds_bucket", "0.4,get_many"] == 2, "twice the store's timeout has a bound of its own"
    assert found["pymk_build_info", f"{platform.python_version()},{metadata.version('pymk')}"] == 1
    assert samples(metrics) == found, "nothing counts twice"


def test_the_text_is_that_of_prometheus_clients_own_counters() -> None:
    registry = CollectorRegistry()
    requests = Counter(
        "pymk_requests",
        "Requests answered, by route, HTTP status and method.",
        ["route", "status", "method"],
        registry=registry,
    )
    seconds = Histogram(
        "pymk_request_seconds", "Seconds to answer, by route.", ["route"], buckets=SECONDS, registry=registry
    )
    served = Counter("pymk_served", "Lists answered, by `served`.", ["served"], registry=registry)
    stages = Histogram(
        "pymk_stage_seconds", "Seconds of a list, by stage.", ["stage"], buckets=STAGE_SECONDS, registry=registry
    )
    store = Histogram(
        "pymk_store_seconds",
        "Seconds of a trip to the store, failed ones too.",
        ["operation"],
        buckets=STAGE_SECONDS,
        registry=registry,
    )
    drops = Counter("pymk_drops", "Candidates dropped by hard rules, by rule.", ["rule"], registry=registry)
    moved = Counter("pymk_moved", "Candidates moved to the end or left out, by soft rule.", ["rule"], registry=registry)
    Counter(
        "pymk_exposures",
        "Lists given out, by what became of their record in the exposure log.",
        ["outcome"],
        registry=registry,
    )
    events = Counter("pymk_events", "Events posted, by outcome.", ["outcome"], registry=registry)
    degraded = Counter("pymk_degraded", "Failures worked around, by kind.", ["reason"], registry=registry)
    in_flight = Gauge("pymk_in_flight", "Requests in progress.", registry=registry)
    Gauge("pymk_damaged_records", "Users whose live record or live profile does not read back.", registry=registry)
    Gauge("pymk_full_records", "Users in whose live record an event of another user found no room.", registry=registry)
    Gauge(
        "pymk_unread_entries",
        "Entries of the hidden log and of the event log, records of erasures and numbers that do not read back.",
        ["record"],
        registry=registry,
    )
    Gauge(
        "pymk_clock_ahead_seconds",
        "How far the latest timestamp in the store is ahead of this process's clock.",
        registry=registry,
    )
    Gauge("pymk_connections", "Open connections.", registry=registry)
    Counter("pymk_connections_closed", "Connections that the server ended, by reason.", ["reason"], registry=registry)
    switches = Counter("pymk_version_switches", "Switches to another version.", registry=registry)
    Gauge("pymk_version_info", "1, for each version that a process serves.", ["version"], registry=registry)
    Gauge(
        "pymk_version_published_timestamp_seconds",
        "When each of these versions was published.",
        ["version"],
        registry=registry,
    )
    Counter("pymk_log_lines_dropped", "Log lines dropped: nobody reads them.", registry=registry)
    Gauge("pymk_live_workers", "Live workers.", registry=registry)
    for name, text in (
        ("pymk_oldest_entry_seconds", "Age of the oldest entry of the event log that is not processed."),
        ("pymk_oldest_refresh_seconds", "For how long the refresh that is due first has been due."),
    ):
        Gauge(name, text, registry=registry)
    build = Gauge("pymk_build_info", "1, for this release.", ["version", "python"], registry=registry)
    build.labels(metadata.version("pymk"), platform.python_version()).set(1)
    for status, duration in (("200", 0.002), ("503", 7.0)):
        requests.labels("/x", status, "GET").inc()
        seconds.labels("/x").observe(duration)
    served.labels("ranked").inc()
    served.labels("cache").inc()
    for stage, duration in (("store", 0.0002), ("rank", 0.00021), ("store", 0.5)):
        stages.labels(stage).observe(duration)
    store.labels("get_many").observe(0.4)
    drops.labels("connected").inc(4)
    drops.labels("self").inc()
    moved.labels("diversity").inc(2)
    events.labels("accepted").inc(4)
    degraded.labels("store").inc()
    in_flight.set(1)
    switches.inc()
    metrics = Metrics()
    count(metrics)
    # the moments at which series began are left out: nothing reads them, and several processes never had them
    lines = generate_latest(registry).decode().splitlines()
    assert metrics.text().decode().splitlines() == [line for line in lines if "_created" not in line]


COUNTING = """
import asyncio, json, sys
from service.metrics import Metrics

async def main():
    metrics = Metrics()
    metrics.in_work(5)
    metrics.waiting(2, 3.5, 0.0)
    metrics.answered("/x", 200, 0.002)
    metrics.listed("ranked", {"store": 0.0002}, {}, {})
    metrics.degraded.labels("store").inc()
    await asyncio.sleep(0.5)
    print("counted", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def test_processes_are_added_up_and_the_ended_keep_their_counters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SHARED_DIRECTORY, str(tmp_path))

    async def read() -> Samples:
        metrics = Metrics()
        count(metrics)
        metrics.waiting(2, 1.5, 0.0)
        return samples(metrics)

    def added(found: Samples) -> list[float]:
        return [
            found["pymk_requests_total", "GET,/x,200"],
            found["pymk_request_seconds_bucket", "0.002,/x"],
            found["pymk_stage_seconds_sum", "store"],
            found["pymk_degraded_total", "store"],
            found["pymk_in_flight", ""],
            found["pymk_live_workers", ""],
        ]

    other = subprocess.Popen(
        [sys.executable, "-c", COUNTING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "counted\n"
    alive = added(asyncio.run(read()))
    other.kill()
    wait_for(lambda: Path(f"/proc/{other.pid}/stat").read_text().split()[2] == "Z")
    for file in tmp_path.glob(f"{os.getpid()}-*"):  # what this process wrote, as another of its own
        file.unlink()
    assert alive == [2, 2, pytest.approx(0.5004), 2, 6, 2]
    assert added(asyncio.run(read())) == [2, 2, pytest.approx(0.5004), 2, 1, 2], "a gauge ends with its process"
    other.communicate()
    (left,) = tmp_path.glob(f"{other.pid}-*.json")
    for file in (left, left.with_suffix(".lock")):  # the kernel gives the number of a process away again
        file.rename(tmp_path / file.name.replace(str(other.pid), str(os.getppid())))
    for file in tmp_path.glob(f"{os.getpid()}-*"):
        file.unlink()
    assert added(asyncio.run(read())) == [2, 2, pytest.approx(0.5004), 2, 1, 2]


def test_scrapers_who_ask_at_once_share_a_text_made_outside_the_loop() -> None:
    made: list[int] = []

    class Recorded(Metrics):
        def collect(self) -> Iterator[Metric]:
            made.append(threading.get_ident())
            return super().collect()

    async def scrape() -> None:
        metrics = Recorded()
        metrics.answered("/x", 200, 0.002)
        texts = await asyncio.gather(*(metrics.exposition() for _ in range(8)))
        assert len(set(texts)) == 1
        assert len(made) == 1
        assert made[0] != threading.get_ident()
        first = asyncio.ensure_future(metrics.exposition())
        await asyncio.sleep(0)
        metrics.answered("/x", 200, 0.002)
        assert b'pymk_requests_total{method="GET",route="/x",status="200"} 2.0' in await metrics.exposition()
        await first
        metrics.close()

    asyncio.run(scrape())


def test_no_process_counts_less_than_another_has_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED_DIRECTORY, str(tmp_path))

    async def reported() -> list[float]:
        both = Metrics(), Metrics()
        found = []
        for number in range(6):
            both[number % 2].answered("/x", 200, 0.002)
            found.append(samples(both[number % 2])["pymk_requests_total", "GET,/x,200"])
        return found

    assert asyncio.run(reported()) == [1, 2, 3, 4, 5, 6]


def test_a_process_shares_its_counts_while_it_runs_and_writes_only_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SHARED_DIRECTORY, str(tmp_path))

    def written() -> int:
        (file,) = tmp_path.glob("*.json")
        assert ["pymk_served", ["ranked"], [1.0]] in json.loads(file.read_bytes())
        return file.stat().st_ino

    async def shared() -> tuple[int, int]:
        metrics = Metrics()
        metrics.served.labels("ranked").inc()
        await asyncio.sleep(3 * SHARED_EVERY_S)
        first = written()
        await asyncio.sleep(3 * SHARED_EVERY_S)
        return first, written()

    first, second = asyncio.run(shared())
    assert first == second
