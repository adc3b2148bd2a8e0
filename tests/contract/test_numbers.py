"""The contract of every store, through either port. Numbers that never go back, fences, and the tokens of a bucket."""

from asyncio import gather, sleep

import pytest

from models.store.transaction import Commit, Fence, Outcome
from tests.support.stores import AwaitedStore

pytestmark = pytest.mark.anyio

SOON_S = 0.05


class TestNumbers:
    async def test_a_bucket_gives_its_tokens_and_then_its_rate(self, store: AwaitedStore, prefix: str) -> None:
        left = [await store.token_take(prefix, 0.01, 3) for _ in range(5)]
        assert left == pytest.approx([2, 1, 0, -1, -1], abs=0.05)
        assert await store.ttl_s(prefix) == pytest.approx(301, abs=1), "full again then"
        assert await store.token_take(prefix + "other", 0.01, 1) == pytest.approx(0, abs=0.05)
        await sleep(SOON_S)
        assert await store.token_take(prefix, 1 / SOON_S, 3) >= 0, "a token came back"

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
