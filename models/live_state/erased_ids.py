"""What remains of erased users: a keyed hash of the id, so that no export restores them."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping

from models.errors import CorruptRecordError
from models.store.decimals import read_decimal
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.system import files

FOR_GOOD = 1 << 53
"""the time of an erasure of which no time is known: everything belongs to the erased user"""
_KEY_BYTES = 32


class ErasedPeople:
    """The hashes of erased ids with the times of erasure, as of one read; it can look up an id and list none."""

    def __init__(self, key: bytes, timestamps_us: dict[str, int]) -> None:
        self._key = key
        self._timestamps_us = timestamps_us

    @classmethod
    def nobody(cls) -> "ErasedPeople":
        """The value if no live state is read."""
        return cls(b"", {})

    def __len__(self) -> int:
        return len(self._timestamps_us)

    def timestamp_us(self, user_id: str) -> int:
        """When the user was erased, microseconds; 0: never. Everything older belongs to the erased user."""
        return self._timestamps_us.get(hash_of(self._key, user_id), 0) if self._timestamps_us else 0

    def joined(self, others: Mapping[str, int]) -> "ErasedPeople":
        """These and further erasures, by id and timestamp."""
        more = {
            hash_of(self._key, user_id): max(timestamp_us, self.timestamp_us(user_id))
            for user_id, timestamp_us in others.items()
        }
        return ErasedPeople(self._key, self._timestamps_us | more)

    @property
    def digest(self) -> str:
        """Equal for the same erasures."""
        return files.json_digest(self._timestamps_us)

    def since(self, cut: int) -> dict[str, int]:
        """The hashes and timestamps of the erasures after a timestamp."""
        return {name: timestamp_us for name, timestamp_us in self._timestamps_us.items() if timestamp_us > cut}

    def names(self, user_ids: Iterable[str]) -> list[str]:
        """The hashes of ids, sorted."""
        return sorted(hash_of(self._key, user_id) for user_id in user_ids)

    def among(self, user_ids: Iterable[str]) -> set[str]:
        """The ids that were erased."""
        return {user_id for user_id in user_ids if self.timestamp_us(user_id)} if self._timestamps_us else set()


async def name_of(store: AsyncStore, keys: Keys, user_id: str) -> str:
    """The keyed hash of an id; draws the key if there is none."""
    key = await store.get(keys.erased_key)
    if key is None:
        await store.compare_and_set(keys.erased_key, None, secrets.token_bytes(_KEY_BYTES))
        key = await store.get(keys.erased_key)
    return hash_of(key or b"", user_id)


def name_of_blocking(store: SyncStore, keys: Keys, user_id: str) -> str:
    """The same as `name_of` for the worker."""
    key = store.get(keys.erased_key)
    if key is None:
        store.compare_and_set(keys.erased_key, None, secrets.token_bytes(_KEY_BYTES))
        key = store.get(keys.erased_key)
    return hash_of(key or b"", user_id)


def read_erased(store: SyncStore, keys: Keys) -> ErasedPeople:
    """All erased users, for the night."""
    times = dict(_times(store, keys, store.fields(keys.erased).items()))
    return ErasedPeople(store.get(keys.erased_key) or b"", times)


async def erased_among(store: AsyncStore, keys: Keys, key: bytes, people: Iterable[str]) -> dict[str, int]:
    """Those of these users who were erased, and when, microseconds; `key` is the value of Keys.erased_key.

    A time that does not read back is noted (Keys.damaged_erasures) and taken from the record of the erasure, else the
    user counts as erased for good until it is repaired.
    """
    asked, times = list(people), dict[str, int]()
    names = [hash_of(key, user_id) for user_id in asked]
    for user_id, name, value in zip(asked, names, await store.fields_get(keys.erased, names), strict=True):
        if value is None:
            continue
        at = read_decimal(value)
        if at is None:
            await store.members_add(keys.damaged_erasures, [name.encode()])
            at = _latest(await store.get(keys.erasure(name)))
        times[user_id] = at
    return times


def erased_among_blocking(store: SyncStore, keys: Keys, people: Iterable[str]) -> dict[str, int]:
    """The same as `erased_among` for the night; nobody if there is no key."""
    key = store.get(keys.erased_key)
    asked = {} if key is None else {hash_of(key, user_id): user_id for user_id in people}
    found = zip(asked, store.fields_get(keys.erased, list(asked)), strict=True)
    known = [(name, value) for name, value in found if value is not None]
    return {asked[name]: at for name, at in _times(store, keys, known)}


def damaged_times(store: SyncStore, keys: Keys) -> list[str]:
    """The hashes of the erased users whose time of erasure does not read back."""
    return [name for name, value in store.fields(keys.erased).items() if read_decimal(value) is None]


def _times(store: SyncStore, keys: Keys, fields: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, int]]:
    """The times of erasure by hash, as in `erased_among`."""
    for name, value in fields:
        at = read_decimal(value)
        if at is None:
            store.members_add(keys.damaged_erasures, [name.encode()])
            at = _latest(store.get(keys.erasure(name)))
        yield name, at


def _latest(record: bytes | None) -> int:
    """The latest erasure of a record; FOR_GOOD if there is none, or it does not read back."""
    from models.live_state.erasure_receipts import Erasure  # which needs the hashes of this module

    try:
        return FOR_GOOD if record is None else Erasure.decode(record).timestamp_us
    except CorruptRecordError:
        return FOR_GOOD


def hash_of(key: bytes, user_id: str) -> str:
    """The keyed hash of an id, in hexadecimal."""
    return hashlib.blake2b(user_id.encode(), key=key, digest_size=16).hexdigest()
