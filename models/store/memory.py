"""The store in the memory of one process: what tests use, and what the servers are held against."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from models.errors import StoreRefusedError
from models.store.protocol import StoreInfo
from models.store.transaction import Commit

Stream = list[tuple[tuple[int, int], bytes]]
"""entries after their positions"""
Value = bytes | list[bytes] | set[bytes] | dict[str, bytes] | dict[bytes, float] | dict[str, int] | Stream
V = TypeVar("V", bytes, list[bytes], set[bytes], dict[str, bytes], dict[bytes, float], dict[str, int], Stream)
Members = set[bytes]
"""by another name, since `set` is an operation of the store"""


@dataclass(slots=True)
class Held:
    """What stands under a key, and the moment of the clock it goes."""

    kind: str
    value: Value
    expires_at_s: float | None = field(default=None)


class MemoryStore:
    """SyncStore without a server, for one thread. `clock` gives seconds; a test that turns it lets keys expire."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._appended = 0
        self._keys_read = 0

    def _alive(self, key: str) -> Held | None:
        held = self._held.get(key)
        if held is not None and held.expires_at_s is not None and held.expires_at_s <= self._clock():
            del self._held[key]
            return None
        return held

    def _of_kind(self, key: str, kind: str, empty: V) -> V:
        """What stands under a key, or `empty`; raises StoreRefusedError where it is of another kind."""
        held = self._alive(key)
        if held is None:
            return empty
        if held.kind != kind:
            raise StoreRefusedError(f"The store in memory refuses: {key} holds a {held.kind}, not a {kind}.")
        return held.value  # type: ignore[return-value]  # the kind says which

    def _keep(self, key: str, kind: str, value: Value) -> None:
        """Put a collection under a key, whose expiry stays; an empty one removes the key."""
        if not value:
            self._held.pop(key, None)
        elif (held := self._alive(key)) is not None:
            held.value = value
        else:
            self._held[key] = Held(kind, value)

    def get(self, key: str) -> bytes | None:
        self._keys_read += 1
        self._of_kind(key, "value", b"")
        held = self._alive(key)
        return None if held is None else held.value  # type: ignore[return-value]  # checked above

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._keys_read += len(keys)
        alive = [self._alive(key) for key in keys]
        return [held.value if held and isinstance(held.value, bytes) else None for held in alive]

    def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        self._held[key] = Held("value", bytes(value), None if ttl_s is None else self._clock() + ttl_s)

    def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        for key, value in pairs:
            self.set(key, value, ttl_s)

    def delete(self, keys: Iterable[str]) -> int:
        return sum(self._alive(key) is not None and self._held.pop(key, None) is not None for key in keys)

    def count(self, keys: Iterable[str]) -> int:
        return sum(self._alive(key) is not None for key in keys)

    def expire_many(self, keys: Iterable[str], ttl_s: float | None) -> int:
        changed = 0
        for key in keys:
            held = self._alive(key)
            if held is not None and (ttl_s is not None or held.expires_at_s is not None):
                held.expires_at_s = None if ttl_s is None else self._clock() + ttl_s
                changed += 1
        return changed

    def ttl_s(self, key: str) -> float | None:
        held = self._alive(key)
        return None if held is None or held.expires_at_s is None else held.expires_at_s - self._clock()

    def scan(self, prefix: str) -> Iterator[str]:
        for key in list(self._held):
            if key.startswith(prefix) and self._alive(key) is not None:
                yield key

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        if self.get(key) != expected:
            return False
        self.set(key, value)
        return True

    def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        queue = self._of_kind(key, "queue", dict[bytes, float]())
        came = {member: due_s for member in members if member not in queue}
        self._keep(key, "queue", queue | came)
        return len(came)

    def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]:
        queue = self._of_kind(key, "queue", dict[bytes, float]())
        due = sorted((due_s, member) for member, due_s in queue.items() if due_s <= now_s)
        taken = [member for _, member in due[:limit]]
        self._keep(key, "queue", queue | dict.fromkeys(taken, now_s + lease_s))
        return taken

    def queue_done(self, key: str, members: Sequence[bytes]) -> int:
        queue = self._of_kind(key, "queue", dict[bytes, float]())
        left = {member: due_s for member, due_s in queue.items() if member not in members}
        self._keep(key, "queue", left)
        return len(queue) - len(left)

    def queue_length(self, key: str) -> int:
        return len(self._of_kind(key, "queue", dict[bytes, float]()))

    def queue_members(self, key: str) -> list[bytes]:
        queue = self._of_kind(key, "queue", dict[bytes, float]())
        return sorted(queue, key=lambda member: (queue[member], member))

    def list_push(self, key: str, value: bytes, keep: int) -> None:
        self._keep(key, "list", [value, *self._of_kind(key, "list", list[bytes]())][:keep])

    def list_read(self, key: str, limit: int) -> list[bytes]:
        return self._of_kind(key, "list", list[bytes]())[: max(0, limit)]

    def list_remove(self, key: str, value: bytes) -> bool:
        values = list(self._of_kind(key, "list", list[bytes]()))
        if value not in values:
            return False
        values.remove(value)
        self._keep(key, "list", values)
        return True

    def members_add(self, key: str, members: Sequence[bytes]) -> int:
        held = self._of_kind(key, "set", Members())
        self._keep(key, "set", held | {*members})
        return len({*members} - held)

    def members_remove(self, key: str, members: Sequence[bytes]) -> int:
        held = self._of_kind(key, "set", Members())
        self._keep(key, "set", held - {*members})
        return len(held & {*members})

    def members(self, key: str) -> frozenset[bytes]:
        return frozenset(self._of_kind(key, "set", Members()))

    def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        self._keep(key, "record", self._of_kind(key, "record", dict[str, bytes]()) | dict(fields))

    def fields_delete(self, key: str, names: Sequence[str]) -> int:
        record = self._of_kind(key, "record", dict[str, bytes]())
        left = {name: value for name, value in record.items() if name not in names}
        self._keep(key, "record", left)
        return len(record) - len(left)

    def fields(self, key: str) -> dict[str, bytes]:
        return dict(self._of_kind(key, "record", dict[str, bytes]()))

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        return [self._commit(one) for one in commits]

    def _commit(self, commit: Commit) -> bool:
        for key, beginning in commit.guards:
            value = self.get(key)
            if (value is None) != (beginning is None) or (beginning and not (value or b"").startswith(beginning)):
                return False
        for key, value, ttl_s in commit.writes:
            self.set(key, value, ttl_s)
        self.delete(commit.deletes)
        for key, entry in commit.appends:
            self._appended += 1
            self._keep(key, "stream", [*self._of_kind(key, "stream", Stream()), ((self._appended, 0), entry)])
        return True

    def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        later = [(at, entry) for at, entry in self._of_kind(key, "stream", Stream()) if at > _position(after)]
        return [(f"{at[0]}-{at[1]}", entry) for at, entry in later[: max(0, limit)]]

    def stream_trim(self, key: str, upto: str) -> int:
        entries = self._of_kind(key, "stream", Stream())
        return self._stream_keep(key, [one for one in entries if one[0] > _position(upto)])

    def stream_delete(self, key: str, positions: Sequence[str]) -> int:
        doomed = {_position(one) for one in positions}
        return self._stream_keep(key, [one for one in self._of_kind(key, "stream", Stream()) if one[0] not in doomed])

    def _stream_keep(self, key: str, left: Stream) -> int:
        dropped = self.stream_length(key) - len(left)
        self._keep(key, "stream", left)
        return dropped

    def stream_length(self, key: str) -> int:
        return len(self._of_kind(key, "stream", Stream()))

    def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None:
        held = self._of_kind(key, "stamps", dict[str, int]())
        self._keep(key, "stamps", held | {name: max(at, held.get(name, at)) for name, at in timestamps_us.items()})

    def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]:
        held = self._of_kind(key, "stamps", dict[str, int]())
        later = sorted((at, name) for name, at in held.items() if at > timestamp_us)
        return [(name, at) for at, name in later[: max(0, limit)]]

    def timestamps_drop(self, key: str, upto: int) -> int:
        held = self._of_kind(key, "stamps", dict[str, int]())
        return self.timestamps_remove(key, [name for name, at in held.items() if at <= upto])

    def timestamps_remove(self, key: str, names: Sequence[str]) -> int:
        held = self._of_kind(key, "stamps", dict[str, int]())
        left = {name: at for name, at in held.items() if name not in names}
        self._keep(key, "stamps", left)
        return len(held) - len(left)

    def ping(self) -> None:
        return None

    def info(self) -> StoreInfo:
        alive = [held for key in list(self._held) if (held := self._alive(key)) is not None]
        size = sum(len(held.value) for held in alive)
        return StoreInfo(size, None, "noeviction", append_only=False, keys_read=self._keys_read)

    def compact(self) -> None:
        return None

    def close(self) -> None:
        """Nothing to release: what was written stays with this object."""


