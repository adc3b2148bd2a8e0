"""The operations that the product needs of a store: keys are text, values are bytes.

`SyncStore` has all of them, for the night, the commands and the worker. `AsyncStore` has those that the service awaits.
Every operation raises StoreUnavailableError if no answer comes in time, and StoreRefusedError if the store rejects the
operation (full, a value of another type). No error of the client library leaves this package.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from models.store.transaction import Commit, Outcome

Written = TypeVar("Written")

STREAM_START = "0-0"
"""the position before the first entry of a stream"""


HORIZON_S = 300.0
"""a member of a queue is never due later than this from now, or than twice its lease"""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Memory and persistence of a store; the sum over the primaries of a cluster."""

    memory_used_bytes: int
    memory_limit_bytes: int | None
    """None: no limit"""
    eviction_policy: str
    append_only: bool
    """every primary appends its writes to a file on disk"""
    keys_read: int = 0
    """keys that were read since the store was started, hits and misses"""
    compacting: bool = False
    """some primary is rewriting that file"""
    compacted: bool = True
    """the last rewrite succeeded"""
    appended: bool = True
    """the last append of every primary to its file succeeded; without such a file True"""
    saved: bool = True
    """the last snapshot of every primary succeeded"""
    refuses_writes: bool = False
    """some primary demands replicas that are in step (min-replicas-to-write) and has none"""
    keys: int = 0
    """keys of the whole server, other networks' included"""


class SyncStore(Protocol):
    """The operations, blocking."""

    def get(self, key: str) -> bytes | None:
        """The value of a key, or None."""
        ...

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of many keys in their order, in one round trip (on a cluster: one to each node concerned)."""
        ...

    def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Writes one value. Without `ttl_s` it never expires, even if the former value did."""
        ...

    def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        """Writes many values in batches of about a megabyte; not atomic as a whole. Used to load a version."""
        ...

    def delete(self, keys: Iterable[str]) -> int:
        """Removes keys of any type; returns how many existed."""
        ...

    def count(self, keys: Iterable[str]) -> int:
        """How many of these keys exist."""
        ...

    def expire_many(self, keys: Iterable[str], ttl_s: float | None) -> int:
        """Sets the expiry of keys to `ttl_s` seconds, or removes it (None); returns how many keys this changed."""
        ...

    def ttl_s(self, key: str) -> float | None:
        """Seconds until a key expires; None if it never expires or does not exist."""
        ...

    def scan(self, prefix: str) -> Iterator[str]:
        """Keys with this prefix, unordered. May miss a key that is written or removed meanwhile, and repeat one."""
        ...

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        """Writes `value` if the key still holds `expected` (None: does not exist); returns whether it did."""
        ...

    def token_take(self, key: str, rate: float, burst: int) -> float:
        """Takes a token of a bucket that gains `rate` a second and holds `burst`; returns the tokens left.

        If there is no whole token, none is taken, and the answer is what is missing as a negative number.
        """
        ...

    def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        """Queues members, due at `due_s` (epoch seconds); returns how many are new. A queued one keeps its due time."""
        ...

    def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]:
        """Up to `limit` members due at `now_s`, earliest first; they are due again at `now_s + lease_s` unless done.

        A member that is due more than HORIZON_S from now is due: the clock that wrote it was ahead, or was set back
        since.
        """
        ...

    def queue_done(self, key: str, members: Sequence[bytes]) -> int:
        """Removes members from the queue; returns how many were in it."""
        ...

    def queue_length(self, key: str) -> int:
        """How many members wait or are leased."""
        ...

    def queue_oldest(self, key: str) -> tuple[bytes, float] | None:
        """The member that is due first, and when (epoch seconds); None if the queue is empty."""
        ...

    def queue_members(self, key: str) -> list[bytes]:
        """All members that wait or are leased, earliest due first."""
        ...

    def members_add(self, key: str, members: Sequence[bytes]) -> int:
        """Adds members to a set; returns how many are new."""
        ...

    def members_remove(self, key: str, members: Sequence[bytes]) -> int:
        """Removes members from a set; returns how many were in it."""
        ...

    def members(self, key: str) -> frozenset[bytes]:
        """All members of a set."""
        ...

    def members_scan(self, key: str) -> Iterator[bytes]:
        """The members of a set of any size, unordered. May miss one that is added meanwhile, and repeat one."""
        ...

    def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        """Writes named fields of a record and leaves its other fields."""
        ...

    def field_raise(self, key: str, name: str, number: int) -> int:
        """Writes a number (below 2^53) in a field of a record, in decimal, unless it holds a higher one; returns it."""
        ...

    def fields_delete(self, key: str, names: Sequence[str]) -> int:
        """Removes named fields of a record; returns how many existed."""
        ...

    def fields(self, key: str) -> dict[str, bytes]:
        """All fields of a record; empty if there is no record."""
        ...

    def fields_get(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        """The values of named fields of a record in their order, None for each that it does not have."""
        ...

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        """Applies each commit whose conditions hold, one after the other; returns the outcomes in their order.

        Each commit is atomic by itself: no other client sees or changes any of its keys while it is half applied.
        Guards and writes of a key that holds anything but a value, and appends to anything but a stream, raise
        StoreRefusedError; some of the other commits may then have been applied.
        """
        ...

    def numbers_take(self, key: str, count: int, at_least: int) -> int:
        """Takes `count` numbers in a row (below 2^53), which nobody takes again; returns the first.

        It is at least `at_least`, and above every number that was taken before.
        """
        ...

    def number_raise(self, key: str, number: int) -> int:
        """Raises a number to this one if it is lower or missing; returns it."""
        ...

    def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes:
        """Appends an entry, a JSON object, to a stream that has a head; returns the new head.

        A head is a number of 20 digits that rises by one, a colon and `identity`, which must be unique. The entry gets
        the fields `epoch`, the new head, and `after`, the one before ("" if there was none).
        """
        ...

    def stream_offer(self, key: str, entries: Sequence[bytes], most: int, ttl_s: float) -> int:
        """Appends entries to a stream as long as it has less than `most`; returns how many were appended.

        The stream expires `ttl_s` after the last append: it may be evicted, and is not for what must not be lost.
        """
        ...

    def lengths(self, keys: Sequence[str]) -> list[int]:
        """The bytes of values in the order of their keys; 0 for a missing one."""
        ...

    def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        """Up to `limit` entries of a stream after a position, oldest first, each with its own position."""
        ...

    def streams_wait(self, after: Mapping[str, str], wait_s: float) -> list[str]:
        """The streams that have entries after these positions; waits up to `wait_s` seconds for the first of them."""
        ...

    def stream_ages_s(self, keys: Sequence[str]) -> list[float | None]:
        """How long ago the oldest entry of each stream was appended, by the store's clock; None if it has none."""
        ...

    def stream_trim(self, key: str, upto: str) -> int:
        """Removes the entries of a stream up to and including a position; returns how many."""
        ...

    def stream_delete(self, key: str, positions: Sequence[str]) -> int:
        """Removes single entries of a stream; returns how many existed."""
        ...

    def stream_length(self, key: str) -> int:
        """How many entries a stream has."""
        ...

    def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None:
        """Stores timestamps (below 2^53) by name; a later timestamp of the same name stays."""
        ...

    def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]:
        """Up to `limit` names whose timestamps are later than this, earliest first, with their timestamps."""
        ...

    def timestamps_drop(self, key: str, upto: int) -> int:
        """Removes the names whose timestamps are not later than this; returns how many."""
        ...

    def timestamps_remove(self, key: str, names: Sequence[str]) -> int:
        """Removes names with any timestamp; returns how many existed."""
        ...

    def clock_us(self) -> int:
        """The store's clock, microseconds since 1970 (on a cluster: that of one node)."""
        ...

    def ping(self) -> None:
        """Returns as soon as the store has answered."""
        ...

    def info(self) -> StoreInfo:
        """Memory, eviction and persistence of the store."""
        ...

    def compact(self) -> None:
        """Starts to rewrite the store's file without what was deleted; `info` says when that has ended."""
        ...

    def close(self) -> None:
        """Releases connections and, with the embedded store, the hold on its server."""
        ...


