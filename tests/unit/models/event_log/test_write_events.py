"""A batch of events is written whole, once, and in its order."""

from asyncio import gather
from collections.abc import Sequence
from typing import Any

import pytest

from models.errors import StoreRefusedError, StoreUnavailableError
from models.event_log import write_events as writing
from models.event_log.event import Entry, Event
from models.event_log.write_events import Result, Written, write_events
from models.live_state.edges import Direction, derive_one, edge_event
from models.live_state.timestamps import draw_cut
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from models.store.keys import Keys, shard_of
from models.store.protocol import STREAM_START
from models.store.transaction import Commit, Outcome
from models.system.clock import OLDEST_S
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio
K = EventKind


def event(text: str, **more: Any) -> Event:
    """`ann blocks bea` as "ann block bea"."""
    viewer, kind, other = text.split()
    return Event(EventKind[kind.upper()], viewer, other, **more)


def entries(memory: MemoryStore, keys: Keys, user_id: str) -> list[Entry]:
    read = memory.stream_read(keys.log(shard_of(user_id)), STREAM_START, 10_000)
    return [one for _, entry in read if (one := Entry.decode(entry)).user_id == user_id]


async def read_records(store: AsyncMemoryStore, keys: Keys, people: Sequence[str]) -> dict[str, LiveRecord]:
    packed = await store.get_many([keys.live(person) for person in people])
    return {person: LiveRecord.unpack(record) for person, record in zip(people, packed, strict=True)}


