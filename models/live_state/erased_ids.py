"""What remains of erased people: a keyed hash of the id, so that no export brings them back."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping

from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.system import files

_KEY_BYTES = 32


class ErasedPeople:
    """The hashes and what was noted with each, as read once. Knows whether an id is among them, and no id."""

    def __init__(self, key: bytes, timestamps_us: dict[str, int]) -> None:
        self._key = key
        self._stamps = timestamps_us

    @classmethod
    def nobody(cls) -> "ErasedPeople":
        """Where no live state is read."""
        return cls(b"", {})

    def __len__(self) -> int:
        return len(self._stamps)

    def timestamp_us(self, user_id: str) -> int:
        """When the person was erased, microseconds; 0: never. What is older is of the erased person."""
        return self._stamps.get(_hash(self._key, user_id), 0) if self._stamps else 0

    def joined(self, others: Mapping[str, int]) -> "ErasedPeople":
        """These and others, by id and stamp."""
        more = {
            _hash(self._key, user_id): max(timestamp_us, self.timestamp_us(user_id))
            for user_id, timestamp_us in others.items()
        }
        return ErasedPeople(self._key, self._stamps | more)

    @property
    def digest(self) -> str:
        """Equal for the same erasures."""
        return files.json_digest(self._stamps)

    def since(self, cut: int) -> dict[str, int]:
        """The hashes and stamps of those who were erased later than a stamp."""
        return {name: timestamp_us for name, timestamp_us in self._stamps.items() if timestamp_us > cut}

    def among(self, user_ids: Iterable[str]) -> set[str]:
        """Those of the ids who were erased."""
        return {user_id for user_id in user_ids if self.timestamp_us(user_id)} if self._stamps else set()


async def name_of(store: AsyncStore, keys: Keys, user_id: str) -> str:
    """The keyed hash that stands for an id; its key is made where there is none."""
    key = await store.get(keys.erased_key)
    if key is None:
        await store.compare_and_set(keys.erased_key, None, secrets.token_bytes(_KEY_BYTES))
        key = await store.get(keys.erased_key)
    return _hash(key or b"", user_id)


def name_of_blocking(store: SyncStore, keys: Keys, user_id: str) -> str:
    """The same as `name_of` for the worker."""
    key = store.get(keys.erased_key)
    if key is None:
        store.compare_and_set(keys.erased_key, None, secrets.token_bytes(_KEY_BYTES))
        key = store.get(keys.erased_key)
    return _hash(key or b"", user_id)


def read_erased(store: SyncStore, keys: Keys) -> ErasedPeople:
    """Everybody who was erased, for the night."""
    fields = store.fields(keys.erased)
    return _people(fields, store.get(keys.erased_key))


async def erased_people(store: AsyncStore, keys: Keys) -> ErasedPeople:
    """The same for the service."""
    fields = await store.fields(keys.erased)
    return _people(fields, await store.get(keys.erased_key))


def _people(fields: Mapping[str, bytes], key: bytes | None) -> ErasedPeople:
    return ErasedPeople(key or b"", {name: int(timestamp_us) for name, timestamp_us in fields.items()})


def _hash(key: bytes, user_id: str) -> str:
    return hashlib.blake2b(user_id.encode(), key=key, digest_size=16).hexdigest()