class AsyncMemoryStore:
    """AsyncStore over the same memory: `AsyncMemoryStore(store)` sees what `store` holds."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = MemoryStore() if store is None else store

    async def get(self, key: str) -> bytes | None:
        return self._store.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._store.get_many(keys)

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        self._store.set(key, value, ttl_s)

    async def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        self._store.set_many(pairs, ttl_s)

    async def delete(self, keys: Iterable[str]) -> int:
        return self._store.delete(keys)

    async def count(self, keys: Iterable[str]) -> int:
        return self._store.count(keys)

    async def expire_many(self, keys: Iterable[str], ttl_s: float | None) -> int:
        return self._store.expire_many(keys, ttl_s)

    async def ttl_s(self, key: str) -> float | None:
        return self._store.ttl_s(key)

    async def scan(self, prefix: str) -> AsyncIterator[str]:
        for key in self._store.scan(prefix):
            yield key

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        return self._store.compare_and_set(key, expected, value)

    async def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        return self._store.queue_add(key, members, due_s)

    async def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]:
        return self._store.queue_take(key, now_s, lease_s, limit)

    async def queue_done(self, key: str, members: Sequence[bytes]) -> int:
        return self._store.queue_done(key, members)

    async def queue_length(self, key: str) -> int:
        return self._store.queue_length(key)

    async def queue_members(self, key: str) -> list[bytes]:
        return self._store.queue_members(key)

    async def list_push(self, key: str, value: bytes, keep: int) -> None:
        self._store.list_push(key, value, keep)

    async def list_read(self, key: str, limit: int) -> list[bytes]:
        return self._store.list_read(key, limit)

    async def list_remove(self, key: str, value: bytes) -> bool:
        return self._store.list_remove(key, value)

    async def members_add(self, key: str, members: Sequence[bytes]) -> int:
        return self._store.members_add(key, members)

    async def members_remove(self, key: str, members: Sequence[bytes]) -> int:
        return self._store.members_remove(key, members)

    async def members(self, key: str) -> frozenset[bytes]:
        return self._store.members(key)

    async def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        self._store.fields_set(key, fields)

    async def fields_delete(self, key: str, names: Sequence[str]) -> int:
        return self._store.fields_delete(key, names)

    async def fields(self, key: str) -> dict[str, bytes]:
        return self._store.fields(key)

    async def commit(self, commits: Sequence[Commit]) -> list[bool]:
        return self._store.commit(commits)

    async def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        return self._store.stream_read(key, after, limit)

    async def stream_trim(self, key: str, upto: str) -> int:
        return self._store.stream_trim(key, upto)

    async def stream_delete(self, key: str, positions: Sequence[str]) -> int:
        return self._store.stream_delete(key, positions)

    async def stream_length(self, key: str) -> int:
        return self._store.stream_length(key)

    async def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None:
        self._store.timestamps_raise(key, timestamps_us)

    async def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]:
        return self._store.timestamps_after(key, timestamp_us, limit)

    async def timestamps_drop(self, key: str, upto: int) -> int:
        return self._store.timestamps_drop(key, upto)

    async def timestamps_remove(self, key: str, names: Sequence[str]) -> int:
        return self._store.timestamps_remove(key, names)

    async def ping(self) -> None:
        self._store.ping()

    async def info(self) -> StoreInfo:
        return self._store.info()

    async def compact(self) -> None:
        self._store.compact()

    async def aclose(self) -> None:
        self._store.close()


def _position(text: str) -> tuple[int, int]:
    """A position of a stream, which sorts as numbers and not as text."""
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)
