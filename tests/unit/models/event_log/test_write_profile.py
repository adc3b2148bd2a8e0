"""Profiles, flags and erasures reach everybody."""

from asyncio import gather, sleep
from typing import Any

import pytest

from models.errors import CorruptRecordError, StoreUnavailableError
from models.event_log.event import Entry, Event
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state import visibility
from models.live_state.compaction import compact
from models.live_state.erased_ids import read_erased
from models.live_state.erasure_receipts import read_open
from models.live_state.profile_changes import LiveProfile
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import (
    FlagChange,
    HiddenSet,
    append_change,
    follow,
    follow_blocking,
    forget_blocking,
    number_of,
)
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.protocol import STREAM_START
from models.store.transaction import Append, Commit
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio
ALL = int(Flag.DISCOVERABLE | Flag.ACTIVE | Flag.CONNECTIONS_VISIBLE)


class TestWriteProfile:
    async def test_columns_are_kept_one_by_one(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        first = await write_profile(store, keys, "ann", {"company": "Acme", "age": 3}, clock=clock)
        second = await write_profile(store, keys, "ann", {"company": None, "genres": ["jazz"]}, clock=clock)
        assert second.timestamp_us == first.timestamp_us + 1
        assert (first.epoch, second.epoch) == (None, None)
        profile = LiveProfile.unpack(memory.get(keys.live_profile("ann")))
        assert profile.over({"company": "Bolt", "city": "Ulm"}, 0) == {"city": "Ulm", "age": 3, "genres": ["jazz"]}
        assert profile.over({"company": "Bolt", "age": 2}, first.timestamp_us) == {"age": 2, "genres": ["jazz"]}
        assert LiveRecord.unpack(memory.get(keys.live("ann"))).profile == second.timestamp_us
        kinds = [Entry.decode(one).columns for _, one in memory.stream_read(keys.log(shard_of("ann")), STREAM_START, 9)]
        assert kinds == [{"company": "Acme", "age": 3}, {"company": None, "genres": ["jazz"]}]

    async def test_flags_are_known_from_their_epoch_on(self, store: AsyncMemoryStore, keys: Keys, clock: Any) -> None:
        put = await write_profile(store, keys, "ann", {"discoverable": False, "active": True}, clock=clock)
        assert put.epoch is not None
        assert number_of(put.epoch) == 1
        seen = HiddenSet()
        changes = await follow(store, keys, seen, put.epoch)
        assert changes == [FlagChange("ann", put.timestamp_us, {Flag.DISCOVERABLE: False, Flag.ACTIVE: True})]
        assert seen.over("ann", ALL & ~Flag.ACTIVE, put.timestamp_us - 1) == ALL & ~Flag.DISCOVERABLE
        assert seen.over("ann", ALL, put.timestamp_us) == ALL
        assert seen.over("bea", 5, 0) == 5
        again = await write_profile(store, keys, "ann", {"discoverable": None}, clock=clock)
        assert again.epoch is not None
        assert number_of(again.epoch) == 2
        assert await follow(store, keys, seen, again.epoch) == [
            FlagChange("ann", again.timestamp_us, {Flag.DISCOVERABLE: True})
        ]
        assert seen.over("ann", ALL, 0) == ALL

    async def test_who_is_shown_and_says_so_again_is_no_news(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        async def put(**flags: bool | None) -> int | None:
            clock.now += 1
            epoch = (await write_profile(store, keys, "ann", flags, base=Flag(ALL), cut=5, clock=clock)).epoch
            return None if epoch is None else number_of(epoch)

        assert await put(discoverable=True, active=None) is None
        assert await put(discoverable=False, active=True) == 1
        assert await put(discoverable=False) == 2, "versions made before and after may say otherwise"
        assert await put(discoverable=True) == 3
        assert await put(discoverable=True) is None
        told = [
            Entry.decode(one).announced for _, one in memory.stream_read(keys.log(shard_of("ann")), STREAM_START, 9)
        ]
        assert told == [[], ["discoverable"], ["discoverable"], ["discoverable"], []]
        shut = await write_profile(store, keys, "bea", {"active": True}, base=Flag.DISCOVERABLE, cut=5, clock=clock)
        assert number_of(shut.epoch or b"") == 4, "the version hides her"
        await write_erasure(store, keys, "bea", clock=clock)
        back = await write_profile(store, keys, "bea", {"active": True}, base=Flag.DISCOVERABLE, cut=5, clock=clock)
        assert back.epoch is None, "whom the version hides is somebody else"

    async def test_a_damaged_profile_is_noticed_by_who_reads_it_and_takes_further_changes(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys
    ) -> None:
        memory.set(keys.live_profile("ann"), b'{"company":3}')
        await write_profile(store, keys, "ann", {"company": "Acme"})
        with pytest.raises(CorruptRecordError):
            LiveProfile.unpack(memory.get(keys.live_profile("ann")))

    async def test_of_many_changes_at_once_none_is_refused(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        changes = [{"discoverable": number % 2 == 0, f"c{number}": number} for number in range(40)]
        puts = await gather(*(write_profile(store, keys, "ann", change, clock=clock) for change in changes))
        assert len({put.timestamp_us for put in puts}) == 40
        profile = LiveProfile.unpack(memory.get(keys.live_profile("ann")))
        assert {f"c{number}" for number in range(40)} <= profile.columns.keys()
        seen = HiddenSet()
        follow_blocking(memory, keys, seen)
        assert seen.over("ann", ALL, 0) == LiveRecord.unpack(memory.get(keys.live("ann"))).flags_over(ALL, 0)


class TestHiddenSet:
    async def test_the_order_of_changes_decides_nothing(self, store: AsyncMemoryStore, keys: Keys) -> None:
        for timestamp_us, value in ((5, False), (3, True), (5, True), (5, False)):
            await append_change(store, keys, FlagChange("ann", timestamp_us, {Flag.ACTIVE: value}))
        seen = HiddenSet()
        await follow(store, keys, seen, b"")
        assert seen.over("ann", ALL, 4) == ALL & ~Flag.ACTIVE
        assert seen.people(4) == ["ann"]
        assert seen.people(5) == []

    async def test_many_changes_are_followed_in_pieces(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(visibility, "READ_AT_ONCE", 3)
        for number in range(8):
            await append_change(store, keys, FlagChange(f"u{number}", number + 1, {Flag.ACTIVE: False}))
        seen, other = HiddenSet(), HiddenSet()
        assert len(await follow(store, keys, seen, b"") or ()) == 8
        assert len(follow_blocking(memory, keys, other)) == 8 == len(seen) == len(other)
        assert seen.epoch == other.epoch == memory.get(keys.hidden_epoch)
        assert number_of(seen.epoch) == 8

    async def test_a_read_that_fails_half_way_takes_nothing_in(
        self, store: AsyncMemoryStore, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(visibility, "READ_AT_ONCE", 3)
        for number in range(5):
            await append_change(store, keys, FlagChange(f"u{number}", number + 1, {Flag.ACTIVE: False}))
        seen, read, pieces = HiddenSet(), store.stream_read, [0]

        async def fails_once(key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
            pieces[0] += 1
            if pieces[0] == 2:
                raise StoreUnavailableError("no answer in time")
            return await read(key, after, limit)

        monkeypatch.setattr(store, "stream_read", fails_once)
        with pytest.raises(StoreUnavailableError):
            await follow(store, keys, seen, b"")
        assert (seen.epoch, len(seen)) == (b"", 0)
        assert [change.user_id for change in await follow(store, keys, seen, b"") or ()] == [
            f"u{number}" for number in range(5)
        ]

    async def test_what_all_versions_know_may_go(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys
    ) -> None:
        for number in range(1, 5):
            await append_change(store, keys, FlagChange(f"u{number}", number, {Flag.ACTIVE: False}))
        assert forget_blocking(memory, keys, 2, {"u4": 4, "u3": 2}) == 3
        late = HiddenSet()
        assert [change.user_id for change in follow_blocking(memory, keys, late)] == ["u3"]
        assert number_of(late.epoch) == 4
        assert forget_blocking(memory, keys, 9) == 1
        empty = HiddenSet()
        assert follow_blocking(memory, keys, empty) == []
        assert number_of(empty.epoch) == 4

    @pytest.mark.parametrize("lost", [1, 2, 3])
    async def test_a_store_that_lost_its_last_changes_is_read_anew_whatever_number_it_has_reached(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, lost: int
    ) -> None:
        heads = [b"", *[await append_change(store, keys, hides(f"u{number}")) for number in range(3)]]
        seen, other = HiddenSet(), HiddenSet()
        follow_blocking(memory, keys, seen)
        follow_blocking(memory, keys, other)
        positions = [position for position, _ in memory.stream_read(keys.hidden_log, STREAM_START, 9)]
        memory.stream_delete(keys.hidden_log, positions[3 - lost :])
        memory.set(keys.hidden_epoch, heads[3 - lost]) if lost < 3 else memory.delete([keys.hidden_epoch])
        for number in range(3):  # at once, behind where it was, and beyond
            head = await append_change(store, keys, hides(f"new{number}"))
            kept = [f"u{number}" for number in range(3 - lost)] + [f"new{number}" for number in range(number + 1)]
            changes = await follow(store, keys, other, head)
            if changes is None:
                other = HiddenSet()
                await follow(store, keys, other, head)
            follow_blocking(memory, keys, seen)
            assert seen.people(0) == other.people(0) == sorted(kept)
            assert seen.epoch == other.epoch == head

    async def test_an_answer_that_was_overtaken_changes_nothing(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys
    ) -> None:
        heads = [await append_change(store, keys, hides(f"u{number}")) for number in range(3)]
        seen = HiddenSet()
        follow_blocking(memory, keys, seen)
        assert await follow(store, keys, seen, heads[0]) == []
        assert (seen.epoch, len(seen)) == (heads[2], 3)

    async def test_what_earlier_releases_wrote_is_followed(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys
    ) -> None:
        for number in (1, 2):
            entry = b'{"epoch":%d,%b' % (number, hides(f"u{number}").encode()[1:])
            memory.commit([Commit(appends=[Append(keys.hidden_log, entry)])])
        memory.set(keys.hidden_epoch, b"%020d" % 2)
        seen = HiddenSet()
        follow_blocking(memory, keys, seen)
        head = await append_change(store, keys, hides("u3"))
        changes = await follow(store, keys, seen, head)
        assert [change.user_id for change in changes or ()] == ["u3"]
        assert seen.people(0) == ["u1", "u2", "u3"]

    async def test_what_all_versions_know_is_forgotten(self) -> None:
        seen = HiddenSet()
        for number, change in enumerate((hides("ann", 3), hides("bea", 7), FlagChange("cid", 3, erased=True))):
            seen.take([(str(number), b'{"epoch":1,' + change.encode()[1:])])
        assert sorted(seen.drop_before(3)) == ["ann", "cid"]
        assert (len(seen), seen.people(0)) == (1, ["bea"])


def hides(user_id: str, timestamp_us: int = 9) -> FlagChange:
    return FlagChange(UserId(user_id), timestamp_us, {Flag.ACTIVE: False})


class TestWriteErasure:
    async def test_nothing_live_is_left_but_the_timestamp(
        self, store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        block = Event(EventKind.BLOCK, "eve", "bea", event_id="1")
        await write_events(store, keys, [block], clock=clock)
        await write_profile(store, keys, "eve", {"company": "Acme"}, clock=clock)
        timestamp_us = await write_erasure(store, keys, "eve", clock=clock)
        record = LiveRecord.unpack(memory.get(keys.live("eve")))
        assert (record.erased, record.edges, record.profile) == (timestamp_us, {}, 0)
        assert memory.get(keys.live_profile("eve")) is None
        assert not record.apply("bea", 16, EventKind.BLOCK, timestamp_us - 1)  # what is mended late brings nothing back
        seen = HiddenSet()
        follow_blocking(memory, keys, seen)
        assert seen.over("eve", ALL, timestamp_us - 1) == 0
        assert seen.over("eve", ALL, timestamp_us) == ALL
        assert (seen.is_erased("eve", timestamp_us - 1), seen.is_erased("eve", timestamp_us)) == (True, False)
        gone = read_erased(memory, keys)
        assert (gone.timestamp_us("eve"), gone.timestamp_us("bea"), gone.among(["ann", "eve"])) == (
            timestamp_us,
            0,
            {"eve"},
        )
        assert not any("eve" in name for name in memory.fields(keys.erased))
        assert not gone.joined({"bea": 7}).among(["ann"])
        assert gone.joined({"bea": 7}).among(["ann", "bea", "eve"]) == {"bea", "eve"}

    async def test_erasures_of_one_user_at_once_are_one(
        self, memory: MemoryStore, keys: Keys, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, get = AsyncMemoryStore(memory), AsyncMemoryStore.get

        async def slow(self: AsyncMemoryStore, key: str) -> bytes | None:
            value = await get(self, key)
            await sleep(0)
            return value

        monkeypatch.setattr(AsyncMemoryStore, "get", slow)
        await write_profile(store, keys, "eve", {"company": "Acme"}, clock=clock)
        erased = await gather(*(write_erasure(store, keys, "eve", clock=clock) for _ in range(40)))
        (timestamp_us,) = set(erased)
        record = LiveRecord.unpack(memory.get(keys.live("eve")))
        assert (record.erased, record.profile) == (timestamp_us, 0)
        assert await write_erasure(store, keys, "eve", clock=clock) == timestamp_us, "nobody was registered since"
        kinds = [Entry.decode(one).kind for _, one in memory.stream_read(keys.log(shard_of("eve")), STREAM_START, 99)]
        assert kinds == ["profile", "erase"]
        (opened,) = read_open(memory, keys).values()
        assert (opened.timestamps_us, opened.is_known) == ((timestamp_us,), True)
        # one who was registered again is another one, also if the record is merged in between
        await write_profile(store, keys, "eve", {"company": "Bolt"}, clock=clock)
        compact(memory, keys, ["eve"], watermark=0, now=clock(), only_long=False)
        assert await write_erasure(store, keys, "eve", clock=clock) > timestamp_us

    async def test_an_erasure_that_the_worker_s_merging_crosses_is_written(
        self, memory: MemoryStore, keys: Keys, clock: Any
    ) -> None:
        class Merging(AsyncMemoryStore):
            """A store whose worker merges a record whenever it was read."""

            async def get(self, key: str) -> bytes | None:
                value = await super().get(key)
                if key == keys.live("eve"):
                    compact(memory, keys, ["eve"], watermark=0, now=clock(), only_long=False)
                return value

        await write_profile(AsyncMemoryStore(memory), keys, "eve", {"company": "Acme"}, clock=clock)
        timestamp_us = await write_erasure(Merging(memory), keys, "eve", in_version=False, clock=clock)
        assert LiveRecord.unpack(memory.get(keys.live("eve"))).erased == timestamp_us
        (opened,) = read_open(memory, keys).values()
        assert opened.is_known

    async def test_who_comes_back_is_somebody_else(
        self, store: AsyncMemoryStore, keys: Keys, clock: Any, memory: MemoryStore
    ) -> None:
        erased = await write_erasure(store, keys, "eve", clock=clock)
        put = await write_profile(store, keys, "eve", {"discoverable": True}, clock=clock)
        assert put.timestamp_us == erased + 1
        seen = HiddenSet()
        follow_blocking(memory, keys, seen)
        assert seen.over("eve", ALL, erased - 1) == 0  # the version still has the one who left
        assert seen.over("eve", ALL, erased) == ALL
