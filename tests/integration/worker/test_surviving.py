"""Several workers at once, and workers that die anywhere: nothing is lost."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from models.event_log.archive import Archive
from models.publishing.pointer import ActivePointer
from models.schema.event_kinds import EventKind
from models.store.keys import SHARDS, Keys
from models.store.memory import MemoryStore
from models.store.protocol import SyncStore
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from models.version.tables import Tables
from tests.support.mutual_friends_generator import MutualFriendsGenerator

KEYS = Keys("pymk")
CLIQUES = {name: [f"{name}{number}" for number in range(10)] for name in "abcd"}
CONNECT = EventKind.CONNECT


def test_two_workers_share_the_shards_and_do_all_of_it(place: Any, make_worker: Callable[..., Any]) -> None:
    workers = [
        make_worker(place.home, place.store, MutualFriendsGenerator(place.tables), name) for name in ("left", "right")
    ]
    place.worker.log._leases.release()
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for number in range(9):
        place.did(*((CONNECT, f"a{one}", f"c{number}") for one in range(10)))
    until(lambda: done(place))
    until(lambda: sorted(len(worker.log._leases.held) for worker in workers) == [SHARDS // 2] * 2)
    for worker in workers:
        worker._stop.set()
    for thread in threads:
        thread.join()
    archived = [entry for shard in range(SHARDS) for _, entry in Archive(place.home).read(shard)]
    assert len(archived) == 90
    for one in range(10):
        assert not place.block(f"a{one}").keys() & {f"c{number}" for number in range(9)}
        assert "c9" in place.by_friends(place.block(f"a{one}"))


def done(place: Any) -> bool:
    logs = [place.store.stream_length(KEYS.log(shard)) for shard in range(SHARDS)]
    return not any(logs) and not place.store.queue_length(KEYS.refresh)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Mortal:
    """A store whose user dies at its n-th operation, before or after it was done."""

    def __init__(self, store: SyncStore, dies_at: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, dies_at, after

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            answer = operation(*arguments, **options)
            if self._left == 0:
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_killed_anywhere_is_followed_by_one_that_loses_nothing(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_place: Callable[..., Any],
    make_worker: Callable[..., Any],
    work_off: Callable[..., None],
    after: bool,
) -> None:
    """Every operation of the store in turn is the last one of a first worker."""
    versions = Versions(made)
    tables = Tables.open(versions.path(versions.ids()[0]) / "tables")
    monkeypatch.setattr("models.publishing.publish.pull_tables", lambda store, version, versions, keys: made_path(made))
    for dies_at in range(1, 400):
        home = tmp_path / f"{dies_at}"
        place = make_place(home, MemoryStore(), None)
        pointer = ActivePointer(version=versions.ids()[0], activated_at=datetime.now(UTC))
        place.store.set(KEYS.active, pointer.model_dump_json().encode())
        place.did((CONNECT, "a0", "c0"))
        place.put("zoe", company="Firm d")
        died = False
        mortal: Any = Mortal(place.store, dies_at, after=after)
        first = make_worker(home, mortal, MutualFriendsGenerator(tables), "first")
        try:
            work_off(first)
        except Killed:
            died = True
        second = make_worker(home, place.store, MutualFriendsGenerator(tables), "second")
        second.log._leases.clock = lambda: time.time() + 60
        work_off(second, 120)  # when what a dead one had taken is free again
        row = tables.vocabulary.row("a0")
        block = place.store.get(KEYS.block(versions.ids()[0], row if row is not None else -1))
        assert block is not None, dies_at
        assert place.by_friends(place.named(tables, Block.unpack(block))) >= set(CLIQUES["c"]) - {"c0"}
        assert place.store.get(KEYS.newcomer(versions.ids()[0], "zoe")) is not None, dies_at
        assert set(dict(place.store.timestamps_after(KEYS.touched, 0, 9))) == {"a0", "c0", "zoe"}
        archived = [entry for shard in range(SHARDS) for _, entry in Archive(home).read(shard)]
        assert len(archived) == 2
        assert done(place), dies_at
        if not died:
            return
    raise AssertionError("the worker does more than was expected")


def made_path(home: Path) -> Path:
    return Versions(home).path(Versions(home).ids()[0])
