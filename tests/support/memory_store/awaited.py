"""AsyncStore over the memory of a SyncStore."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from models.store.protocol import StoreInfo, Written
from models.store.transaction import Commit, Outcome
from tests.support.memory_store.blocking import MemoryStore


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
