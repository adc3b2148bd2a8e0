"""A batch of events is written whole, once, and in its order."""

from collections.abc import Sequence
from typing import Any

import pytest

from models.errors import StoreRefusedError, StoreUnavailableError
from models.event_log.event import Entry, Event
from models.event_log.write_events import Written, read_records, write_events
from models.live_state.edges import Direction, edge_event
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.store.keys import Keys, shard_of
from models.store.memory import AsyncMemoryStore, MemoryStore
from models.store.protocol import STREAM_START
from models.store.transaction import Commit
from models.system.clock import OLDEST_S

pytestmark = pytest.mark.anyio
K = EventKind


def event(text: str, **more: Any) -> Event:
    """`ann blocks bea` as "ann block bea"."""
    viewer, kind, other = text.split()
    return Event(EventKind[kind.upper()], viewer, other, **more)


def entries(memory: MemoryStore, keys: Keys, user_id: str) -> list[Entry]:
    read = memory.stream_read(keys.log(shard_of(user_id)), STREAM_START, 10_000)
    return [one for _, entry in read if (one := Entry.decode(entry)).user_id == user_id]


class Interfering(AsyncMemoryStore):
    """Somebody else writes a record between the reading and the first commits of a batch."""

    def __init__(self, memory: MemoryStore, keys: Keys, person: str, times: int) -> None:
        super().__init__(memory)
        self._memory, self._key, self._times = memory, keys.live(person), times

    async def commit(self, commits: Sequence[Commit]) -> list[bool]:
        if self._times:
            self._times -= 1
            record = LiveRecord.unpack(self._memory.get(self._key))
            record.apply(f"stranger{self._times}", Direction.IN, K.BLOCK, record.last + 5_000_000)
            self._memory.set(self._key, record.next_revision(0).pack())
        return await super().commit(commits)


