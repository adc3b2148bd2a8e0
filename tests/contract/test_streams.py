"""The contract of every store, through either port. Streams and chains: read from a position, waited for, and cut."""

from asyncio import sleep
from json import loads

import pytest

from models.store.protocol import STREAM_START
from models.store.transaction import Append, Commit
from tests.support.stores import AwaitedStore

pytestmark = pytest.mark.anyio


class TestStreams:
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
