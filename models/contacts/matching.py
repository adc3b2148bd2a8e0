"""Finds who is in whose contacts, in the worker: whenever a user's contacts or own addresses changed.

The store has for each address who owns it, and who has it among the contacts. Each change writes to one before
it reads the other, so that of two users who change at the same time at least one finds the other. What was found is
written into the live record of the user who has the contact, and of nobody else: nobody's lists depend on what others
have in their address books.

Every step may be repeated: a worker that dies leaves the former record of what is indexed, and another one goes on.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from models.contacts.record import names, readable
from models.errors import CorruptRecordError
from models.event_log.reciprocal_update import MOST_OTHERS_BYTES, extend_record, in_index
from models.live_state.compaction import note_damaged
from models.live_state.edges import CONTACT, UNCONTACT
from models.live_state.journal import JournalEntry
from models.live_state.timestamps import take_timestamp_blocking
from models.live_state.user_record import LiveRecord
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.transaction import Add, Commit
from models.system.clock import now_us

AT_ONCE = 500
"""addresses of one round trip"""
MOST_OWNERS = 20
"""users with one own address who are found by it; an address that more people claim tells nobody apart"""
SEPARATOR = b"\x1f"
"""between the owners of an address: a control character, which no user id contains"""

_T = TypeVar("_T")


class Matcher:
    """Matches the contacts of one store."""

    def __init__(self, store: SyncStore, keys: Keys, clock: Callable[[], int] = now_us) -> None:
        self._store, self._keys, self._clock = store, keys, clock

    def match(self, user_id: str) -> int:
        """Brings everything up to date with a user's contacts; returns how many users are among them.

        A user without a record, such as an erased one, is removed from the index.
        """
        store, keys = self._store, self._keys
        packed, indexed = store.get_many([keys.contacts(user_id), keys.contacts_indexed(user_id)])
        now, before = readable(packed), readable(indexed)
        # the index
        member = user_id.encode()
        for address in now.own ^ before.own:
            self._own(keys.address_owners(address.hex()), member, is_added=address in now.own)
        self._hold(member, now.contacts - before.contacts, before.contacts - now.contacts)
        # whom the user has, and who has the user
        found = self._owners(now.contacts) - {user_id}
        self._write(user_id, found, self._contacts_of(user_id))
        for holder in self._holders(now.own ^ before.own) - {user_id}:
            has = bool(readable(store.get(keys.contacts(holder))).contacts & now.own)
            known = user_id in self._contacts_of(holder)
            if packed is not None and has != known:
                self._append(holder, [user_id], CONTACT if has else UNCONTACT)
        # done, unless the contacts changed meanwhile: then the log has another entry
        if packed is None:
            store.delete([keys.contacts_indexed(user_id)])
        elif packed != indexed:
            store.set(keys.contacts_indexed(user_id), packed)
        return len(found)

    def match_all(self, people: Iterable[str]) -> None:
        """Matches users one after the other; a fault of one is logged and does not stop the others."""
        for person in people:
            try:
                self.match(person)
            except CorruptRecordError as error:
                note_damaged(self._store, self._keys, person, error)

    def _own(self, key: str, member: bytes, *, is_added: bool) -> None:
        """Adds a user to the owners of an address, or removes the user."""
        while True:
            stored = self._store.get(key)
            owners = set(stored.split(SEPARATOR)) if stored else set()
            left = owners | {member} if is_added else owners - {member}
            if left == owners or self._store.compare_and_set(key, stored, SEPARATOR.join(sorted(left))):
                return

    def _hold(self, member: bytes, added: Collection[bytes], removed: Collection[bytes]) -> None:
        """Adds a user to those who have some addresses, and removes the user from those of others."""
        key_of = self._keys.address_holders
        changes = [Commit(adds=[Add(key_of(name), member)]) for name in names(added)]
        changes += [Commit(removes=[Add(key_of(name), member)]) for name in names(removed)]
        for some in _slices(changes):
            self._store.commit(some)

    def _owners(self, addresses: Collection[bytes]) -> set[str]:
        """The users who own one of these addresses."""
        found: set[str] = set()
        for some in _slices([self._keys.address_owners(name) for name in names(addresses)]):
            for stored in filter(None, self._store.get_many(some)):
                owners = stored.split(SEPARATOR)
                if len(owners) <= MOST_OWNERS:
                    found |= {owner.decode() for owner in owners}
        return found

    def _holders(self, addresses: Collection[bytes]) -> set[str]:
        """The users who have one of these addresses among their contacts."""
        sets = [self._store.members(self._keys.address_holders(name)) for name in names(addresses)]
        return {holder.decode() for holders in sets for holder in holders}

    def _contacts_of(self, user_id: str) -> dict[str, int]:
        """Who is among a user's contacts by the live record."""
        return LiveRecord.unpack(self._store.get(self._keys.live(user_id))).contacts()

    def _write(self, user_id: str, found: Collection[str], known: Collection[str]) -> None:
        """Brings the live record of a user up to date with whom she has."""
        self._append(user_id, [other for other in sorted(found) if other not in known], CONTACT)
        self._append(user_id, [other for other in known if other not in found], UNCONTACT)

    def _append(self, user_id: str, others: Collection[str], number: int) -> None:
        for some in _slices(list(others)):
            at = take_timestamp_blocking(self._store, self._keys, now=self._clock())
            added = [JournalEntry(number, at, other) for other in some]
            extend = extend_record(self._keys, user_id, added, most_bytes=MOST_OTHERS_BYTES)
            self._store.commit([Commit(extends=[extend], adds=[in_index(self._keys, user_id)])])


def _slices(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
