"""The store in the memory of one process: the test double, and the reference for what the servers answer."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from models.errors import StoreRefusedError
from models.store.decimals import read_decimal
from models.store.protocol import HORIZON_S, STREAM_START, StoreInfo, Written
from models.store.transaction import ONCE_FIELD_BYTES, RECENT_BYTES, Commit, Extend, Once, Outcome

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


class MemoryStore:
    """SyncStore without a server, for one thread. `clock` gives seconds; a test advances it to let keys expire."""

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

    def token_take(self, key: str, rate: float, burst: int) -> float:
        now = self._clock()
        stored = self.get(key)
        tokens, at = map(float, stored.split()) if stored else (float(burst), now)
        tokens = min(burst, tokens + (now - at) * rate)
        left = tokens - 1
        if left >= 0:
            self.set(key, f"{left} {now}".encode(), (burst - left) / rate + 1)
        return left

    def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        added = {member: due_s for member in members if member not in queue}
        self._write(key, "queue", queue | added)
        return len(added)

    def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        due = sorted((due_s, member) for member, due_s in queue.items() if due_s <= now_s)
        due += sorted((due_s, member) for member, due_s in queue.items() if due_s > now_s + max(HORIZON_S, 2 * lease_s))
        taken = [member for _, member in due[:limit]]
        self._write(key, "queue", queue | dict.fromkeys(taken, now_s + lease_s))
        return taken

    def queue_done(self, key: str, members: Sequence[bytes]) -> int:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        left = {member: due_s for member, due_s in queue.items() if member not in members}
        self._write(key, "queue", left)
        return len(queue) - len(left)

    def queue_length(self, key: str) -> int:
        return len(self._of_type(key, "queue", dict[bytes, float]()))

    def queue_oldest(self, key: str) -> tuple[bytes, float] | None:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        return min(queue.items(), key=lambda entry: (entry[1], entry[0]), default=None)

    def queue_members(self, key: str) -> list[bytes]:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        return sorted(queue, key=lambda member: (queue[member], member))

    def members_add(self, key: str, members: Sequence[bytes]) -> int:
        stored = self._of_type(key, "set", Members())
        self._write(key, "set", stored | {*members})
        return len({*members} - stored)

    def members_remove(self, key: str, members: Sequence[bytes]) -> int:
        stored = self._of_type(key, "set", Members())
        self._write(key, "set", stored - {*members})
        return len(stored & {*members})

    def members(self, key: str) -> frozenset[bytes]:
        return frozenset(self._of_type(key, "set", Members()))

    def members_scan(self, key: str) -> Iterator[bytes]:
        yield from self.members(key)

    def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        self._write(key, "record", self._of_type(key, "record", dict[str, bytes]()) | dict(fields))

    def field_raise(self, key: str, name: str, number: int) -> int:
        raised = max(read_decimal(self.fields(key).get(name, b"0")) or 0, number)
        self.fields_set(key, {name: b"%d" % raised})
        return raised

    def fields_delete(self, key: str, names: Sequence[str]) -> int:
        record = self._of_type(key, "record", dict[str, bytes]())
        left = {name: value for name, value in record.items() if name not in names}
        self._write(key, "record", left)
        return len(record) - len(left)

    def fields(self, key: str) -> dict[str, bytes]:
        return dict(self._of_type(key, "record", dict[str, bytes]()))

    def fields_get(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        record = self.fields(key)
        return [record.get(name) for name in names]

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        return [self._commit(commit) for commit in commits]

    def _commit(self, commit: Commit) -> Outcome:
        outcome = self._outcome(commit)
        if outcome is not Outcome.APPLIED:
            return outcome
        for once in commit.once:
            field, row = _row(once)
            self.fields_set(once.keys[0], {field: self.fields(once.keys[0]).get(field, b"") + row})
        for extend in commit.extends:
            value = self.get(extend.key)
            if not _is_recent(extend, value):
                self.set(extend.key, (extend.start if value is None else value) + extend.data)
        for key, upto, value in commit.replaces:
            self.set(key, value + (self.get(key) or b"")[upto:])
        for key, value, ttl_s in commit.writes:
            self.set(key, value, ttl_s)
        self.delete(commit.deletes)
        for key, member in commit.adds:
            self.members_add(key, [member])
        for key, member in commit.removes:
            self.members_remove(key, [member])
        for key, entry in commit.appends:
            self._append(key, entry)
        return Outcome.APPLIED

    def _outcome(self, commit: Commit) -> Outcome:
        """What becomes of a commit, before anything is written."""
        for key, prefix, length in commit.guards:
            value = self.get(key)
            if (value is None) != (prefix is None) or (prefix and not (value or b"").startswith(prefix)):
                return Outcome.CONFLICT
            if length is not None and len(value or b"") != length:
                return Outcome.CONFLICT
        if any(fence.number <= (read_decimal(self.get(fence.key) or b"") or -1) for fence in commit.fences):
            return Outcome.CONFLICT
        for once in commit.once:
            field, row = _row(once)
            rows = [self.fields(key).get(field, b"") for key in once.keys]
            if any(row in {stored[at : at + len(row)] for at in range(0, len(stored), len(row))} for stored in rows):
                return Outcome.REPEATED
        for extend in commit.extends:
            value = self.get(extend.key)
            if 0 < extend.most_bytes < len(value or b"") + len(extend.data) and not _is_recent(extend, value):
                return Outcome.FULL
        return Outcome.APPLIED

    def _append(self, key: str, entry: bytes) -> None:
        self._appended += 1
        position = time.time_ns() // 1_000_000, self._appended
        self._appended_s[position] = time.monotonic()
        self._write(key, "stream", [*self._of_type(key, "stream", Stream()), (position, entry)])

    def numbers_take(self, key: str, count: int, at_least: int) -> int:
        first = max((read_decimal(self.get(key) or b"") or 0) + 1, at_least)
        self.set(key, b"%d" % (first + count - 1))
        return first

    def number_raise(self, key: str, number: int) -> int:
        raised = max(read_decimal(self.get(key) or b"") or 0, number)
        self.set(key, b"%d" % raised)
        return raised

    def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes:
        before = self.get(head) or b""
        after = b"%020d:%b" % (int(before[:20] or 0) + 1, identity.encode())
        self.set(head, after)
        self._append(stream, b'{"epoch":"%b","after":"%b",%b' % (after, before, entry[1:]))
        return after

    def stream_offer(self, key: str, entries: Sequence[bytes], most: int, ttl_s: float) -> int:
        taken = entries[: max(0, most - self.stream_length(key))]
        for entry in taken:
            self._append(key, entry)
        if taken:
            self.expire_many([key], ttl_s)
        return len(taken)

    def lengths(self, keys: Sequence[str]) -> list[int]:
        return [len(self.get(key) or b"") for key in keys]

    def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        later = [(at, entry) for at, entry in self._of_type(key, "stream", Stream()) if at > _position(after)]
        return [(f"{at[0]}-{at[1]}", entry) for at, entry in later[: max(0, limit)]]

    def streams_wait(self, after: Mapping[str, str], wait_s: float) -> list[str]:
        deadline = time.monotonic() + wait_s
        while not (found := [key for key, position in after.items() if self.stream_read(key, position, 1)]):
            if time.monotonic() >= deadline:
                break
            time.sleep(0.01)
        return found

    def stream_ages_s(self, keys: Sequence[str]) -> list[float | None]:
        oldest = [self.stream_read(key, STREAM_START, 1) for key in keys]
        return [time.monotonic() - self._appended_s[_position(read[0][0])] if read else None for read in oldest]

    def stream_trim(self, key: str, upto: str) -> int:
        entries = self._of_type(key, "stream", Stream())
        return self._stream_write(key, [entry for entry in entries if entry[0] > _position(upto)])

    def stream_delete(self, key: str, positions: Sequence[str]) -> int:
        entries = self._of_type(key, "stream", Stream())
        deleted = {_position(position) for position in positions}
        return self._stream_write(key, [entry for entry in entries if entry[0] not in deleted])

    def _stream_write(self, key: str, left: Stream) -> int:
        dropped = self.stream_length(key) - len(left)
        self._write(key, "stream", left)
        return dropped

    def stream_length(self, key: str) -> int:
        return len(self._of_type(key, "stream", Stream()))

    def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None:
        stored = self._of_type(key, "timestamps", dict[str, int]())
        self._write(
            key, "timestamps", stored | {name: max(at, stored.get(name, at)) for name, at in timestamps_us.items()}
        )

    def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]:
        stored = self._of_type(key, "timestamps", dict[str, int]())
        later = sorted((at, name) for name, at in stored.items() if at > timestamp_us)
        return [(name, at) for at, name in later[: max(0, limit)]]

    def timestamps_drop(self, key: str, upto: int) -> int:
        stored = self._of_type(key, "timestamps", dict[str, int]())
        return self.timestamps_remove(key, [name for name, at in stored.items() if at <= upto])

    def timestamps_remove(self, key: str, names: Sequence[str]) -> int:
        stored = self._of_type(key, "timestamps", dict[str, int]())
        left = {name: at for name, at in stored.items() if name not in names}
        self._write(key, "timestamps", left)
        return len(stored) - len(left)

    def clock_us(self) -> int:
        return time.time_ns() // 1000

    def ping(self) -> None:
        return None

    def info(self) -> StoreInfo:
        alive = [stored for key in list(self._stored) if (stored := self._stored_value(key)) is not None]
        size = sum(len(stored.value) for stored in alive)
        return StoreInfo(size, None, "noeviction", append_only=False, keys_read=self._keys_read, keys=len(alive))

    def compact(self) -> None:
        return None

    def close(self) -> None:
        """Nothing to release: what was written stays with this object."""


class AsyncMemoryStore:
    """AsyncStore over the memory of a MemoryStore, so that both share their keys."""

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

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        return self._store.compare_and_set(key, expected, value)

    async def token_take(self, key: str, rate: float, burst: int) -> float:
        return self._store.token_take(key, rate, burst)

    async def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        return self._store.queue_add(key, members, due_s)

    async def members_add(self, key: str, members: Sequence[bytes]) -> int:
        return self._store.members_add(key, members)

    async def members_count(self, key: str) -> int:
        return len(self._store.members(key))

    async def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        self._store.fields_set(key, fields)

    async def field_raise(self, key: str, name: str, number: int) -> int:
        return self._store.field_raise(key, name, number)

    async def fields_delete(self, key: str, names: Sequence[str]) -> int:
        return self._store.fields_delete(key, names)

    async def fields(self, key: str) -> dict[str, bytes]:
        return self._store.fields(key)

    async def fields_get(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        return self._store.fields_get(key, names)

    async def durably(self, write: Callable[[], Awaitable[Written]], wait_s: float | None = None) -> Written:
        return await write()

    async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
        return self._store.commit(commits)

    async def numbers_take(self, key: str, count: int, at_least: int) -> int:
        return self._store.numbers_take(key, count, at_least)

    async def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes:
        return self._store.chain_append(head, stream, identity, entry)

    async def stream_offer(self, key: str, entries: Sequence[bytes], most: int, ttl_s: float) -> int:
        return self._store.stream_offer(key, entries, most, ttl_s)

    async def tail(self, key: str, start: int, prefix_bytes: int) -> tuple[bytes, bytes]:
        value = self._store.get(key) or b""
        return value[:prefix_bytes], value[start:]

    async def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        return self._store.stream_read(key, after, limit)

    async def stream_ages_s(self, keys: Sequence[str]) -> list[float | None]:
        return self._store.stream_ages_s(keys)

    async def queue_oldest(self, key: str) -> tuple[bytes, float] | None:
        return self._store.queue_oldest(key)

    async def clock_us(self) -> int:
        return self._store.clock_us()

    async def ping(self) -> None:
        self._store.ping()

    async def info(self) -> StoreInfo:
        return self._store.info()

    async def aclose(self) -> None:
        self._store.close()


def _is_recent(extend: Extend, value: bytes | None) -> bool:
    return extend.unless_recent and extend.data in (value or b"")[-RECENT_BYTES:]


def _position(text: str) -> tuple[int, int]:
    """A position of a stream, which sorts as numbers and not as text."""
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)


def _row(once: Once) -> tuple[str, bytes]:
    """The field of an identity, and what its value holds of it."""
    return once.identity[:ONCE_FIELD_BYTES].decode("latin-1"), once.identity[ONCE_FIELD_BYTES:]
