"""Finds who is in whose contacts, in the worker: whenever a user's contacts or own addresses changed.

The store has for each address who owns it, and who has it among the contacts. Each change writes to one before
it reads the other, so that of two users who change at the same time at least one finds the other. What was found is
written into the live record of the user who has the contact, and of nobody else: nobody's lists depend on what others
have in their address books.

Every step may be repeated: before the index changes, the record of what is indexed is set to all that it may have then,
without a time. A worker that dies leaves that, and another one goes on. What is written of others bears the time from
before everything was read, so that an erasure or a withdrawal meanwhile is later.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from models.contacts.record import PREFIX_BYTES, ContactRecord, names, readable
from models.errors import CorruptRecordError
from models.event_log.reciprocal_update import MOST_OTHERS_BYTES, extend_record, in_index
from models.live_state.compaction import note_damaged
from models.live_state.edges import CONTACT, UNCONTACT
from models.live_state.journal import JournalEntry
from models.live_state.timestamps import take_timestamp_blocking
from models.live_state.user_record import LiveRecord
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.transaction import Add, Commit, Guard, Outcome
from models.system.clock import now_us

AT_ONCE = 500
"""addresses of one round trip"""
MOST_OWNERS = 20
"""users with one own address who are found by it; an address that more people claim tells nobody apart"""
ATTEMPTS = 20
"""how often a record is read again because it was rewritten meanwhile"""
SEPARATOR = b"\x1f"
"""between the owners of an address: a control character, which no user id contains"""

_T = TypeVar("_T")


class Matcher:
    """Matches the contacts of one store."""

    def __init__(self, store: SyncStore, keys: Keys, clock: Callable[[], int] = now_us) -> None:
        self._store, self._keys, self._clock = store, keys, clock
        self._changed: dict[str, int] = {}
        """of the users matched last"""

    def match(self, user_id: str) -> int:
        """Brings everything up to date with a user's contacts; returns how many users are among them.

        A user without a record, such as an erased one, is removed from the index.
        """
        store, keys = self._store, self._keys
        at = take_timestamp_blocking(store, keys, now=self._clock())
        index_key = keys.contacts_indexed(user_id)
        # what the index may have from here on is noted first: whoever goes on finds all of it
        while True:
            packed, indexed, live = store.get_many([keys.contacts(user_id), index_key, keys.live(user_id)])
            now, before = readable(packed), readable(indexed)
            erased = _erased_at(live)
            if packed == indexed and before.timestamp_us > erased:
                noted = indexed
                break
            either = ContactRecord(own=now.own | before.own, contacts=now.contacts | before.contacts).pack()
            noted = indexed if packed is None and indexed is None else either
            if noted == indexed or store.compare_and_set(index_key, indexed, either):
                break
        # the index
        settled = before if before.timestamp_us > erased else ContactRecord()
        changed = (now.own - settled.own) | (before.own - now.own)
        member = user_id.encode()
        crowds = {
            address: self._own(keys.address_owners(address.hex()), member, is_added=address in now.own)
            for address in changed
        }
        self._hold(member, now.contacts - settled.contacts, before.contacts - now.contacts)
        # whom the user has, and who has the user
        found = self._owners(now.contacts) - {user_id}
        if packed is not None:
            if now.contacts or before.contacts:
                self._changed[user_id] = at
            self._write(user_id, found, self._contacts_of(user_id), at, _unchanged(keys.contacts(user_id), packed))
            self._tell(user_id, changed, at)
        for address, owners in crowds.items():
            for owner in owners - {user_id}:
                self._tell(owner, {address}, at)
        # done, unless the contacts changed meanwhile: then the log has another entry
        if packed is None and noted is not None:
            store.commit([Commit(guards=[Guard(index_key, noted, len(noted))], deletes=[index_key])])
        elif packed is not None and packed != noted:
            store.compare_and_set(index_key, noted, packed)
        return len(found)

    def having(self, people: Iterable[str]) -> list[str]:
        """Those of some users who have contacts, or had some when they were matched last."""
        names = list(people)
        records = self._store.get_many([self._keys.contacts(one) for one in names])
        indexed = self._store.get_many([self._keys.contacts_indexed(one) for one in names])
        read = zip(names, records, indexed, strict=True)
        return [one for one, now, before in read if readable(now).contacts or readable(before).contacts]

    def match_all(self, people: Iterable[str]) -> dict[str, int]:
        """Matches users one after the other; a fault of one is logged and does not stop the others.

        Returns all users whose contacts may be others than before, with the time from when they are.
        """
        self._changed = {}
        for person in people:
            try:
                self.match(person)
            except CorruptRecordError as error:
                note_damaged(self._store, self._keys, person, error)
        return self._changed

    def _own(self, key: str, member: bytes, *, is_added: bool) -> set[str]:
        """Adds a user to the owners of an address, or removes the user; an address without owners has no key.

        Returns the owners if the address may have come to tell apart, or have ceased to.
        """
        while True:
            stored = self._store.get(key)
            owners = set(stored.split(SEPARATOR)) if stored else set()
            left = owners | {member} if is_added else owners - {member}
            if left == owners:
                is_done = True
            elif left:
                is_done = self._store.compare_and_set(key, stored, SEPARATOR.join(sorted(left)))
            else:
                guard = Guard(key, stored, len(stored or b""))
                is_done = self._store.commit([Commit(guards=[guard], deletes=[key])]) == [Outcome.APPLIED]
            if is_done:
                near = len(left) in (MOST_OWNERS, MOST_OWNERS + 1)
                return {owner.decode() for owner in left} if near else set()

    def _hold(self, member: bytes, added: Collection[bytes], removed: Collection[bytes]) -> None:
        """Adds a user to those who have some addresses, and removes the user from those of others."""
        key_of = self._keys.address_holders
        changes = [Commit(adds=[Add(key_of(name), member)]) for name in names(added)]
        changes += [Commit(removes=[Add(key_of(name), member)]) for name in names(removed)]
        for some in _slices(changes):
            self._store.commit(some)

    def _owners(self, addresses: Collection[bytes]) -> set[str]:
        """The users who own one of these addresses."""
        return {owner for owners in self._by_address(addresses).values() for owner in owners}

    def _by_address(self, addresses: Collection[bytes]) -> dict[bytes, list[str]]:
        """The owners of each of these addresses that tells apart."""
        found: dict[bytes, list[str]] = {}
        for some in _slices(list(addresses)):
            stored = self._store.get_many([self._keys.address_owners(name) for name in names(some)])
            for address, joined in zip(some, stored, strict=True):
                owners = joined.split(SEPARATOR) if joined else []
                if 0 < len(owners) <= MOST_OWNERS:
                    found[address] = [owner.decode() for owner in owners]
        return found

    def _holders(self, addresses: Collection[bytes]) -> set[str]:
        """The users who have one of these addresses among their contacts."""
        sets = [self._store.members(self._keys.address_holders(name)) for name in names(addresses)]
        return {holder.decode() for holders in sets for holder in holders}

    def _contacts_of(self, user_id: str) -> dict[str, int]:
        """Who is among a user's contacts by the live record, and since when, microseconds."""
        return LiveRecord.unpack(self._store.get(self._keys.live(user_id))).contacts()

    def _write(self, user_id: str, found: Collection[str], known: Collection[str], at: int, guard: Guard) -> None:
        """Brings the live record of a user up to date with whom she has, as long as her contacts stay what they were.

        If they changed, she may have taken them back, or be another person of the same id; the log has another entry.
        """
        for number, others in (
            (CONTACT, [other for other in sorted(found) if other not in known]),
            (UNCONTACT, [other for other in known if other not in found]),
        ):
            for some in _slices(others):
                if not self._append(user_id, some, number, at, [guard]):
                    return

    def _tell(self, owner: str, changed: Collection[bytes], at: int) -> None:
        """Brings those who have one of these addresses up to date with whether they have its owner, or former owner."""
        holders = self._holders(changed) - {owner}
        packed, live = self._store.get_many([self._keys.contacts(owner), self._keys.live(owner)])
        erased = _erased_at(live)
        by_address = self._by_address(readable(packed).own)
        own = {address for address, owners in by_address.items() if owner in owners}
        for holder in sorted(holders):
            try:
                self._note(holder, owner, own, erased, at)
            except CorruptRecordError as error:
                note_damaged(self._store, self._keys, holder, error)

    def _note(self, holder: str, owner: str, own: Collection[bytes], erased: int, at: int) -> None:
        """Writes whether a holder has an owner, unless her record says so; what was before an erasure says nothing."""
        key = self._keys.contacts(holder)
        for _ in range(ATTEMPTS):
            packed = self._store.get(key)
            if packed is not None:  # also if a worker that died has written it
                self._changed[holder] = at
            has, since = bool(readable(packed).contacts & set(own)), self._contacts_of(holder).get(owner)
            if since is None if not has else since is not None and since > erased:
                return
            # the holder may take her contacts back meanwhile
            if self._append(holder, [owner], CONTACT if has else UNCONTACT, at, [_unchanged(key, packed)]):
                return

    def _append(self, user_id: str, others: Sequence[str], number: int, at: int, guards: Sequence[Guard] = ()) -> bool:
        """Writes of others whether a user has them, as of `at`; returns whether that holds, and False for a conflict.

        Those without contacts of their own were erased meanwhile: of them nothing is written any more.
        """
        lengths = self._store.lengths([self._keys.contacts(other) for other in others])
        added = [JournalEntry(number, at, other) for other, length in zip(others, lengths, strict=True) if length]
        if not added:
            return True
        extend = extend_record(self._keys, user_id, added, most_bytes=MOST_OTHERS_BYTES)
        adds = [in_index(self._keys, user_id)]
        return self._store.commit([Commit(guards=guards, extends=[extend], adds=adds)]) != [Outcome.CONFLICT]


def _unchanged(key: str, packed: bytes | None) -> Guard:
    """Refuses a write if a record of contacts is not what was read of it."""
    return Guard(key, packed and packed[:PREFIX_BYTES], len(packed or b""))


def _erased_at(live: bytes | None) -> int:
    """When the user of a live record was erased, microseconds; 0: never, or the record does not read back."""
    try:
        return LiveRecord.unpack(live).erased
    except CorruptRecordError:
        return 0


def _slices(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
