"""What a worker says of itself over HTTP, and what it asks of the store while it has nothing to do."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from models.errors import PymkError
from models.publishing.publish import publish
from models.schema.event_kinds import EventKind
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import SHARDS
from models.version.local_versions import Versions
from service.worker.health import answering
from service.worker.worker import Worker
from tests.support.clock import wait_for
from tests.support.stores import running_server
from tests.support.worker import KEYS, MutualFriendsGenerator, WorkerHarness, make_worker

CONNECT = EventKind.CONNECT
IDLE_COMMANDS_PER_S = 80
"""the most that an idle worker asks of the store, commands inside of scripts included; polling asked for 400"""


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker._stop.set()
        thread.join()


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def samples(port: int) -> dict[str, float]:
    """The values of /metrics by name, with the label values behind it."""
    text = ask(port, "/metrics")[1].decode()
    return {
        ",".join([one.name, *one.labels.values()]): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_a_worker_says_what_it_waits_for_and_what_it_has_done(harness: WorkerHarness) -> None:
    worker = make_worker(harness.home, harness.store, MutualFriendsGenerator(harness.tables))
    harness.worker.log._leases.release()
    with answering(worker, "127.0.0.1", 0) as port:
        assert ask(port, "/health/live") == (200, b'{"status":"ok"}')
        status, content = ask(port, "/health/ready")
        assert (status, json.loads(content)["detail"]) == (503, "no version is followed yet")
        with running(worker):
            wait_for(lambda: ask(port, "/health/ready")[0] == 200)
            assert json.loads(ask(port, "/health/ready")[1])["version"] == harness.version
            harness.write((CONNECT, "a0", "c0"))
            wait_for(lambda: samples(port)["pymk_worker_refreshes_total,block"] >= 2)
            wait_for(lambda: samples(port)["pymk_worker_queue_length"] == 0)
            found = samples(port)
            assert found["pymk_worker_entries_total,connect"] == 1
            assert found["pymk_worker_refresh_seconds_count"] == found["pymk_worker_refresh_seconds_bucket,+Inf"] == 2
            assert found["pymk_worker_oldest_entry_seconds"] == found["pymk_worker_log_length"] == 0
            assert found["pymk_worker_oldest_refresh_seconds"] == found["pymk_worker_oldest_erasure_seconds"] == 0
            assert (found["pymk_worker_live_workers"], found["pymk_worker_shards"]) == (1, SHARDS)
            assert found[f"pymk_worker_version_info,{harness.version}"] == found["pymk_worker_store_up"] == 1
            assert found["pymk_log_lines_dropped_total"] == 0
            assert abs(found["pymk_worker_clock_skew_seconds"]) < 5
            assert any(name.startswith("pymk_build_info,") for name in found)
        assert ask(port, "/health/live")[0] == 503, "its parts have ended"


def test_what_waits_without_a_worker_has_an_age(harness: WorkerHarness) -> None:
    harness.write((CONNECT, "a0", "c0"))
    harness.erase("a1")
    harness.store.queue_add(KEYS.refresh, [b"a2"], time.time() - 100)
    with answering(harness.worker, "127.0.0.1", 0) as port:
        wait_for(lambda: samples(port)["pymk_worker_oldest_entry_seconds"] > 0.05)
        found = samples(port)
        assert found["pymk_worker_oldest_refresh_seconds"] >= 100
        assert found["pymk_worker_oldest_erasure_seconds"] > 0
        assert found["pymk_worker_queue_length"] == 1
        assert found["pymk_worker_log_length"] == 2


def test_other_requests_are_refused_and_a_taken_port_is_named(harness: WorkerHarness) -> None:
    with answering(harness.worker, "127.0.0.1", 0) as port:
        assert ask(port, "/health/live", "HEAD") == (200, b"")
        assert ask(port, "/metrics", "HEAD") == (200, b"")
        assert ask(port, "/metrics", "POST")[0] == ask(port, "/health/ready", "DELETE")[0] == 405
        assert ask(port, "/metrics/")[0] == ask(port, "/")[0] == 404
        with (
            pytest.raises(PymkError, match=f"port {port} of 127.0.0.1 is taken"),
            answering(harness.worker, "127.0.0.1", port),
        ):
            pass


@pytest.fixture
def served(prepared: Path, tmp_path: Path) -> Iterator[tuple[Settings, redis.Redis, Any]]:
    """A server with the version published in it, and a way to end it."""
    with running_server(tmp_path) as port:
        settings = Settings(home=prepared, redis_url=f"redis://127.0.0.1:{port}")
        store, versions = open_sync(settings), Versions(prepared)
        publish(versions.path(versions.ids()[0]), store, versions, keys=KEYS)
        with redis.Redis(port=port) as client:
            yield settings, client, store
        store.close()


def test_a_worker_that_has_nothing_to_do_asks_the_store_for_little(
    served: tuple[Settings, redis.Redis, Any], generator: Any
) -> None:
    settings, client, store = served
    worker = make_worker(settings.home, store, generator)
    with running(worker):
        wait_for(lambda: len(worker.leases.held) == SHARDS and bool(worker.serves))
        time.sleep(1)
        before, start = commands(client), time.monotonic()
        time.sleep(3)
        asked, elapsed_s = commands(client) - before - 1, time.monotonic() - start
    assert asked / elapsed_s <= IDLE_COMMANDS_PER_S


def commands(client: redis.Redis) -> int:
    """Commands that the server has answered; each look is one."""
    stats: Any = client.info("stats")
    return int(stats["total_commands_processed"])


def test_a_store_that_goes_away_is_one_line_and_nothing_is_lost(
    served: tuple[Settings, redis.Redis, Any], generator: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, client, store = served
    worker = make_worker(settings.home, store, generator)
    with running(worker):
        wait_for(lambda: len(worker.leases.held) == SHARDS and bool(worker.serves))
        client.execute_command("CONFIG", "SET", "requirepass", "changed")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_for(lambda: min(worker.contact.failures[part] for part in ("refreshes", "log")) >= 2)
        fault = worker.contact.fault()
        assert fault is not None
        client.execute_command("CONFIG", "SET", "requirepass", "")
        wait_for(lambda: worker.contact.fault() is None)
        store.queue_add(KEYS.refresh, [b"a0"], 0.0)
        wait_for(lambda: store.queue_length(KEYS.refresh) == 0)
    said = capfd.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "_wait" in line or "store_away" in line]
    assert len(lines) <= 3, lines


def test_the_latest_report_on_drift_is_in_the_metrics(harness: WorkerHarness) -> None:
    with answering(harness.worker, "127.0.0.1", 0) as port:
        assert not [name for name in samples(port) if name.startswith("pymk_drift")]
        check = {"name": "gone_town", "group": "columns", "value": 1.0, "threshold": 1.0, "verdict": "alarm"}
        fine = {"name": "psi_age", "group": "columns", "value": 0.02, "threshold": 0.25, "verdict": "ok"}
        report = {"version": "v", "at": "2026-03-01T00:00:00Z", "retrain": True, "checks": [check, fine]}
        harness.store.set(KEYS.drift, json.dumps(report).encode())
        found = samples(port)
        assert found["pymk_drift_alarms"] == 1
        assert found["pymk_drift_value,psi_age,columns"] == 0.02
        assert found["pymk_drift_threshold,psi_age,columns"] == 0.25
        assert found["pymk_drift_timestamp_seconds"] == 1_772_323_200
        harness.store.set(KEYS.drift, b"damaged")
        assert samples(port)["pymk_worker_queue_length"] == 0
