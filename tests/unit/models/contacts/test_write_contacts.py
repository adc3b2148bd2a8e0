"""Contacts that others write all the time are accepted, and a lock that nobody gives back hinders nobody for long."""

import asyncio
from collections.abc import Sequence

import pytest

from models.contacts.record import ContactRecord
from models.contacts.write_contacts import LOCK_S, Gone, TooMany, write_contacts
from models.errors import StoreUnavailableError
from models.event_log.write_profile import write_erasure
from models.live_state.edges import CONTACT
from models.live_state.user_record import LiveRecord
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.transaction import Commit, Outcome
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio

ANN = UserId("ann")
DAILY = 1000


def hashes(name: str, count: int = 1) -> frozenset[bytes]:
    return frozenset(f"{name}-{number}".encode().ljust(16, b".")[:16] for number in range(count))


async def written(store: AsyncMemoryStore, keys: Keys, name: str) -> ContactRecord | TooMany | Gone:
    return await write_contacts(store, keys, ANN, contacts=hashes(name), own=None, daily=DAILY)


class Slow(AsyncMemoryStore):
    """A store before each of whose commits of contacts another process gets time for one of its own."""

    def __init__(self, memory: MemoryStore, keys: Keys) -> None:
        super().__init__(memory)
        self._fast, self._keys, self._writes = AsyncMemoryStore(memory), keys, 0
        self._writing: asyncio.Task[ContactRecord | TooMany | Gone] | None = None
        self.refused = 0

    async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
        if any(commit.appends for commit in commits):
            if self._writing is None or self._writing.done():
                self._writes += 1
                self._writing = asyncio.create_task(written(self._fast, self._keys, f"fast-{self._writes}"))
            await asyncio.wait([self._writing], timeout=0.05)
        outcomes = await super().commit(commits, wait_s)
        self.refused += outcomes.count(Outcome.CONFLICT)
        return outcomes

    async def rest(self) -> None:
        """Returns when the other process has written its last."""
        if self._writing is not None:
            await self._writing


async def test_a_slow_writer_is_accepted_beside_one_that_writes_in_every_gap(memory: MemoryStore, keys: Keys) -> None:
    store = Slow(memory, keys)
    found = await asyncio.wait_for(written(store, keys, "slow"), 5)
    assert isinstance(found, ContactRecord)
    assert store.refused >= 3, "the other one came first"
    stored = ContactRecord.unpack(memory.get(keys.contacts("ann")))
    assert stored.contacts == hashes("slow")
    await asyncio.wait_for(store.rest(), 5)
    assert memory.get(keys.contacts_lock("ann")) is None


async def test_ten_processes_at_once_are_all_accepted(memory: MemoryStore, keys: Keys) -> None:
    stores = [AsyncMemoryStore(memory) for _ in range(10)]
    found = await asyncio.gather(*(written(one, keys, f"of-{at}") for at, one in enumerate(stores)))
    assert all(isinstance(one, ContactRecord) for one in found)
    assert ContactRecord.unpack(memory.get(keys.contacts("ann"))).tested == 10
    assert memory.get(keys.contacts_lock("ann")) is None


async def test_a_lock_of_a_process_that_died_is_waited_for(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys
) -> None:
    memory.set(keys.contacts_lock("ann"), b"somebody", 0.2)
    assert isinstance(await asyncio.wait_for(written(store, keys, "ann"), 0.2 + LOCK_S), ContactRecord)


async def test_a_lock_that_never_ends_is_an_error(store: AsyncMemoryStore, memory: MemoryStore, keys: Keys) -> None:
    memory.set(keys.contacts_lock("ann"), b"somebody")
    passed = iter(range(1000))
    with pytest.raises(StoreUnavailableError, match="all the time"):
        await write_contacts(
            store, keys, ANN, contacts=hashes("a"), own=None, daily=DAILY, monotonic=lambda: next(passed)
        )
    assert memory.get(keys.contacts("ann")) is None


async def test_whoever_may_not_write_gives_the_lock_back(memory: MemoryStore, keys: Keys) -> None:
    store = Slow(memory, keys)
    found = await asyncio.wait_for(write_contacts(store, keys, ANN, contacts=hashes("slow", 7), own=None, daily=9), 5)
    assert isinstance(found, TooMany), "the other one has used up what was left"
    assert store.refused >= 3
    await store.rest()
    assert memory.get(keys.contacts_lock("ann")) is None
    plain = AsyncMemoryStore(memory)
    await write_erasure(plain, keys, ANN)
    assert isinstance(await written(plain, keys, "ann"), Gone)


async def test_what_is_the_same_is_not_written_again(store: AsyncMemoryStore, memory: MemoryStore, keys: Keys) -> None:
    async def put(contacts: frozenset[bytes] | None, own: frozenset[bytes] | None) -> int:
        found = await write_contacts(store, keys, ANN, contacts=contacts, own=own, daily=DAILY)
        assert isinstance(found, ContactRecord)
        assert found == ContactRecord.unpack(memory.get(keys.contacts("ann")))
        return memory.stream_length(keys.log(shard_of("ann")))

    assert await put(frozenset(), None) == 0, "there was nothing to take back"
    assert memory.get(keys.contacts("ann")) is None
    assert await put(hashes("a", 3), hashes("own")) == 1
    before = memory.get(keys.contacts("ann"))
    for contacts, own in ((hashes("a", 3), hashes("own")), (hashes("a", 3), None), (None, hashes("own"))):
        assert await put(contacts, own) == 1
        assert memory.get(keys.contacts("ann")) == before
    assert await put(hashes("a", 2), None) == 2
    memory.set(keys.contacts("ann"), b"not a record")
    assert await put(frozenset(), None) == 3, "of a record that does not read back nobody knows what it was"


async def test_a_list_that_still_names_contacts_is_cleared_though_none_are_kept(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys
) -> None:
    record = LiveRecord(revision=1)
    record.note("eve", CONTACT, 5)
    memory.set(keys.live("ann"), record.pack())
    await write_contacts(store, keys, ANN, contacts=frozenset(), own=None, daily=DAILY)
    assert LiveRecord.unpack(memory.get(keys.live("ann"))).contacts() == {}


async def test_own_addresses_count_like_contacts(store: AsyncMemoryStore, memory: MemoryStore, keys: Keys) -> None:
    async def put(own: frozenset[bytes], contacts: frozenset[bytes] | None = None) -> object:
        return await write_contacts(store, keys, ANN, contacts=contacts, own=own, daily=5)

    assert isinstance(await put(hashes("a", 2), hashes("book")), ContactRecord)
    assert isinstance(await put(frozenset()), ContactRecord), "to take one back is always allowed"
    assert isinstance(await put(hashes("b", 2)), ContactRecord)
    found = await put(hashes("a"))
    assert isinstance(found, TooMany)
    assert found.left == 0
    record = ContactRecord.unpack(memory.get(keys.contacts("ann")))
    assert (record.own, record.tested) == (hashes("b", 2), 5)