class TestWriteEvents:
    async def test_both_people_and_the_log_have_it(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        written = await write_events(store, keys, [event("ann block bea", request_id="r")], clock=clock)
        assert written == Written([Result.ACCEPTED], {"ann", "bea"})
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

    async def test_timestamps_rise_though_the_clock_stands_or_goes_back(
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
        assert (written.accepted, written.count(Result.DUPLICATE)) == (6, 2)
        clock.now += 48 * 3600 * 1_000_000
        written = await write_events(store, keys, batch, clock=clock)
        assert (written.accepted, written.count(Result.DUPLICATE)) == (2, 6)
        assert len(entries(memory, keys, "ann")) == 7

    @pytest.mark.parametrize("names", [("a", "b", None), (None, "a", "b"), ("a", None, "a")])
    async def test_one_event_under_several_names_is_one(
        self, store: AsyncMemoryStore, keys: Keys, clock: Any, names: Sequence[str | None]
    ) -> None:
        batch = [event("ann block bea", event_id=name, at=clock.now) for name in names]
        written = await write_events(store, keys, batch, clock=clock)
        assert written.results == [Result.ACCEPTED, Result.DUPLICATE, Result.DUPLICATE]
        renamed = event("ann unblock bea", event_id="a", at=clock.now - 5)
        known = (await write_events(store, keys, [renamed], clock=clock)).results
        assert known == [Result.DUPLICATE if "a" in names[:1] else Result.ACCEPTED]

    async def test_nothing_that_tells_duplicates_apart_expires(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        await write_events(store, keys, [event("ann block bea", event_id="1", at=clock.now)], clock=clock)
        assert [key for key in memory.scan("") if memory.ttl_s(key) is not None] == []

    async def test_a_moment_in_the_future_or_long_past_is_moved_and_decides_nothing(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        batch = [
            event("ann block bea", at=clock.now + 10**12),
            event("ann unblock bea", at=0),
            event("ann click bea", at=clock.now - 5),
        ]
        assert (await write_events(store, keys, batch, clock=clock)).count(Result.CLAMPED) == 2
        moments = [one.at for one in entries(memory, keys, "ann")]
        assert moments == [clock.now, clock.now - OLDEST_S * 1_000_000, clock.now - 5]
        edges = (await read_records(store, keys, ["bea"]))["bea"].edges["ann"]
        assert edges[edge_event(Direction.IN, K.UNBLOCK)] > edges[edge_event(Direction.IN, K.BLOCK)]

    async def test_of_many_events_with_one_person_at_the_same_time_all_are_in_effect(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        batches = [[event(f"u{number} invite ann"), event(f"ann impression u{number}")] for number in range(100)]
        written = await gather(*(write_events(store, keys, batch, clock=clock) for batch in batches))
        assert sum(one.accepted for one in written) == 200
        record = (await read_records(store, keys, ["ann"]))["ann"]
        assert set(record.edges) == set(record.shown) == {f"u{number}" for number in range(100)}
        timestamps_us = [one.timestamp_us for number in range(100) for one in entries(memory, keys, f"u{number}")]
        assert len({*timestamps_us}) == 100

    @pytest.mark.parametrize(
        "batch",
        [
            ["ann invite bea", "bea accept ann", "ann disconnect bea"],
            ["bea disconnect ann", "ann connect bea", "bea disconnect ann"],
            ["ann block bea", "bea connect ann", "ann unblock bea", "bea block ann", "ann disconnect bea"],
        ],
    )
    async def test_the_order_of_a_batch_is_that_of_its_events_one_by_one(
        self, keys: Keys, clock: Any, batch: list[str]
    ) -> None:
        together, apart = MemoryStore(), MemoryStore()
        await write_events(AsyncMemoryStore(together), keys, [event(text) for text in batch], clock=clock)
        for text in batch:
            await write_events(AsyncMemoryStore(apart), keys, [event(text)], clock=clock)
        for viewer, other in (("ann", "bea"), ("bea", "ann")):
            one, two = (LiveRecord.unpack(memory.get(keys.live(viewer))) for memory in (together, apart))
            relations = {derive_one(0, record.edges[other], cut=0, refused_after=0) for record in (one, two)}
            assert len(relations) == 1
            assert not relations.pop() & Relationship.CONNECTED
            order = [[(e.timestamp_us, e.kind) for e in entries(memory, keys, viewer)] for memory in (together, apart)]
            assert order[0] == order[1]

    @pytest.mark.parametrize("skew_h", [-2, 0, 2])
    async def test_an_event_is_after_a_cut_whatever_the_clocks_say(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any, skew_h: int
    ) -> None:
        await write_events(store, keys, [event("ann connect bea")], clock=clock)
        cut = draw_cut(memory, keys, now=clock.now + skew_h * 3600 * 10**6)
        await write_events(store, keys, [event("ann block bea")], clock=clock)
        first, second = (one.timestamp_us for one in entries(memory, keys, "ann"))
        assert first <= cut < second

    async def test_a_store_that_lost_its_clock_goes_on_after_the_served_version(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        cut = clock.now + 10**10
        await write_events(store, keys, [event("ann block bea")], clock=clock, after=cut)
        assert entries(memory, keys, "ann")[0].timestamp_us > cut

    @pytest.mark.parametrize("fenced", ["ann", "bea", "cid"])
    async def test_what_a_night_fences_off_is_written_again_behind_its_cut_in_the_order_of_the_batch(
        self, memory: MemoryStore, keys: Keys, clock: Any, fenced: str
    ) -> None:
        """The night draws its cut between the timestamps of a batch and its first commit."""

        class Fenced(AsyncMemoryStore):
            cut = 0

            async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
                if not self.cut:
                    self.cut = memory.numbers_take(keys.clock, 1, 0)
                    memory.number_raise(keys.fence(shard_of(fenced)), self.cut)
                return await super().commit(commits, wait_s)

        store = Fenced(memory)
        batch = [event("ann block bea"), event("bea connect ann"), event("cid click ann"), event("ann disconnect bea")]
        written = await write_events(store, keys, batch, clock=clock)
        assert written.results == [Result.ACCEPTED] * 4
        logged = [one for person in ("ann", "bea", "cid") for one in entries(memory, keys, person)]
        latest = {one.kind: one.timestamp_us for one in sorted(logged, key=lambda one: one.timestamp_us)}
        assert latest["block"] < latest["connect"] < latest["disconnect"]
        assert max(one.timestamp_us for one in entries(memory, keys, fenced)) > store.cut
        assert all(one.timestamp_us > store.cut for one in entries(memory, keys, fenced))
        assert sum(one.kind == "click" for one in logged) == 1

    async def test_a_batch_that_fails_half_way_goes_on_where_it_got_to(
        self, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        class Failing(AsyncMemoryStore):
            commits = 0

            async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
                self.commits += 1
                if self.commits == 4:
                    raise StoreUnavailableError("no answer in time")
                return await super().commit(commits, wait_s)

        batch = [event(f"u{number} connect v{number}", event_id=f"e{number}") for number in range(1000)]
        written = Written()
        with pytest.raises(StoreUnavailableError):
            await write_events(Failing(memory), keys, batch, clock=clock, written=written)
        assert written.accepted == 2 * writing.EVENTS_AT_ONCE
        again = await write_events(AsyncMemoryStore(memory), keys, batch, clock=clock)
        assert (again.count(Result.DUPLICATE), again.accepted) == (written.accepted, 1000 - written.accepted)
        records = await read_records(AsyncMemoryStore(memory), keys, [f"v{number}" for number in range(1000)])
        assert all(record.edges for record in records.values())

    async def test_a_record_takes_what_there_is_room_for_and_longest_what_protects(
        self, store: AsyncMemoryStore, keys: Keys, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, most in (("MOST_SIGNALS_BYTES", 1_000), ("MOST_BYTES", 2_000), ("MOST_PROTECTING_BYTES", 8_000)):
            monkeypatch.setattr(writing, name, most)
        batch = [event(f"ann {kind} u{number}") for number in range(100) for kind in ("impression", "invite", "block")]
        written = await write_events(store, keys, batch, clock=clock)
        accepted = {
            kind: sum(result is Result.ACCEPTED for result in written.results[at::3])
            for at, kind in enumerate(("impression", "invite", "block"))
        }
        assert 0 < accepted["impression"] < accepted["invite"] < accepted["block"] == 100
        assert written.count(Result.FULL) == 300 - written.accepted
        shown = (await read_records(store, keys, [f"u{accepted['invite']}"])).popitem()[1]
        assert list(shown.edges.get("ann", {})) == [edge_event(Direction.IN, K.BLOCK)]

    async def test_a_repeat_completes_what_a_crash_left(self, memory: MemoryStore, keys: Keys, clock: Any) -> None:
        class Full(AsyncMemoryStore):
            commits = 0

            async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
                self.commits += 1
                if self.commits == 2:
                    raise StoreRefusedError("full")
                return await super().commit(commits, wait_s)

        batch = [event("ann block bea", event_id="1")]
        with pytest.raises(StoreRefusedError):
            await write_events(Full(memory), keys, batch, clock=clock)
        store = AsyncMemoryStore(memory)
        assert (await read_records(store, keys, ["bea"]))["bea"].edges == {}
        clock.now += 7
        assert (await write_events(store, keys, batch, clock=clock)).count(Result.DUPLICATE) == 1
        ann, bea = (await read_records(store, keys, ["ann", "bea"])).values()
        assert bea.edges["ann"] == {
            edge_event(Direction.IN, K.BLOCK): ann.edges["bea"][edge_event(Direction.OUT, K.BLOCK)]
        }

    async def test_nothing_is_kept_of_who_is_gone(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        batch = [event("ann click eve"), event("eve block ann"), event("ann click bea")]
        written = await write_events(store, keys, batch, gone={"eve"}, clock=clock)
        assert (written.accepted, written.count(Result.GONE)) == (1, 2)
        assert not any("eve" in key or b"eve" in (memory.get(key) or b"") for key in memory.scan("t:{") if ":u:" in key)

    async def test_a_large_batch_of_many_people(self, store: AsyncMemoryStore, keys: Keys, clock: Any) -> None:
        batch = [event(f"u{number % 300} connect v{number % 7}") for number in range(1200)]
        written = await write_events(store, keys, batch, clock=clock)
        assert (written.accepted, len(written.changed)) == (1200, 307)
        record = (await read_records(store, keys, ["v3"]))["v3"]
        assert set(record.edges) == {f"u{number % 300}" for number in range(3, 1200, 7)}
