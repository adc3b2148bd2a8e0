"""What the product asks of a store: keys are text, values are bytes.

Two faces of the same operations. `SyncStore` serves the night, the commands and the worker, `AsyncStore` the service.
Every operation raises StoreUnavailableError where no answer comes in time and StoreRefusedError where the store
answers and will not (full, read-only, a value of another kind); nothing of the client library below gets through.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.store.transaction import Commit

BEGINNING = "0-0"
"""the position before the first entry of a stream"""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store says of itself; a cluster's primaries are added up."""

    memory_used_bytes: int
    memory_limit_bytes: int | None
    """None: no limit"""
    eviction_policy: str
    append_only: bool
    """writes are appended to a file on disk, on every primary"""
    keys_read: int = 0
    """keys that were asked for since the store was started, there or not"""
    compacting: bool = False
    """that file is being written anew, on some primary"""
    compacted: bool = True
    """the last time that it was, it came to its end"""


class SyncStore(Protocol):
    """The operations, blocking."""

    def get(self, key: str) -> bytes | None:
        """The value of a key, or None."""
        ...

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of many keys in their order, in one round trip (on a cluster: one to each node concerned)."""
        ...

    def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Write one value; without `ttl_s` it never expires, whatever it did before."""
        ...

    def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        """Write many values in batches of about a megabyte; not atomic as a whole. The way to load a version."""
        ...

    def delete(self, keys: Iterable[str]) -> int:
        """Remove keys of any kind; how many there were."""
        ...

    def count(self, keys: Iterable[str]) -> int:
        """How many of these keys exist."""
        ...

    def expire_many(self, keys: Iterable[str], ttl_s: float | None) -> int:
        """Let keys expire in `ttl_s` seconds, or never (None); how many of them this changed."""
        ...

    def ttl_s(self, key: str) -> float | None:
        """Seconds until a key expires; None where it never does or does not exist."""
        ...

    def scan(self, prefix: str) -> Iterator[str]:
        """Keys that begin so, in no order. One written or removed meanwhile may be missed; one may come twice."""
        ...

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        """Write `value` where the key still holds `expected` (None: does not exist); whether it did."""
        ...

    def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        """Queue members for the moment `due_s` (epoch seconds); one that waits already keeps its own. How many came."""
        ...

    def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]:
        """Up to `limit` members due at `now_s`, earliest first; they are due again at `now_s + lease_s` unless done."""
        ...

    def queue_done(self, key: str, members: Sequence[bytes]) -> int:
        """Drop members from the queue; how many were in it."""
        ...

    def queue_length(self, key: str) -> int:
        """How many members wait or are leased."""
        ...

    def queue_members(self, key: str) -> list[bytes]:
        """All that wait or are leased, earliest due first."""
        ...

    def list_push(self, key: str, value: bytes, keep: int) -> None:
        """Put a value at the head of a list and cut the list to `keep`."""
        ...

    def list_read(self, key: str, limit: int) -> list[bytes]:
        """The first `limit` values of a list, newest first."""
        ...

    def list_remove(self, key: str, value: bytes) -> bool:
        """Remove the newest occurrence of a value; whether there was one."""
        ...

    def members_add(self, key: str, members: Sequence[bytes]) -> int:
        """Add to a set; how many it did not have."""
        ...

    def members_remove(self, key: str, members: Sequence[bytes]) -> int:
        """Remove from a set; how many it had."""
        ...

    def members(self, key: str) -> frozenset[bytes]:
        """All members of a set."""
        ...

    def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        """Write named fields of a record; the others stay."""
        ...

    def fields_delete(self, key: str, names: Sequence[str]) -> int:
        """Remove named fields of a record; how many there were."""
        ...

    def fields(self, key: str) -> dict[str, bytes]:
        """All fields of a record; empty where there is none."""
        ...

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """Make each of these commits whose guards hold, each by itself atomic; which were made, in their order.

        All that one does is done before anybody else reads or writes any of its keys, or none of it is. Guards and
        writes of a kind other than a value, and appends to anything but a stream, raise StoreRefusedError; some of the
        other commits may then have been made.
        """
        ...

    def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        """Up to `limit` entries of a stream after a position, oldest first, each with its own position."""
        ...

    def stream_trim(self, key: str, upto: str) -> int:
        """Drop the entries of a stream up to a position, itself included; how many."""
        ...

    def stream_delete(self, key: str, positions: Sequence[str]) -> int:
        """Drop single entries of a stream; how many there were."""
        ...

    def stream_length(self, key: str) -> int:
        """How many entries a stream has."""
        ...

    def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None:
        """Note stamps (below 2^53) under names; one that stands there already stays if it is later."""
        ...

    def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]:
        """Up to `limit` names whose stamps are later than this, earliest first, with their stamps."""
        ...

    def timestamps_drop(self, key: str, upto: int) -> int:
        """Forget the names whose stamps are not later than this; how many."""
        ...

    def timestamps_remove(self, key: str, names: Sequence[str]) -> int:
        """Forget names, whatever their stamps; how many there were."""
        ...

    def ping(self) -> None:
        """Return once the store has answered."""
        ...

    def info(self) -> StoreInfo:
        """Memory, eviction and persistence of the store."""
        ...

    def compact(self) -> None:
        """Begin to write the store's file anew, without what was deleted; `info` says when that is over."""
        ...

    def close(self) -> None:
        """Release connections and, with the embedded store, the hold on its server."""
        ...


class AsyncStore(Protocol):
    """The same operations with the same meaning, awaited; bound to one event loop."""

    async def get(self, key: str) -> bytes | None: ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None: ...

    async def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None: ...

    async def delete(self, keys: Iterable[str]) -> int: ...

    async def count(self, keys: Iterable[str]) -> int: ...

    async def expire_many(self, keys: Iterable[str], ttl_s: float | None) -> int: ...

    async def ttl_s(self, key: str) -> float | None: ...

    def scan(self, prefix: str) -> AsyncIterator[str]: ...

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool: ...

    async def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int: ...

    async def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]: ...

    async def queue_done(self, key: str, members: Sequence[bytes]) -> int: ...

    async def queue_length(self, key: str) -> int: ...

    async def queue_members(self, key: str) -> list[bytes]: ...

    async def list_push(self, key: str, value: bytes, keep: int) -> None: ...

    async def list_read(self, key: str, limit: int) -> list[bytes]: ...

    async def list_remove(self, key: str, value: bytes) -> bool: ...

    async def members_add(self, key: str, members: Sequence[bytes]) -> int: ...

    async def members_remove(self, key: str, members: Sequence[bytes]) -> int: ...

    async def members(self, key: str) -> frozenset[bytes]: ...

    async def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None: ...

    async def fields_delete(self, key: str, names: Sequence[str]) -> int: ...

    async def fields(self, key: str) -> dict[str, bytes]: ...

    async def commit(self, commits: Sequence[Commit]) -> list[bool]: ...

    async def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]: ...

    async def stream_trim(self, key: str, upto: str) -> int: ...

    async def stream_delete(self, key: str, positions: Sequence[str]) -> int: ...

    async def stream_length(self, key: str) -> int: ...

    async def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None: ...

    async def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]: ...

    async def timestamps_drop(self, key: str, upto: int) -> int: ...

    async def timestamps_remove(self, key: str, names: Sequence[str]) -> int: ...

    async def ping(self) -> None: ...

    async def info(self) -> StoreInfo: ...

    async def compact(self) -> None: ...

    async def aclose(self) -> None: ...
