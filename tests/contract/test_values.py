"""The contract of every store, through either port. Single values: read back, expire, and are replaced as expected."""

from asyncio import gather, sleep

import anyio
import pytest

from models.errors import StoreRefusedError
from models.store.protocol import STREAM_START
from models.store.transaction import Append, Commit, Guard, Write
from tests.support.stores import AwaitedStore

pytestmark = pytest.mark.anyio

EVERY_BYTE = bytes(range(256))
SOON_S = 0.05


class TestValues:
    async def test_a_value_reads_back_byte_for_byte(self, store: AwaitedStore, prefix: str) -> None:
        for value in (b"", EVERY_BYTE, EVERY_BYTE * 10_000):
            await store.set(prefix + "héloïse", value)
            assert await store.get(prefix + "héloïse") == value

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
