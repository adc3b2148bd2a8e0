"""What a writer's death left undone is done by the worker, and all of it is archived."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import StoreUnavailableError
from models.event_log.archive.archive import Archive
from models.event_log.event import Entry, Event
from models.event_log.log_consumer import LogConsumer
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.erased_ids import read_erased
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import HiddenSet, follow_blocking
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.store.keys import SHARDS, Keys, shard_of
from models.store.transaction import Outcome
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio


class Dying(AsyncMemoryStore):
    """A store whose client dies before its `last` commit, and every later one and every change of flags after it."""

    def __init__(self, memory: MemoryStore, last: int) -> None:
        super().__init__(memory)
        self._left = last

    def _count(self) -> None:
        self._left -= 1
        if self._left <= 0:
            raise StoreUnavailableError("dead")

    async def commit(self, commits: Any, wait_s: float | None = None) -> list[Outcome]:
        self._count()
        return await super().commit(commits)

    async def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes:
        self._count()
        return await super().chain_append(head, stream, identity, entry)


def consume(memory: MemoryStore, keys: Keys, home: Path, clock: Any, **more: Any) -> list[Entry]:
    on_entries: list[Entry] = []
    consumer = LogConsumer(memory, keys, Archive(home), on_entries.extend, **more)
    for shard in range(SHARDS):
        while consumer.run_once(shard):
            pass
    return on_entries


def archived(home: Path) -> list[Entry]:
    archive = Archive(home)
    return [entry for shard in range(SHARDS) for _, entry in archive.read(shard) if entry]


class TestLogConsumer:
    async def test_the_other_record_is_written(
        self, memory: MemoryStore, keys: Keys, clock: Any, tmp_path: Path
    ) -> None:
        with pytest.raises(StoreUnavailableError):
            await write_events(Dying(memory, 2), keys, [Event(EventKind.BLOCK, "ann", "bea")], clock=clock)
        assert memory.get(keys.live("bea")) is None
        (entry,) = consume(memory, keys, tmp_path, clock)
        assert (entry.user_id, entry.other_id, entry.timestamp_us) == ("ann", "bea", clock.now)
        assert LiveRecord.unpack(memory.get(keys.live("bea"))).edges == {"ann": {16 + EventKind.BLOCK: clock.now}}
        assert archived(tmp_path) == [entry]
        assert memory.stream_length(keys.log(shard_of("ann"))) == 0
        assert consume(memory, keys, tmp_path, clock) == []

    async def test_what_is_whole_is_left_as_it_is(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any, tmp_path: Path
    ) -> None:
        batch = [Event(EventKind.CONNECT, "ann", "bea"), Event(EventKind.IMPRESSION, "ann", "cid")]
        await write_events(store, keys, batch, clock=clock)
        before = [memory.get(keys.live(person)) for person in ("ann", "bea", "cid")]
        assert len(consume(memory, keys, tmp_path, clock)) == 2
        assert [memory.get(keys.live(person)) for person in ("ann", "bea", "cid")] == before

    @pytest.mark.parametrize("dies", ["heard", "append", "compare_and_set", "stream_trim"])
    async def test_a_worker_may_die_anywhere(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any, tmp_path: Path, dies: str
    ) -> None:
        await write_events(store, keys, [Event(EventKind.BLOCK, "ann", "bea")], clock=clock)

        def die(*_: Any) -> None:
            raise StoreUnavailableError("dead")

        archive = Archive(tmp_path)
        consumer = LogConsumer(memory, keys, archive, die if dies == "heard" else (lambda _: None))
        if dies != "heard":
            setattr(archive if dies == "append" else memory, dies, die)
        with pytest.raises(StoreUnavailableError):
            consumer.run_once(shard_of("ann"))
        if dies not in ("heard", "append"):
            delattr(memory, dies)
        on_entries = consume(memory, keys, tmp_path, clock)
        assert len(on_entries) == (0 if dies == "stream_trim" else 1)
        assert [entry.user_id for entry in archived(tmp_path)] == ["ann"]

    async def test_flags_and_erasures_are_told(
        self, memory: MemoryStore, keys: Keys, clock: Any, tmp_path: Path
    ) -> None:
        with pytest.raises(StoreUnavailableError):
            await write_erasure(Dying(memory, 2), keys, "eve", clock=clock)
        with pytest.raises(StoreUnavailableError):
            await write_profile(Dying(memory, 2), keys, "ann", {"active": False}, clock=clock)
        await write_profile(AsyncMemoryStore(memory), keys, "bea", {"active": False}, clock=clock)
        await write_profile(AsyncMemoryStore(memory), keys, "cid", {"active": True}, base=Flag.ACTIVE, clock=clock)
        assert len(consume(memory, keys, tmp_path, clock)) == 4
        seen = HiddenSet()
        changes = follow_blocking(memory, keys, seen)
        assert sorted(change.user_id for change in changes) == ["ann", "bea", "eve"]
        assert seen.over("ann", 7, 0) == seen.over("bea", 7, 0) == 7 & ~Flag.ACTIVE
        assert seen.over("eve", 7, 0) == 0
        assert read_erased(memory, keys).timestamp_us("eve") == clock.now

    async def test_several_workers_do_it_once_for_the_archive(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any, tmp_path: Path
    ) -> None:
        await write_events(store, keys, [Event(EventKind.BLOCK, "ann", "bea")], clock=clock)
        nested: list[Entry] = []

        def other_worker(entries: Any) -> None:
            nested.extend(consume(memory, keys, tmp_path, clock))

        consumer = LogConsumer(memory, keys, Archive(tmp_path), other_worker)
        assert consumer.run_once(shard_of("ann")) == 1
        assert len(nested) == 1 == len(archived(tmp_path))