class TestWriteEvents:
    async def test_both_people_and_the_log_have_it(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        written = await write_events(store, keys, [event("ann block bea", request_id="r")], clock=clock)
        assert written == Written(1, 0, 0, 0, frozenset({"ann", "bea"}))
        records = await read_records(store, keys, ["ann", "bea", "cid"])
        assert records["ann"].edges == {"bea": {edge_event(Direction.OUT, K.BLOCK): clock.now}}
        assert records["bea"].edges == {"ann": {edge_event(Direction.IN, K.BLOCK): clock.now}}
        assert records["cid"] == LiveRecord()
        (entry,) = entries(memory, keys, "ann")
        assert (entry.kind, entry.other_id, entry.timestamp_us, entry.request_id) == ("block", "bea", clock.now, "r")
        assert Entry.decode(entry.encode()) == entry

    async def test_what_concerns_the_viewer_alone_leaves_the_other_alone(
        self, store: AsyncMemoryStore, keys: Keys, clock: Any
    ) -> None:
        batch = [event(f"ann {kind} bea") for kind in ("impression", "click", "view", "dismiss", "report", "undismiss")]
        written = await write_events(store, keys, batch, clock=clock)
        assert written.changed == {"ann"}
        records = await read_records(store, keys, ["ann", "bea"])
        assert records["bea"] == LiveRecord()
        assert records["ann"].shown == {}

    async def test_impressions_count_until_something_is_done(
        self, store: AsyncMemoryStore, keys: Keys, clock: Any
    ) -> None:
        await write_events(store, keys, [event("ann impression bea")] * 3 + [event("ann impression cid")], clock=clock)
        await write_events(store, keys, [event("ann click cid"), event("ann impression cid")], clock=clock)
        record = (await read_records(store, keys, ["ann"]))["ann"]
        assert {person: shown.times for person, shown in record.shown.items()} == {"bea": 3, "cid": 1}

    async def test_stamps_rise_though_the_clock_stands_or_goes_back(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        await write_events(store, keys, [event("ann block bea"), event("ann unblock bea")], clock=clock)
        clock.now -= 60_000_000
        await write_events(store, keys, [event("bea block ann")], clock=clock)
        await write_events(store, keys, [event("ann block bea")], clock=clock)
        base = clock.now + 60_000_000
        assert [one.timestamp_us for one in entries(memory, keys, "ann")] == [base, base + 1, base + 3]
        assert [one.timestamp_us for one in entries(memory, keys, "bea")] == [base + 2]

    async def test_the_same_event_is_taken_once(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        batch = [
            event("ann block bea", event_id="1"),
            event("ann unblock bea", event_id="1"),
            event("ann click bea", at=clock.now),
            event("ann click bea", at=clock.now),
            event("ann click bea", at=clock.now - 1),
            event("ann click bea"),
            event("ann click bea"),
            event("bea click ann", at=clock.now),
        ]
        written = await write_events(store, keys, batch, clock=clock)
        assert (written.accepted, written.duplicates) == (6, 2)
        clock.now += 48 * 3600 * 1_000_000 - 1_000_000
        written = await write_events(store, keys, batch, clock=clock)
        assert (written.accepted, written.duplicates) == (2, 6)
        clock.now += 2_000_000
        assert (await write_events(store, keys, batch[:1], clock=clock)).accepted == 1
        assert len(entries(memory, keys, "ann")) == 8

    async def test_a_moment_in_the_future_or_long_past_is_moved_and_decides_nothing(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        batch = [
            event("ann block bea", at=clock.now + 10**12),
            event("ann unblock bea", at=0),
            event("ann click bea", at=clock.now - 5),
        ]
        assert (await write_events(store, keys, batch, clock=clock)).clamped == 2
        moments = [one.at for one in entries(memory, keys, "ann")]
        assert moments == [clock.now, clock.now - OLDEST_S * 1_000_000, clock.now - 5]
        edges = (await read_records(store, keys, ["bea"]))["bea"].edges["ann"]
        assert edges[edge_event(Direction.IN, K.UNBLOCK)] > edges[edge_event(Direction.IN, K.BLOCK)]

    @pytest.mark.parametrize("person", ["ann", "bea"])
    async def test_nothing_is_lost_where_others_write_the_same_record(
        self, memory: MemoryStore, keys: Keys, clock: Any, person: str
    ) -> None:
        store = Interfering(memory, keys, person, 3)
        written = await write_events(store, keys, [event("ann block bea", event_id="1")], clock=clock)
        assert (written.accepted, written.duplicates) == (1, 0)
        records = await read_records(store, keys, ["ann", "bea"])
        assert {"stranger0", "stranger1", "stranger2"} <= set(records[person].edges)
        assert "bea" in records["ann"].edges
        assert "ann" in records["bea"].edges
        assert len(entries(memory, keys, "ann")) == 1

    async def test_a_record_that_never_rests_is_given_up(self, memory: MemoryStore, keys: Keys, clock: Any) -> None:
        store = Interfering(memory, keys, "ann", 1000)
        with pytest.raises(StoreUnavailableError, match="Concurrent writes"):
            await write_events(store, keys, [event("ann block bea")], clock=clock)
        assert entries(memory, keys, "ann") == []

    async def test_a_repeat_completes_what_a_crash_left(self, memory: MemoryStore, keys: Keys, clock: Any) -> None:
        class Full(AsyncMemoryStore):
            commits = 0

            async def commit(self, commits: Sequence[Commit]) -> list[bool]:
                self.commits += 1
                if self.commits == 2:
                    raise StoreRefusedError("full")
                return await super().commit(commits)

        batch = [event("ann block bea", event_id="1")]
        with pytest.raises(StoreRefusedError):
            await write_events(Full(memory), keys, batch, clock=clock)
        store = AsyncMemoryStore(memory)
        assert (await read_records(store, keys, ["bea"]))["bea"].edges == {}
        clock.now += 7
        assert (await write_events(store, keys, batch, clock=clock)).duplicates == 1
        ann, bea = (await read_records(store, keys, ["ann", "bea"])).values()
        assert bea.edges["ann"] == {
            edge_event(Direction.IN, K.BLOCK): ann.edges["bea"][edge_event(Direction.OUT, K.BLOCK)]
        }

    async def test_nothing_is_kept_of_who_is_gone(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        batch = [event("ann click eve"), event("eve block ann"), event("ann click bea")]
        written = await write_events(store, keys, batch, gone={"eve"}, clock=clock)
        assert (written.accepted, written.dropped) == (1, 2)
        assert not any("eve" in key or b"eve" in (memory.get(key) or b"") for key in memory.scan("t:{") if ":u:" in key)

    async def test_what_every_version_knows_is_dropped_on_the_way(
        self, store: AsyncMemoryStore, keys: Keys, clock: Any
    ) -> None:
        await write_events(store, keys, [event("ann dismiss bea")], clock=clock)
        watermark, clock.now = clock.now, clock.now + 10
        await write_events(store, keys, [event("ann dismiss cid")], watermark=watermark, clock=clock)
        assert set((await read_records(store, keys, ["ann"]))["ann"].edges) == {"cid"}

    async def test_a_large_batch_of_many_people(self, store: AsyncMemoryStore, keys: Keys, clock: Any) -> None:
        batch = [event(f"u{number % 300} connect v{number % 7}") for number in range(1200)]
        written = await write_events(store, keys, batch, clock=clock)
        assert (written.accepted, len(written.changed)) == (1200, 307)
        record = (await read_records(store, keys, ["v3"]))["v3"]
        assert set(record.edges) == {f"u{number % 300}" for number in range(3, 1200, 7)}
