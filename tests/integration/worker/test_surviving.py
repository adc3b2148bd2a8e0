"""Several workers at once, and workers that die anywhere: nothing is lost."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from models.event_log.archive.archive import Archive
from models.publishing.pointer import ActivePointer
from models.schema.event_kinds import EventKind
from models.store.keys import SHARDS
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from models.version.tables import Tables
from tests.support.clock import wait_for
from tests.support.memory_store import MemoryStore
from tests.support.stores import KillableStore, Killed
from tests.support.worker import CLIQUES, KEYS, MutualFriendsGenerator, WorkerHarness, make_worker, run_until_idle

CONNECT = EventKind.CONNECT


def test_two_workers_share_the_shards_and_do_all_of_it(harness: WorkerHarness) -> None:
    workers = [
        make_worker(harness.home, harness.store, MutualFriendsGenerator(harness.tables), name)
        for name in ("left", "right")
    ]
    harness.worker.log._leases.release()
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for number in range(9):
        harness.write(*((CONNECT, f"a{one}", f"c{number}") for one in range(10)))
    wait_for(lambda: done(harness))
    wait_for(lambda: sorted(len(worker.log._leases.held) for worker in workers) == [SHARDS // 2] * 2)
    for worker in workers:
        worker._stop.set()
    for thread in threads:
        thread.join()
    archived = [entry for shard in range(SHARDS) for _, entry in Archive(harness.home).read(shard)]
    assert len(archived) == 90
    for one in range(10):
        assert not harness.block(f"a{one}").keys() & {f"c{number}" for number in range(9)}
        assert "c9" in harness.by_friends(harness.block(f"a{one}"))


def done(harness: WorkerHarness) -> bool:
    logs = [harness.store.stream_length(KEYS.log(shard)) for shard in range(SHARDS)]
    return not any(logs) and not harness.store.queue_length(KEYS.refresh)


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_killed_anywhere_is_followed_by_one_that_loses_nothing(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
) -> None:
    """The first worker is killed in its n-th operation of the store, for every n."""
    versions = Versions(prepared)
    tables = Tables.open(versions.path(versions.ids()[0]) / "tables")
    monkeypatch.setattr("service.worker.worker.pull_tables", lambda store, version, versions, keys: path_of(prepared))
    for dies_at in range(1, 400):
        home, store = tmp_path / f"{dies_at}", MemoryStore()
        harness = WorkerHarness(home, store, make_worker(home, store, MutualFriendsGenerator(tables)))
        pointer = ActivePointer(version=versions.ids()[0], activated_at=datetime.now(UTC))
        harness.store.set(KEYS.active, pointer.model_dump_json().encode())
        harness.write((CONNECT, "a0", "c0"))
        harness.write_profile("zoe", company="Firm d")
        died = False
        killable: Any = KillableStore(store, dies_at - 1, is_done=after)
        first = make_worker(home, killable, MutualFriendsGenerator(tables), "first")
        try:
            run_until_idle(first)
        except Killed:
            died = True
        second = make_worker(home, harness.store, MutualFriendsGenerator(tables), "second")
        store.delete([KEYS.process("first")])  # as if its report had expired
        run_until_idle(second, 120)  # when what a dead one had taken is free again
        row = tables.vocabulary.row("a0")
        block = harness.store.get(KEYS.block(versions.ids()[0], row if row is not None else -1))
        assert block is not None, dies_at
        assert harness.by_friends(harness.named(tables, Block.unpack(block))) >= set(CLIQUES["c"]) - {"c0"}
        assert harness.store.get(KEYS.newcomer(versions.ids()[0], "zoe")) is not None, dies_at
        assert set(dict(harness.store.timestamps_after(KEYS.touched, 0, 9))) == {"a0", "c0", "zoe"}
        archived = [entry for shard in range(SHARDS) for _, entry in Archive(home).read(shard)]
        assert len(archived) == 2
        assert done(harness), dies_at
        if not died:
            return
    raise AssertionError("the worker does more than was expected")


def path_of(home: Path) -> Path:
    return Versions(home).path(Versions(home).ids()[0])
