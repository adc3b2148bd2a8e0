"""The shards of the log are shared out among the live workers, and those of a dead one taken over."""

import pytest

from models.candidate_refresh.replay import live_workers
from models.store.keys import SHARDS, Keys
from models.store.memory import MemoryStore
from service.worker.shard_leases import LEASE_S, RENEW_S, ShardLeases

KEYS = Keys("pymk")


class WorkerBench:
    def __init__(self) -> None:
        self.store, self.now = MemoryStore(), 1000.0

    def worker(self, name: str) -> ShardLeases:
        return ShardLeases(self.store, KEYS, name, lambda: self.now)

    def pass_by(self, *workers: ShardLeases, rounds: int = 1) -> list[list[int]]:
        for _ in range(rounds):
            self.now += RENEW_S
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


def test_a_dead_workers_shards_are_taken_over_after_its_lease(place: WorkerBench) -> None:
    dead, other = place.worker("dead"), place.worker("other")
    assert len(dead.shards()) == SHARDS
    place.now += 1
    assert other.shards() == []
    place.now += LEASE_S
    assert other.shards() == list(range(SHARDS))
    assert live_workers(place.store, KEYS, place.now) == ["other"]


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
