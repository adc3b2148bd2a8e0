"""The shards of the log are shared out among the live workers, and those of a dead one taken over."""

import time

import orjson
import pytest

from models.candidate_refresh.replay import live_workers
from models.store.keys import SHARDS, Keys
from service.worker.shard_leases import RENEW_S, ShardLeases
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")
DEAD_S = 6.0


class WorkerBench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.store = MemoryStore(lambda: self.now)

    def worker(self, name: str) -> ShardLeases:
        self.report(name)
        return ShardLeases(self.store, KEYS, name, lambda: self.now)

    def report(self, *names: str) -> None:
        for name in names:
            self.store.set(KEYS.process(name), b"", DEAD_S)

    def pass_by(self, *workers: ShardLeases, rounds: int = 1) -> list[list[int]]:
        for _ in range(rounds):
            self.now += RENEW_S
            self.report(*(worker.name for worker in workers))
            held = [worker.shards() for worker in workers]
        return held


@pytest.fixture
def place() -> WorkerBench:
    return WorkerBench()


def test_one_worker_has_all(place: WorkerBench) -> None:
    assert place.worker("one").shards() == list(range(SHARDS))


def test_several_share_and_nobody_has_what_another_has(place: WorkerBench) -> None:
    workers = [place.worker(name) for name in ("one", "two", "three")]
    held = place.pass_by(*workers, rounds=4)
    assert sorted(shard for own in held for shard in own) == list(range(SHARDS))
    assert max(map(len, held)) <= -(-SHARDS // 3)


def test_a_dead_workers_shards_are_taken_over_when_its_report_has_expired(place: WorkerBench) -> None:
    dead, other = place.worker("dead"), place.worker("other")
    assert len(dead.shards()) == SHARDS
    place.now += 1
    assert other.shards() == []
    place.now += DEAD_S
    place.report("other")
    assert other.shards() == list(range(SHARDS))
    assert live_workers(place.store, KEYS) == ["other"]


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_set_takes_no_shard_and_keeps_none(
    place: WorkerBench, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    first, second = place.worker("first"), place.worker("second")
    place.pass_by(first, second, rounds=3)
    set_to = time.time() + 3600 * hours
    monkeypatch.setattr(time, "time", lambda: set_to)
    held = place.pass_by(first, second, rounds=3)
    assert [len(own) for own in held] == [SHARDS // 2] * 2, "both live"
    assert live_workers(place.store, KEYS) == ["first", "second"]
    place.now += DEAD_S
    place.pass_by(second)
    assert second.held == list(range(SHARDS)), "the dead one's are taken over, whatever its clock wrote"


def test_a_lease_that_ends_far_in_the_future_is_taken_over_from_a_dead_worker(place: WorkerBench) -> None:
    for shard in range(SHARDS):
        place.store.set(KEYS.log_lease(shard), orjson.dumps({"by": "gone", "until": time.time() + 7200}))
    assert place.worker("one").shards() == list(range(SHARDS))


def test_what_is_let_go_is_free_at_once(place: WorkerBench) -> None:
    first, second = place.worker("first"), place.worker("second")
    first.shards()
    first.release()
    assert second.shards() == list(range(SHARDS))


def test_between_two_looks_the_store_is_left_alone(place: WorkerBench) -> None:
    worker = place.worker("one")
    worker.shards()
    place.store.set(KEYS.log_lease(3), b"somebody else's")
    place.now += RENEW_S / 2
    assert 3 in worker.shards()
