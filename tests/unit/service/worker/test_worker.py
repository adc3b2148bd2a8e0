"""The worker: makes blocks for those who wait, loses nobody, follows the version."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.candidate_refresh.refresh_queue import RefreshRequest
from models.errors import ArtefactError, StoreUnavailableError
from models.live_state.neighbourhood import Neighbourhood
from models.publishing.publish import publish
from models.store.keys import Keys
from models.version.candidate_block import Block, quantise
from models.version.local_versions import Versions
from models.version.new_user_record import Newcomer, ProfileCodes
from service.worker.candidate_refresh import LEASE_S, TRIES, TRY_AGAIN_S
from service.worker.worker import Worker
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")


class Everybody:
    """Makes a block of rows 0 to 7."""

    def block(self, row: int) -> Block:
        return quantise(row, np.arange(8, dtype=np.uint32), np.full(8, 1, np.uint8), np.zeros((1, 8), np.float32))

    def overlay(self, row: int, around: Neighbourhood, profile: Mapping[str, Any] | None) -> Block:
        return self.block(row)

    def newcomer(self, around: Neighbourhood, profile: Mapping[str, Any], timestamp_us: int) -> Newcomer:
        nothing = ProfileCodes(np.zeros(0, np.int32), np.zeros(0, np.int32))
        return Newcomer(
            timestamp_us, np.zeros(1, np.float32), np.zeros(3, np.float16), nothing, around.friends, self.block(0)
        )


class Broken(Everybody):
    def block(self, row: int) -> Block:
        raise ArtefactError("the index is damaged")


class WorkerBench:
    def __init__(self, home: Path, make_version: Callable[..., str]) -> None:
        self.store = MemoryStore(clock=lambda: 0.0)
        self.versions = Versions(home)
        self.make_version = make_version
        self.stop = threading.Event()

    def publish(self) -> str:
        version = self.make_version()
        publish(self.versions.path(version), self.store, self.versions, keys=KEYS)
        return version

    def worker(self, generator: object = None, store: MemoryStore | None = None) -> Worker:
        return Worker(
            store or self.store,
            self.versions,
            KEYS,
            lambda directory: generator or Everybody(),  # type: ignore[arg-type,return-value]
            name="worker-1",
            stop=self.stop,
            superseded_ttl_s=60,
            forbidden_days=90,
            exposure_limit=100,
        )

    def queue(self, *user_ids: str) -> None:
        self.store.queue_add(KEYS.refresh, [user_id.encode() for user_id in user_ids], 100.0)


@pytest.fixture
def place(tmp_path: Path, make_version: Callable[..., str]) -> WorkerBench:
    return WorkerBench(tmp_path, make_version)


def test_a_block_is_made_and_the_queue_left(place: WorkerBench) -> None:
    version = place.publish()
    place.queue("héloïse")
    worker = place.worker()
    assert worker.run_once(100.0)
    record = place.store.get(KEYS.block(version, 7))
    assert record is not None
    assert Block.unpack(record).viewer == 7
    assert place.store.ttl_s(KEYS.block(version, 7)) is None
    assert place.store.queue_length(KEYS.refresh) == 0
    assert not worker.run_once(100.0)
    assert worker.refresh.counters.blocks == 1


def test_who_is_not_due_waits(place: WorkerBench) -> None:
    place.publish()
    place.queue("ann")
    assert not place.worker().run_once(99.0)
    assert place.store.queue_length(KEYS.refresh) == 1


def test_an_unknown_user_is_dropped_and_counted(place: WorkerBench) -> None:
    place.publish()
    place.queue("nobody")
    place.store.queue_add(KEYS.refresh, [b"\xff"], 100.0)
    worker = place.worker()
    worker.run_once(100.0)
    assert (worker.refresh.counters.unknown, place.store.queue_length(KEYS.refresh)) == (2, 0)


def test_a_failure_leaves_the_user_for_later(place: WorkerBench) -> None:
    place.publish()
    place.queue("ann")
    worker = place.worker(Broken())
    worker.run_once(100.0)
    assert worker.refresh.counters.failed == 1
    assert not place.worker().run_once(100.0 + TRY_AGAIN_S - 1)
    assert place.worker().run_once(100.0 + TRY_AGAIN_S)
    assert place.store.queue_length(KEYS.refresh) == 0


def test_who_fails_and_fails_is_given_up(place: WorkerBench) -> None:
    place.publish()
    place.queue("ann")
    worker = place.worker(Broken())
    for turn in range(TRIES + 3):
        worker.run_once(100.0 + turn * 1000)
    assert (worker.refresh.counters.failed, worker.refresh.counters.dropped) == (TRIES, 1)
    assert place.store.queue_length(KEYS.refresh) == 0


def test_a_worker_that_died_gives_up_whom_it_had_taken(place: WorkerBench) -> None:
    place.publish()
    place.queue("ann")
    assert place.store.queue_take(KEYS.refresh, 100.0, LEASE_S, 16) == [b"ann"]
    assert not place.worker().run_once(100.0 + LEASE_S - 1)
    assert place.worker().run_once(100.0 + LEASE_S)


def test_a_change_while_the_block_is_made_waits_for_its_own_turn(place: WorkerBench) -> None:
    class Slow(Everybody):
        def block(self, row: int) -> Block:
            place.store.queue_add(KEYS.refresh, [RefreshRequest("ann", 8).encode()], 100.0)
            return super().block(row)

    place.publish()
    place.store.queue_add(KEYS.refresh, [RefreshRequest("ann", 7).encode()], 100.0)
    place.worker(Slow()).run_once(100.0)
    assert place.store.queue_take(KEYS.refresh, 100.0, LEASE_S, 16) == [RefreshRequest("ann", 8).encode()]


def test_without_a_version_the_queue_is_left_alone(place: WorkerBench) -> None:
    place.queue("ann")
    assert not place.worker().run_once(100.0)
    assert place.store.queue_length(KEYS.refresh) == 1


def test_the_next_block_is_of_the_next_version(place: WorkerBench) -> None:
    place.publish()
    worker = place.worker()
    worker.run_once(100.0)
    version = place.publish()
    place.queue("héloïse")
    worker.run_once(100.0)
    assert place.store.get(KEYS.block(version, 7)) is not None


def test_a_block_of_a_superseded_version_expires(place: WorkerBench) -> None:
    class Slow(Everybody):
        def block(self, row: int) -> Block:
            place.publish()
            place.publish()
            return super().block(row)

    version = place.publish()
    place.queue("héloïse")
    place.worker(Slow()).run_once(100.0)
    assert place.store.ttl_s(KEYS.block(version, 7)) == 60


def test_a_stop_leaves_the_rest_of_the_queue(place: WorkerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.candidate_refresh.TAKEN_AT_ONCE", 1)

    class Last(Everybody):
        def block(self, row: int) -> Block:
            place.stop.set()
            return super().block(row)

    place.publish()
    place.queue("ann", "bea", "cid")
    worker = place.worker(Last())
    worker.run()
    assert worker.refresh.counters.blocks == 1
    assert place.store.queue_length(KEYS.refresh) == 2
    assert list(place.store.scan(KEYS.processes)) == [], "it takes itself off the list of processes"


def test_it_reports_what_it_works_with(place: WorkerBench) -> None:
    version = place.publish()
    worker = place.worker()
    worker.run_once(100.0)
    assert place.store.get(KEYS.process("worker-1")) == version.encode()


def test_a_store_that_comes_back_is_worked_with_again(place: WorkerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flaky(MemoryStore):
        failures = 2

        def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
            if KEYS.active in keys and self.failures:
                self.failures -= 1
                raise StoreUnavailableError("The store does not answer.")
            return super().get_many(keys)

    class Last(Everybody):
        def block(self, row: int) -> Block:
            place.stop.set()
            return super().block(row)

    monkeypatch.setattr("service.worker.worker.STORE_PAUSE_S", 0.01)
    place.store = Flaky(clock=lambda: 0.0)
    place.store.failures = 0
    place.publish()
    place.store.failures = 2
    place.queue("ann")
    worker = place.worker(Last())
    worker.run()
    assert worker.refresh.counters.blocks == 1
