"""The contract of every store, through either port."""

import time
from asyncio import gather, sleep
from json import loads

import anyio
import pytest

from models.errors import StoreRefusedError
from models.store.protocol import STREAM_START
from models.store.transaction import (
    RECENT_BYTES,
    Add,
    Append,
    Commit,
    Extend,
    Fence,
    Guard,
    Once,
    Outcome,
    Replace,
    Write,
)
from tests.support.stores import AwaitedStore

pytestmark = pytest.mark.anyio

EVERY_BYTE = bytes(range(256))
SOON_S = 0.05


class TestStore:
    async def test_a_value_reads_back_byte_for_byte(self, store: AwaitedStore, prefix: str) -> None:
        for value in (b"", EVERY_BYTE, EVERY_BYTE * 10_000):
            await store.set(prefix + "héloïse", value)
            assert await store.get(prefix + "héloïse") == value

    async def test_a_bucket_gives_its_tokens_and_then_its_rate(self, store: AwaitedStore, prefix: str) -> None:
        left = [await store.token_take(prefix, 0.01, 3) for _ in range(5)]
        assert left == pytest.approx([2, 1, 0, -1, -1], abs=0.05)
        assert await store.ttl_s(prefix) == pytest.approx(301, abs=1), "full again then"
        assert await store.token_take(prefix + "other", 0.01, 1) == pytest.approx(0, abs=0.05)
        await sleep(SOON_S)
        assert await store.token_take(prefix, 1 / SOON_S, 3) >= 0, "a token came back"

    async def test_a_missing_key_is_none(self, store: AwaitedStore, prefix: str) -> None:
        assert await store.get(prefix) is None
        assert await store.get_many([prefix]) == [None]
        assert await store.ttl_s(prefix) is None

    async def test_many_values_come_in_the_order_asked(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix + "a", b"1")
        await store.set(prefix + "b", b"2")
        asked = [prefix + name for name in ("b", "missing", "a", "b")]
        assert await store.get_many(asked) == [b"2", None, b"1", b"2"]
        assert await store.get_many([]) == []

    async def test_a_bulk_load_is_complete(self, store: AwaitedStore, prefix: str) -> None:
        pairs = {f"{prefix}{row}": row.to_bytes(4) * (1 + row % 700) for row in range(2500)}
        await store.set_many(iter(pairs.items()))
        assert await store.count(pairs) == 2500
        assert await store.get_many(list(pairs)) == list(pairs.values())
        assert {key async for key in store.scan(prefix)} == set(pairs)
        assert await store.delete(key for key in pairs) == 2500
        assert await store.count(pairs) == 0

    async def test_nothing_to_do_is_fine(self, store: AwaitedStore, prefix: str) -> None:
        await store.set_many([])
        await store.fields_set(prefix, {})
        assert await store.delete([]) == await store.count([]) == await store.expire_many([], 1) == 0
        assert await store.queue_add(prefix, [], 0) == await store.queue_done(prefix, []) == 0
        assert await store.members_add(prefix, []) == await store.members_remove(prefix, []) == 0
        assert await store.fields_delete(prefix, []) == 0
        assert await store.count([prefix]) == 0

    async def test_values_with_a_time_to_live_go(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix + "a", b"1", SOON_S)
        await store.set_many([(prefix + "b", b"2"), (prefix + "c", b"3")], SOON_S)
        await store.set(prefix + "stays", b"4")
        keys = [prefix + name for name in ("a", "b", "c", "stays")]
        await sleep(4 * SOON_S)
        assert await store.get_many(keys) == [None, None, None, b"4"]
        assert await store.count(keys) == 1

    async def test_writing_again_lifts_the_time_to_live(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix + "a", b"1", 60)
        await store.set(prefix + "b", b"1", 60)
        await store.set(prefix + "a", b"2")
        await store.set_many([(prefix + "b", b"2")])
        assert await store.ttl_s(prefix + "a") is None
        assert await store.ttl_s(prefix + "b") is None

    async def test_expiry_is_set_and_lifted(self, store: AwaitedStore, prefix: str) -> None:
        keys = [f"{prefix}{row}" for row in range(1500)]
        await store.set_many((key, b"") for key in keys)
        assert await store.expire_many([*keys, prefix + "missing"], 60) == 1500
        left = await store.ttl_s(keys[700])
        assert left is not None
        assert 50 < left <= 60
        assert await store.expire_many(keys[:10], None) == 10
        assert await store.expire_many(keys[:10], None) == 0
        assert await store.ttl_s(keys[0]) is None

    async def test_a_scan_takes_its_prefix_literally(self, store: AwaitedStore, prefix: str) -> None:
        for name in ("*a", "?a", "[x]a", "\\a", "xa", "^-a"):
            await store.set(prefix + name, b"")
        for pattern in ("*", "?", "[x]", "\\", "^-"):
            assert [key async for key in store.scan(prefix + pattern)] == [prefix + pattern + "a"]

    async def test_deleting_what_a_scan_finds_leaves_nothing(self, store: AwaitedStore, prefix: str) -> None:
        await store.set_many((f"{prefix}{row}", b"") for row in range(300))
        await store.members_add(prefix + "members", [b"a"])
        assert await store.delete([key async for key in store.scan(prefix)]) == 301
        assert [key async for key in store.scan(prefix)] == []

    async def test_compare_and_set_writes_only_over_what_is_expected(self, store: AwaitedStore, prefix: str) -> None:
        assert not await store.compare_and_set(prefix, b"a", b"b")
        assert await store.get(prefix) is None
        assert await store.compare_and_set(prefix, None, b"a")
        assert not await store.compare_and_set(prefix, None, b"b")
        assert not await store.compare_and_set(prefix, b"", b"b")
        assert await store.compare_and_set(prefix, b"a", EVERY_BYTE)
        assert await store.compare_and_set(prefix, EVERY_BYTE, b"")
        assert await store.compare_and_set(prefix, b"", b"c")
        assert await store.get(prefix) == b"c"

    async def test_of_many_that_compare_one_wins(self, store: AwaitedStore, prefix: str) -> None:
        won = await gather(*(store.compare_and_set(prefix, None, str(turn).encode()) for turn in range(20)))
        assert sum(won) == 1
        assert await store.get(prefix) == str(won.index(True)).encode()

    async def test_the_queue_gives_what_is_due_earliest_first(self, store: AwaitedStore, prefix: str) -> None:
        now = time.time()
        assert await store.queue_add(prefix, [b"b", b"c"], now - 1) == 2
        assert await store.queue_add(prefix, [b"a"], now - 2) == 1
        assert await store.queue_add(prefix, [b"later"], now + 100) == 1
        assert await store.queue_length(prefix) == 4
        assert await store.queue_members(prefix) == [b"a", b"b", b"c", b"later"]
        assert await store.queue_take(prefix, now, 30, 2) == [b"a", b"b"]
        assert await store.queue_take(prefix, now, 30, 2) == [b"c"]
        assert await store.queue_take(prefix, now, 30, 2) == []

    async def test_a_member_waits_once_and_keeps_its_moment(self, store: AwaitedStore, prefix: str) -> None:
        assert await store.queue_add(prefix, [b"a"], 200.5) == 1
        assert await store.queue_add(prefix, [b"a", b"b"], 100) == 1
        assert await store.queue_take(prefix, 150, 1000, 9) == [b"b"]
        assert await store.queue_take(prefix, 200.4, 1000, 9) == []
        assert await store.queue_take(prefix, 200.5, 1000, 9) == [b"a"]

    async def test_a_lease_that_ends_gives_the_member_again_until_done(self, store: AwaitedStore, prefix: str) -> None:
        await store.queue_add(prefix, [b"a", b"b"], 100)
        assert await store.queue_take(prefix, 100, 30, 9) == [b"a", b"b"]
        assert await store.queue_done(prefix, [b"b", b"never there"]) == 1
        assert await store.queue_take(prefix, 129, 30, 9) == []
        assert await store.queue_take(prefix, 131, 30, 9) == [b"a"]
        assert await store.queue_done(prefix, [b"a"]) == 1
        assert await store.queue_length(prefix) == 0

    async def test_members_are_a_set(self, store: AwaitedStore, prefix: str) -> None:
        assert await store.members(prefix) == frozenset()
        assert await store.members_add(prefix, [b"a", EVERY_BYTE]) == 2
        assert await store.members_add(prefix, [b"a", b"c"]) == 1
        assert await store.members_remove(prefix, [b"a", b"d"]) == 1
        assert await store.members(prefix) == {EVERY_BYTE, b"c"}

    async def test_fields_change_one_by_one(self, store: AwaitedStore, prefix: str) -> None:
        assert await store.fields(prefix) == {}
        await store.fields_set(prefix, {"a": b"1", "ö": EVERY_BYTE})
        await store.fields_set(prefix, {"a": b"2"})
        assert await store.fields(prefix) == {"a": b"2", "ö": EVERY_BYTE}
        assert await store.fields_delete(prefix, ["a", "b"]) == 1
        assert await store.fields(prefix) == {"ö": EVERY_BYTE}

    async def test_a_commit_writes_all_or_nothing(self, store: AwaitedStore, prefix: str) -> None:
        a, b, gone, log = (f"{prefix}{{1}}:{name}" for name in ("a", "b", "gone", "log"))
        await store.set(gone, b"x")
        first = Commit(
            guards=[Guard(a, None)],
            writes=[Write(a, b"1" + EVERY_BYTE), Write(b, b"", 60)],
            deletes=[gone],
            appends=[Append(log, b"one"), Append(log, EVERY_BYTE)],
        )
        assert await store.commit([first]) == [Outcome.APPLIED]
        assert await store.get_many([a, b, gone]) == [b"1" + EVERY_BYTE, b"", None]
        assert await store.ttl_s(a) is None
        left = await store.ttl_s(b)
        assert left is not None
        assert 50 < left <= 60
        again = Commit(guards=[Guard(a, None)], writes=[Write(b, b"2")], deletes=[a], appends=[Append(log, b"no")])
        assert await store.commit([again]) == [Outcome.CONFLICT]
        assert await store.get_many([a, b]) == [b"1" + EVERY_BYTE, b""]
        assert [entry for _, entry in await store.stream_read(log, STREAM_START, 9)] == [b"one", EVERY_BYTE]

    async def test_a_guard_compares_a_prefix(self, store: AwaitedStore, prefix: str) -> None:
        a, b = prefix + "{1}a", prefix + "{1}b"
        await store.set(a, b"\x00\xffrest")
        for guarded, holds in ((b"\x00\xff", True), (b"\x00\xfe", False), (b"\x00\xffrests", False), (None, False)):
            commit = Commit(guards=[Guard(a, guarded), Guard(b, None)], writes=[Write(a, b"\x00\xffrest")])
            assert await store.commit([commit]) == [holds], guarded
        missing = Commit(guards=[Guard(a, b"\x00"), Guard(b, b"\x00")], writes=[Write(a, b"changed")])
        assert await store.commit([missing]) == [False]
        with pytest.raises(ValueError, match="at least one byte"):
            Commit(guards=[Guard(a, b"")])

    async def test_commits_are_each_for_themselves(self, store: AwaitedStore, prefix: str) -> None:
        keys = [f"{prefix}{{{number}}}" for number in range(300)]
        await store.set_many((key, b"") for key in keys[::3])
        commits = [Commit(guards=[Guard(key, None)], writes=[Write(key, key.encode())]) for key in keys]
        assert await store.commit(commits) == [number % 3 != 0 for number in range(300)]
        assert await store.get_many(keys[:3]) == [b"", keys[1].encode(), keys[2].encode()]
        assert await store.commit([]) == []
        assert await store.commit([Commit()]) == [True]

    async def test_of_many_that_commit_over_the_same_one_wins(self, store: AwaitedStore, prefix: str) -> None:
        commits = [
            Commit(guards=[Guard(prefix, None)], writes=[Write(prefix, str(turn).encode())]) for turn in range(20)
        ]
        won = await gather(*(store.commit([commit]) for commit in commits))
        assert sum(made for (made,) in won) == 1
        assert await store.get(prefix) == str(won.index([Outcome.APPLIED])).encode()

    async def test_a_guard_compares_a_length(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix, b"four")
        for length, outcome in ((3, Outcome.CONFLICT), (4, Outcome.APPLIED), (4, Outcome.CONFLICT)):
            commit = Commit(guards=[Guard(prefix, b"fo", length)], extends=[Extend(prefix, b"!")])
            assert await store.commit([commit]) == [outcome]
        assert await store.get(prefix) == b"four!"

    async def test_whoever_extends_a_value_at_the_same_time_loses_nothing(
        self, store: AwaitedStore, prefix: str
    ) -> None:
        commits = [Commit(extends=[Extend(prefix, b"<%d>" % number, b"start")]) for number in range(50)]
        outcomes = await gather(*(store.commit([commit]) for commit in commits))
        assert outcomes == [[Outcome.APPLIED]] * 50
        value = await store.get(prefix)
        assert value.startswith(b"start")
        assert all(b"<%d>" % number in value for number in range(50))
        assert value.count(b"start") == 1

    async def test_a_value_is_extended_once_and_up_to_its_limit(self, store: AwaitedStore, prefix: str) -> None:
        extend = Extend(prefix, EVERY_BYTE, b"0", 600, unless_recent=True)
        assert await store.commit([Commit(extends=[extend])] * 3) == [Outcome.APPLIED] * 3
        assert await store.get(prefix) == b"0" + EVERY_BYTE
        other = Commit(extends=[Extend(prefix, EVERY_BYTE, most_bytes=600)])
        assert await store.commit([other, other]) == [Outcome.APPLIED, Outcome.FULL]
        assert await store.commit([Commit(extends=[extend])]) == [Outcome.APPLIED]  # full, but it has the data
        assert await store.lengths([prefix, prefix + "none"]) == [513, 0]
        await store.commit([Commit(extends=[Extend(prefix, b"x" * RECENT_BYTES)])])
        await store.commit([Commit(extends=[Extend(prefix, EVERY_BYTE, unless_recent=True)])])
        assert await store.lengths([prefix]) == [513 + RECENT_BYTES + 256]

    async def test_a_replaced_value_keeps_what_was_added_meanwhile(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix, b"1-base-journal")
        await store.commit([Commit(extends=[Extend(prefix, b"-later")])])
        replace = Replace(prefix, len(b"1-base-journal"), b"2-merged")
        commit = Commit(guards=[Guard(prefix, b"1-")], replaces=[replace])
        assert await store.commit([commit, commit]) == [Outcome.APPLIED, Outcome.CONFLICT]
        assert await store.get(prefix) == b"2-merged-later"

    async def test_an_identity_is_written_once(self, store: AwaitedStore, prefix: str) -> None:
        days = tuple(f"{prefix}{{1}}{day}" for day in "abc")
        one, other, alike = b"\xff\x00identy", b"\xff\x00yidentyi"[:8], b"\xff\x01identy"

        def commit(identity: bytes, *keys: str) -> Commit:
            once = [Once(keys, identity)] if identity else []
            return Commit(once=once, appends=[Append(f"{prefix}{{1}}log", identity)])

        assert await store.commit([commit(one, *days[1:])]) == [Outcome.APPLIED]
        repeated = [commit(one, *days), commit(other, *days), commit(alike, *days), commit(alike, days[0])]
        new = Outcome.APPLIED
        assert await store.commit(repeated) == [Outcome.REPEATED, new, new, Outcome.REPEATED]
        assert await store.commit([commit(one, days[0])]) == [new], "the days that it is not looked for in do not count"
        both = Commit(once=[Once((days[0],), b"12345678"), Once((days[0],), other)])
        assert await store.commit([both, Commit(once=both.once[:1])]) == [Outcome.REPEATED, new]
        assert await store.stream_length(f"{prefix}{{1}}log") == 4

    async def test_a_fence_refuses_what_is_not_beyond_it(self, store: AwaitedStore, prefix: str) -> None:
        cut = 1_790_000_000_000_001
        commit = Commit(fences=[Fence(prefix, cut)])
        assert await store.commit([commit]) == [Outcome.APPLIED]
        assert await store.number_raise(prefix, cut) == await store.number_raise(prefix, cut - 5) == cut
        later = Commit(fences=[Fence(prefix, cut + 1)])
        assert await store.commit([commit, later]) == [Outcome.CONFLICT, Outcome.APPLIED]

    async def test_no_number_is_taken_twice(self, store: AwaitedStore, prefix: str) -> None:
        now = 1_790_000_000_000_000
        assert await store.numbers_take(prefix, 3, now) == now
        assert await store.numbers_take(prefix, 1, now - 10**9) == now + 3
        firsts = await gather(*(store.numbers_take(prefix, 2, now) for _ in range(20)))
        assert sorted(firsts) == list(range(now + 4, now + 44, 2))
        assert await store.get(prefix) == b"%d" % (now + 43)

    async def test_the_highest_number_of_a_field_stays(self, store: AwaitedStore, prefix: str) -> None:
        high = 1_790_000_000_000_001
        numbers = [high - 7, high, high - 1]
        await gather(*(store.field_raise(prefix, "a", number) for number in numbers))
        assert await store.field_raise(prefix, "a", 9) == high
        assert await store.field_raise(prefix, "b", 9) == 9
        assert await store.fields(prefix) == {"a": b"%d" % high, "b": b"9"}

    @pytest.mark.parametrize("damage", [b"x", b"", b"1.5e9", b"9" * 17])
    async def test_a_number_that_does_not_read_back_counts_as_none(
        self, store: AwaitedStore, prefix: str, damage: bytes
    ) -> None:
        now = 1_790_000_000_000_000
        clock, fence, record = (f"{prefix}{name}" for name in ("clock", "fence", "record"))
        await store.set(clock, damage)
        assert await store.numbers_take(clock, 3, now) == now
        assert await store.numbers_take(clock, 1, now) == now + 3
        await store.set(fence, damage)
        assert await store.commit([Commit(fences=[Fence(fence, now)])]) == [Outcome.APPLIED]
        assert await store.number_raise(fence, now) == now
        assert await store.commit([Commit(fences=[Fence(fence, now)])]) == [Outcome.CONFLICT]
        await store.fields_set(record, {"a": damage})
        assert await store.field_raise(record, "a", now) == now
        assert await store.fields(record) == {"a": b"%d" % now}

    async def test_the_entries_of_a_chain_name_the_one_before(self, store: AwaitedStore, prefix: str) -> None:
        head, log = f"{prefix}{{1}}head", f"{prefix}{{1}}log"
        first = await store.chain_append(head, log, "aa", b'{"x":1}')
        second = await store.chain_append(head, log, "bb", b'{"x":2}')
        assert (first, second) == (b"00000000000000000001:aa", b"00000000000000000002:bb")
        assert await store.get(head) == second
        entries = [loads(entry) for _, entry in await store.stream_read(log, STREAM_START, 9)]
        assert entries == [
            {"epoch": first.decode(), "after": "", "x": 1},
            {"epoch": second.decode(), "after": first.decode(), "x": 2},
        ]
        await store.set(head, b"%020d" % 7)  # the head of an earlier release
        assert await store.chain_append(head, log, "cc", b'{"x":3}') == b"00000000000000000008:cc"

    async def test_members_come_and_go_with_a_commit(self, store: AwaitedStore, prefix: str) -> None:
        await store.commit([Commit(adds=[Add(prefix, member) for member in (b"a", b"b", EVERY_BYTE)])])
        await store.commit([Commit(removes=[Add(prefix, b"b")])])
        assert await store.members(prefix) == {b"a", EVERY_BYTE}
        assert {member async for member in store.members_scan(prefix)} == {b"a", EVERY_BYTE}

    async def test_named_fields_come_in_the_order_asked(self, store: AwaitedStore, prefix: str) -> None:
        await store.fields_set(prefix, {"a": b"1", "b": b"2"})
        assert await store.fields_get(prefix, ["b", "none", "a"]) == [b"2", None, b"1"]
        assert await store.fields_get(prefix, []) == []

    async def test_a_member_that_is_due_far_in_the_future_is_due(self, store: AwaitedStore, prefix: str) -> None:
        """A clock that was hours ahead queued or leased it."""
        now = 1_000_000.0
        await store.queue_add(prefix, [b"ahead"], now + 7200)
        await store.queue_add(prefix, [b"soon"], now + 40)
        await store.queue_add(prefix, [b"due"], now)
        assert await store.queue_take(prefix, now, 20, 1) == [b"due"]
        assert await store.queue_take(prefix, now, 20, 9) == [b"ahead"]
        assert await store.queue_take(prefix, now, 20, 9) == [], "each of them is leased"
        assert await store.queue_take(prefix, now + 40, 20, 9) == [b"ahead", b"due", b"soon"]

    async def test_the_first_of_a_queue_is_shown_with_its_time(self, store: AwaitedStore, prefix: str) -> None:
        assert await store.queue_oldest(prefix) is None
        await store.queue_add(prefix, [b"later"], 200.5)
        await store.queue_add(prefix, [b"first"], 100.25)
        assert await store.queue_oldest(prefix) == (b"first", 100.25)

    async def test_streams_are_waited_for(self, store: AwaitedStore, prefix: str) -> None:
        full, other = f"{prefix}{{1}}full", f"{prefix}{{2}}other"
        assert await store.streams_wait({}, 5) == []
        assert await store.streams_wait({full: STREAM_START, other: STREAM_START}, 0.05) == []
        await store.commit([Commit(appends=[Append(full, b"one")])])
        assert await store.streams_wait({full: STREAM_START, other: STREAM_START}, 5) == [full]
        ((position, _),) = await store.stream_read(full, STREAM_START, 1)
        assert await store.streams_wait({full: position, other: STREAM_START}, 0) == []

    async def test_the_age_of_what_waits_goes_by_the_stores_clock(self, store: AwaitedStore, prefix: str) -> None:
        full, empty = f"{prefix}{{1}}full", f"{prefix}{{2}}empty"
        before = await store.clock_us()
        await store.commit([Commit(appends=[Append(full, b"one")])])
        await sleep(0.05)
        age_s, none = await store.stream_ages_s([full, empty])
        elapsed_s = (await store.clock_us() - before) / 1e6
        assert none is None
        assert age_s is not None
        assert 0.04 < age_s < elapsed_s + 0.01

    async def test_a_stream_is_read_from_a_position_and_cut(self, store: AwaitedStore, prefix: str) -> None:
        assert await store.stream_read(prefix, STREAM_START, 9) == []
        assert await store.stream_length(prefix) == 0
        for batch in ((b"0", b"1", b"2"), (b"3", b"4")):
            await store.commit([Commit(appends=[Append(prefix, entry) for entry in batch])])
        entries = await store.stream_read(prefix, STREAM_START, 9)
        assert [entry for _, entry in entries] == [b"0", b"1", b"2", b"3", b"4"]
        positions = [position for position, _ in entries]
        assert await store.stream_read(prefix, positions[1], 2) == entries[2:4]
        assert (
            await store.stream_read(prefix, positions[4], 2) == await store.stream_read(prefix, STREAM_START, 0) == []
        )
        assert await store.stream_delete(prefix, [positions[3], positions[3]]) == 1
        assert await store.stream_delete(prefix, []) == 0
        assert await store.stream_trim(prefix, positions[1]) == 2
        assert await store.stream_read(prefix, STREAM_START, 9) == [entries[2], entries[4]]
        assert await store.stream_trim(prefix, positions[4]) == 2
        assert await store.stream_length(prefix) == 0
        await store.commit([Commit(appends=[Append(prefix, b"5")])])
        ((position, entry),) = await store.stream_read(prefix, positions[4], 9)
        assert (entry, position in positions) == (b"5", False)

    async def test_a_stream_takes_what_is_offered_up_to_its_limit(self, store: AwaitedStore, prefix: str) -> None:
        assert await store.stream_offer(prefix, [b"0", b"1"], 3, 60) == 2
        assert 59 < (await store.ttl_s(prefix) or 0) <= 60
        assert await store.stream_offer(prefix, [b"2", b"3"], 3, 60) == 1
        assert await store.stream_offer(prefix, [b"4"], 3, 60) == await store.stream_offer(prefix, [], 9, 60) == 0
        entries = await store.stream_read(prefix, STREAM_START, 9)
        assert [entry for _, entry in entries] == [b"0", b"1", b"2"]
        await store.stream_trim(prefix, entries[1][0])
        assert await store.stream_offer(prefix, [b"5", b"6", b"7"], 3, 60) == 2

    async def test_timestamps_only_rise(self, store: AwaitedStore, prefix: str) -> None:
        now = 1_790_000_000_000_001
        await store.timestamps_raise(prefix, {"ann": now, "bea": now + 1, "héloïse": now + 2})
        await store.timestamps_raise(prefix, {"ann": now - 1, "bea": now + 5})
        await store.timestamps_raise(prefix, {})
        whole = [("ann", now), ("héloïse", now + 2), ("bea", now + 5)]
        assert await store.timestamps_after(prefix, 0, 9) == whole
        assert await store.timestamps_after(prefix, now, 1) == whole[1:2]
        assert await store.timestamps_after(prefix, now, 0) == []
        assert await store.timestamps_drop(prefix, now) == 1
        assert await store.timestamps_remove(prefix, ["bea", "nobody"]) == 1
        assert await store.timestamps_after(prefix, 0, 9) == whole[1:2]

    async def test_an_emptied_collection_is_gone(self, store: AwaitedStore, prefix: str) -> None:
        await store.members_add(prefix, [b"a"])
        await store.members_remove(prefix, [b"a"])
        assert await store.count([prefix]) == 0

    async def test_a_value_of_another_kind_is_refused(self, store: AwaitedStore, prefix: str) -> None:
        await store.members_add(prefix, [b"a"])
        with pytest.raises(StoreRefusedError):
            await store.get(prefix)
        with pytest.raises(StoreRefusedError):
            await store.queue_add(prefix, [b"a"], 1)
        with pytest.raises(StoreRefusedError):
            await store.compare_and_set(prefix, None, b"")
        with pytest.raises(StoreRefusedError):
            await store.commit([Commit(guards=[Guard(prefix, b"a")], writes=[Write(prefix, b"b")])])
        with pytest.raises(StoreRefusedError):
            await store.commit([Commit(appends=[Append(prefix, b"b")])])
        with pytest.raises(StoreRefusedError):
            await store.stream_read(prefix, STREAM_START, 1)
        await store.set(prefix, b"replaced")
        assert await store.get(prefix) == b"replaced"

    async def test_it_says_how_it_is(self, store: AwaitedStore, prefix: str) -> None:
        await store.ping()
        await store.set(prefix, bytes(100_000))
        info = await store.info()
        assert info.memory_used_bytes >= 100_000
        assert info.memory_limit_bytes is None
        assert info.eviction_policy == "noeviction"

    async def test_it_counts_the_keys_that_were_read(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix, b"1")
        before = (await store.info()).keys_read
        await store.get(prefix)
        await store.get_many([prefix, prefix + "none"])
        assert (await store.info()).keys_read == before + 3
        await store.set_many([(prefix, b"2"), (prefix + "b", b"3")])
        assert (await store.info()).keys_read == before + 3, "a write is no reading"

    async def test_its_file_can_be_written_anew(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix, b"kept")
        await store.compact()
        with anyio.fail_after(10):
            while (info := await store.info()).compacting:  # noqa: ASYNC110  # the server does not tell
                await sleep(0.02)
        assert info.compacted
        assert await store.get(prefix) == b"kept"
        assert await store.queue_members(prefix + "none") == []