class AsyncStore(Protocol):
    """The operations that the service needs, awaited, as SyncStore documents them; bound to one event loop."""

    async def get(self, key: str) -> bytes | None: ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None: ...

    async def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None: ...

    async def delete(self, keys: Iterable[str]) -> int: ...

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool: ...

    async def token_take(self, key: str, rate: float, burst: int) -> float: ...

    async def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int: ...

    async def members_add(self, key: str, members: Sequence[bytes]) -> int: ...

    async def members_count(self, key: str) -> int:
        """How many members a set has."""
        ...

    async def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None: ...

    async def field_raise(self, key: str, name: str, number: int) -> int: ...

    async def fields_delete(self, key: str, names: Sequence[str]) -> int: ...

    async def fields(self, key: str) -> dict[str, bytes]: ...

    async def fields_get(self, key: str, names: Sequence[str]) -> list[bytes | None]: ...

    async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
        """As SyncStore.commit. `wait_s` is the longest wait for the answer; None: as for every operation."""
        ...

    async def durably(self, write: Callable[[], Awaitable[Written]], wait_s: float | None = None) -> Written:
        """What `write`, which writes to this store, returns, once that survives the loss of the primary.

        Each operation of `write`, reads too, may take `wait_s`: a store that syncs each write answers nobody while it
        waits for its disk. None: as long as any other.
        With PYMK_REDIS_REPLICAS it is on the disk of the primary and of so many replicas. Raises StoreUnavailableError
        if that is not confirmed in time: what was written may be lost, or in effect.
        """
        ...

    async def numbers_take(self, key: str, count: int, at_least: int) -> int: ...

    async def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes: ...

    async def stream_offer(self, key: str, entries: Sequence[bytes], most: int, ttl_s: float) -> int: ...

    async def tail(self, key: str, start: int, prefix_bytes: int) -> tuple[bytes, bytes]:
        """The first `prefix_bytes` of a value, and the bytes from `start` on, of one moment; empty if it is missing."""
        ...

    async def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]: ...

    async def stream_ages_s(self, keys: Sequence[str]) -> list[float | None]: ...

    async def queue_oldest(self, key: str) -> tuple[bytes, float] | None: ...

    async def clock_us(self) -> int: ...

    async def ping(self) -> None: ...

    async def info(self) -> StoreInfo: ...

    async def aclose(self) -> None: ...
