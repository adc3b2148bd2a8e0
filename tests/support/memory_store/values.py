"""Single values in memory, with their expiry, and what keeps collections under a key."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from models.errors import StoreRefusedError

Stream = list[tuple[tuple[int, int], bytes]]
"""positions and entries"""
Value = bytes | list[bytes] | set[bytes] | dict[str, bytes] | dict[bytes, float] | dict[str, int] | Stream
V = TypeVar("V", bytes, list[bytes], set[bytes], dict[str, bytes], dict[bytes, float], dict[str, int], Stream)
Members = set[bytes]
"""an alias, since `set` is an operation of the store"""


@dataclass(slots=True)
class StoredValue:
    """The value of a key and, in seconds of the clock, when it expires."""

    type_name: str
    value: Value
    expires_at_s: float | None = field(default=None)


class Values:
    """Values by key. `clock` gives seconds; a test advances it to let keys expire."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stored: dict[str, StoredValue] = {}
        self._appended = 0
        self._appended_s: dict[tuple[int, int], float] = {}
        self._keys_read = 0

    def _stored_value(self, key: str) -> StoredValue | None:
        stored = self._stored.get(key)
        if stored is not None and stored.expires_at_s is not None and stored.expires_at_s <= self._clock():
            del self._stored[key]
            return None
        return stored

    def _of_type(self, key: str, type_name: str, empty: V) -> V:
        """The value of a key, or `empty` if there is none; raises StoreRefusedError if it is of another type."""
        stored = self._stored_value(key)
        if stored is None:
            return empty
        if stored.type_name != type_name:
            raise StoreRefusedError(
                f"The store in memory refuses: {key} holds a {stored.type_name}, not a {type_name}."
            )
        return stored.value  # type: ignore[return-value]  # the type was compared

    def _write(self, key: str, type_name: str, value: Value) -> None:
        """Writes a collection and leaves the expiry of its key; an empty collection removes the key."""
        if not value:
            self._stored.pop(key, None)
        elif (stored := self._stored_value(key)) is not None:
            stored.value = value
        else:
            self._stored[key] = StoredValue(type_name, value)

    def get(self, key: str) -> bytes | None:
        self._keys_read += 1
        self._of_type(key, "value", b"")
        stored = self._stored_value(key)
        return None if stored is None else stored.value  # type: ignore[return-value]  # checked above

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._keys_read += len(keys)
        alive = [self._stored_value(key) for key in keys]
        return [stored.value if stored and isinstance(stored.value, bytes) else None for stored in alive]

    def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        self._stored[key] = StoredValue("value", bytes(value), None if ttl_s is None else self._clock() + ttl_s)

    def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        for key, value in pairs:
            self.set(key, value, ttl_s)

    def delete(self, keys: Iterable[str]) -> int:
        return sum(self._stored_value(key) is not None and self._stored.pop(key, None) is not None for key in keys)

    def count(self, keys: Iterable[str]) -> int:
        return sum(self._stored_value(key) is not None for key in keys)

    def expire_many(self, keys: Iterable[str], ttl_s: float | None) -> int:
        changed = 0
        for key in keys:
            stored = self._stored_value(key)
            if stored is not None and (ttl_s is not None or stored.expires_at_s is not None):
                stored.expires_at_s = None if ttl_s is None else self._clock() + ttl_s
                changed += 1
        return changed

    def ttl_s(self, key: str) -> float | None:
        stored = self._stored_value(key)
        return None if stored is None or stored.expires_at_s is None else stored.expires_at_s - self._clock()

    def scan(self, prefix: str) -> Iterator[str]:
        for key in list(self._stored):
            if key.startswith(prefix) and self._stored_value(key) is not None:
                yield key

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        if self.get(key) != expected:
            return False
        self.set(key, value)
        return True

    def lengths(self, keys: Sequence[str]) -> list[int]:
        return [len(self.get(key) or b"") for key in keys]
