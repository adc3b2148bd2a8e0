"""The contract of every store, through either port. Queues, sets and records."""

import time

import pytest

from models.store.transaction import Add, Commit
from tests.support.stores import AwaitedStore

pytestmark = pytest.mark.anyio

EVERY_BYTE = bytes(range(256))


class TestCollections:
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
