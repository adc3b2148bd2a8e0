"""Contacts come out right though a worker dies, users are erased, or others write meanwhile."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from models.contacts.matching import MOST_OWNERS, Matcher
from models.contacts.record import ContactRecord
from models.contacts.write_contacts import Gone, TooMany, write_contacts
from models.errors import StoreUnavailableError
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.user_record import LiveRecord
from models.schema.vocabulary import UserId
from models.store.keys import Keys
from models.store.transaction import Commit, Outcome
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("pymk")


def address(user_id: str) -> bytes:
    return user_id.encode().ljust(16, b".")


def upload(
    store: MemoryStore, user_id: str, *contacts: str, own: Sequence[str] | None = None
) -> ContactRecord | TooMany | Gone:
    async def run() -> ContactRecord | TooMany | Gone:
        held = frozenset(map(address, contacts))
        named = None if own is None else frozenset(map(address, own))
        async_store = AsyncMemoryStore(store)
        return await write_contacts(async_store, KEYS, UserId(user_id), contacts=held, own=named, daily=1000)

    return anyio.run(run)


def erase(store: MemoryStore, user_id: str) -> None:
    with ThreadPoolExecutor(1) as other:  # a thread without a loop, in the middle of an upload too
        other.submit(lambda: anyio.run(write_erasure, AsyncMemoryStore(store), KEYS, UserId(user_id))).result()


def contacts(store: MemoryStore, user_id: str) -> set[str]:
    return set(LiveRecord.unpack(store.get(KEYS.live(user_id))).contacts())


class Interrupted(MemoryStore):
    """A store in which something happens just before a write, or after a read."""

    def __init__(self) -> None:
        super().__init__()
        self.before_commit: Callable[[], object] = object
        self.after_lengths: Callable[[], object] = object

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        happens, self.before_commit = self.before_commit, object
        happens()
        return super().commit(commits)

    def lengths(self, keys: Sequence[str]) -> list[int]:
        happens, self.after_lengths = self.after_lengths, object
        found = super().lengths(keys)
        happens()
        return found


def test_a_first_upload_does_not_survive_the_erasure_that_came_meanwhile() -> None:
    store = Interrupted()
    store.before_commit = lambda: erase(store, "eve")
    assert isinstance(upload(store, "eve", own=["eve"]), Gone)
    assert store.get(KEYS.contacts("eve")) is None


def test_an_erased_id_uploads_nothing_though_its_record_is_forgotten() -> None:
    store = MemoryStore()
    upload(store, "eve", own=["eve"])
    erase(store, "eve")
    store.delete([KEYS.live("eve")])
    assert isinstance(upload(store, "eve", own=["eve"]), Gone)
    anyio.run(write_profile, AsyncMemoryStore(store), KEYS, UserId("eve"), {"company": "Acme"})
    assert isinstance(upload(store, "eve", own=["eve"]), ContactRecord)


@pytest.mark.parametrize("left", range(1, 8))
def test_a_worker_that_dies_anywhere_leaves_nothing_of_who_is_erased_then(left: int) -> None:
    store = Dying()
    upload(store, "ann", "eve", own=["ann"])
    Matcher(store, KEYS).match("ann")
    upload(store, "eve", "ann", "hers alone", own=["eve", "eve alone"])
    store.left = left
    with pytest.raises(StoreUnavailableError):
        Matcher(store, KEYS).match("eve")
    store.left = 1 << 30
    erase(store, "eve")
    Matcher(store, KEYS).match("eve")
    assert not store.count([KEYS.address_owners(address("eve").hex()), KEYS.contacts_indexed("eve")])
    assert not store.members(KEYS.address_holders(address("ann").hex()))
    held = repr(vars(store))
    for dead in ("hers alone", "eve alone"):
        assert address(dead).hex() not in held
        assert address(dead).decode() not in held


@pytest.mark.parametrize("left", range(1, 8))
def test_another_worker_finishes_wherever_one_died(left: int) -> None:
    store = Dying()
    upload(store, "ann", "eve", own=["ann"])
    Matcher(store, KEYS).match("ann")
    upload(store, "eve", "ann", own=["eve"])
    store.left = left
    with pytest.raises(StoreUnavailableError):
        Matcher(store, KEYS).match("eve")
    store.left = 1 << 30
    Matcher(store, KEYS).match("eve")
    assert (contacts(store, "ann"), contacts(store, "eve")) == ({"eve"}, {"ann"})
    assert store.get(KEYS.contacts_indexed("eve")) == store.get(KEYS.contacts("eve"))


class Dying(MemoryStore):
    """A store whose client dies before its `left`-th write."""

    left = 1 << 30

    def _count(self) -> None:
        self.left -= 1
        if not self.left:
            raise StoreUnavailableError("dead")

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        self._count()
        return super().commit(commits)

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        self._count()
        return super().compare_and_set(key, expected, value)

    def numbers_take(self, key: str, count: int, at_least: int) -> int:
        self._count()
        return super().numbers_take(key, count, at_least)


def test_a_withdrawal_wins_over_a_match_that_read_the_contacts_before() -> None:
    store = Interrupted()
    upload(store, "ann", "eve")
    Matcher(store, KEYS).match("ann")
    upload(store, "eve", own=["eve"])
    store.after_lengths = lambda: upload(store, "ann")
    Matcher(store, KEYS).match("eve")
    assert contacts(store, "ann") == set()


def matched_while(happens: Callable[[MemoryStore], object]) -> MemoryStore:
    """A store in which something happened to ann while eve, whom she has, was written into her record."""
    store = Interrupted()
    upload(store, "eve", own=["eve"])
    Matcher(store, KEYS).match("eve")
    upload(store, "ann", "eve")
    store.after_lengths = lambda: happens(store)
    assert Matcher(store, KEYS).match("ann") == 1
    return store


def test_what_is_taken_back_while_it_is_matched_stays_so() -> None:
    store = matched_while(lambda store: upload(store, "ann"))
    assert contacts(store, "ann") == set()
    Matcher(store, KEYS).match("ann")
    assert not store.members(KEYS.address_holders(address("eve").hex()))


def test_another_person_of_the_same_id_gets_no_contacts_of_the_erased_one() -> None:
    def another(store: MemoryStore) -> None:
        erase(store, "ann")
        with ThreadPoolExecutor(1) as other:
            columns = {"company": "Acme"}
            other.submit(
                lambda: anyio.run(write_profile, AsyncMemoryStore(store), KEYS, UserId("ann"), columns)
            ).result()

    store = matched_while(another)
    assert "eve" not in LiveRecord.unpack(store.get(KEYS.live("ann"))).edges
    Matcher(store, KEYS).match("ann")
    assert not store.members(KEYS.address_holders(address("eve").hex()))


def test_nobody_whose_contacts_are_gone_is_written_into_a_record() -> None:
    store = MemoryStore()
    store.set(KEYS.address_owners(address("eve").hex()), b"eve")
    upload(store, "ann", "eve")
    assert Matcher(store, KEYS).match("ann") == 1
    assert contacts(store, "ann") == set()


def test_who_returns_with_the_same_address_is_found_anew() -> None:
    store = MemoryStore()
    upload(store, "ann", "eve")
    upload(store, "eve", own=["eve"])
    for user_id in ("ann", "eve"):
        Matcher(store, KEYS).match(user_id)
    erase(store, "eve")
    anyio.run(write_profile, AsyncMemoryStore(store), KEYS, UserId("eve"), {"company": "Acme"})
    upload(store, "eve", own=["eve"])
    Matcher(store, KEYS).match("eve")
    erased = LiveRecord.unpack(store.get(KEYS.live("eve"))).erased
    assert LiveRecord.unpack(store.get(KEYS.live("ann"))).contacts()["eve"] > erased


def test_an_address_that_a_crowd_claims_finds_nobody_whoever_uploads_first() -> None:
    store = MemoryStore()
    upload(store, "ann", "home")
    Matcher(store, KEYS).match("ann")
    people = [f"user{number}" for number in range(MOST_OWNERS + 1)]
    for user_id in people:
        upload(store, user_id, own=["home"])
        Matcher(store, KEYS).match(user_id)
        if user_id == people[-2]:
            assert contacts(store, "ann") == set(people[:-1])
    assert contacts(store, "ann") == set()
    upload(store, people[0], own=[])
    Matcher(store, KEYS).match(people[0])
    assert contacts(store, "ann") == set(people[1:])


def test_a_damaged_record_of_a_holder_does_not_stop_the_others() -> None:
    store = MemoryStore()
    for holder in ("ann", "bea"):
        upload(store, holder, "eve")
        Matcher(store, KEYS).match(holder)
    store.set(KEYS.live("ann"), b"not a record")
    upload(store, "eve", own=["eve"])
    Matcher(store, KEYS).match_all(["eve"])
    assert contacts(store, "bea") == {"eve"}
    assert store.get(KEYS.contacts_indexed("eve")) == store.get(KEYS.contacts("eve"))
