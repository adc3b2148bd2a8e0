"""The awaited face of a Redis or Valkey server, or of a cluster."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from redis.asyncio import Redis, RedisCluster

from models.store import redis_commands
from models.store.deadline import Deadline
from models.store.error_mapping import CLIENT_ERRORS, StoreAddress
from models.store.pipelined_reads import PipelinedReads, PipelineError
from models.store.protocol import StoreInfo
from models.store.redis_commands import Command
from models.store.transaction import Commit

FEW = 16
"""parts of a command that is sent over the lane, at most: a large answer would keep others waiting"""


class ClusterSlots(AbstractAsyncContextManager[None]):
    """What a caller enters before it uses a cluster's client.

    The client's pools raise when they are exhausted, where a single server's lets callers wait; and calls made before
    it knows the nodes go to any of them, whose redirections then close connections that others use.
    """

    def __init__(self, client: RedisCluster, connections: int) -> None:
        self._client = client
        self._free = asyncio.Semaphore(connections)

    async def __aenter__(self) -> None:
        await self._free.acquire()
        try:
            await self._client.initialize()
        except BaseException:
            self._free.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


class AsyncServerStore:
    """AsyncStore over redis-py; the operations' meaning stands in SyncStore."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        place: StoreAddress,
        resources: AsyncExitStack,
        *,
        timeout_s: float,
        connections: int,
        lane: PipelinedReads | None = None,
    ) -> None:
        """`resources` holds what `aclose` releases, the client included.

        `timeout_s` bounds every exchange as a whole: the wait for a connection, connecting, sending and reading, but
        for what the loop itself was busy (see Patience).
        `connections` is what the client opens at most; who comes later waits, as part of that time.
        `lane` is where a few values are read; without one the client reads them.
        """
        self._lane = lane
        self._client = client
        self._cluster = isinstance(client, RedisCluster)
        self._place = place
        self._resources = resources
        self._timeout_s = timeout_s
        # whoever comes first is served first: the library's own waiting for a connection lets later ones pass earlier
        self._slots: AbstractAsyncContextManager[None] = asyncio.Semaphore(connections)
        if isinstance(client, RedisCluster):
            self._slots = ClusterSlots(client, connections)

    async def _one(self, *command: str | bytes | int | float) -> Any:
        try:
            async with Deadline(self._timeout_s), self._slots:
                return await self._client.execute_command(*command)
        except CLIENT_ERRORS as error:
            raise self._place.failure(error) from error

    async def _all(self, batch: Sequence[Command], *, atomic: bool = False) -> list[Any]:
        """The answers to several commands, sent together."""
        if len(batch) == 1:
            return [await self._one(*batch[0])]
        try:
            async with (
                Deadline(self._timeout_s),
                self._slots,
                self._client.pipeline(transaction=atomic) as pipeline,
            ):
                for command in batch:
                    pipeline.execute_command(*command)
                return list(await pipeline.execute())
        except CLIENT_ERRORS as error:
            raise self._place.failure(error) from error

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._read("GET", key)
        return value

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        if not self._cluster:
            values: list[bytes | None] = await self._read("MGET", *keys)
            return values
        return await self._all(redis_commands.read(keys, self._cluster))

    async def _read(self, *command: str) -> Any:
        """The answer to a command that changes nothing."""
        if self._lane is not None and len(command) <= FEW:
            try:
                return await self._lane.answer(*command)
            except TimeoutError as error:
                raise self._place.failure(error) from error
            except PipelineError:
                pass  # the client does better, or finds out why nobody can
        return await self._one(*command)

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        await self._one(*redis_commands.write(key, value, ttl_s))

    async def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        for batch in redis_commands.pair_batches(pairs):
            await self._all(redis_commands.write_all(batch, ttl_s, self._cluster), atomic=not self._cluster)

    async def delete(self, keys: Iterable[str]) -> int:
        return await self._sum_over("UNLINK", keys)

    async def count(self, keys: Iterable[str]) -> int:
        return await self._sum_over("EXISTS", keys)

    async def _sum_over(self, verb: str, keys: Iterable[str]) -> int:
        total = 0
        for batch in redis_commands.key_batches(keys):
            total += sum(await self._all(redis_commands.on_each(verb, batch, self._cluster)))
        return total

    async def expire_many(self, keys: Iterable[str], ttl_s: float | None) -> int:
        total = 0
        for batch in redis_commands.key_batches(keys):
            total += sum(map(int, await self._all([redis_commands.expire(key, ttl_s) for key in batch])))
        return total

    async def ttl_s(self, key: str) -> float | None:
        return redis_commands.seconds(await self._one("PTTL", key))

    async def scan(self, prefix: str) -> AsyncIterator[str]:
        keys = self._client.scan_iter(match=redis_commands.pattern(prefix), count=redis_commands.BATCH_KEYS)
        while True:
            try:
                async with Deadline(self._timeout_s), self._slots:
                    key = await anext(keys)
            except StopAsyncIteration:
                return
            except CLIENT_ERRORS as error:
                raise self._place.failure(error) from error
            yield key.decode()

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        return bool(await self._one(*redis_commands.compare_and_set(key, expected, value)))

    async def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        return int(await self._one(*redis_commands.queue_add(key, members, due_s))) if members else 0

    async def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]:
        return list(await self._one(*redis_commands.queue_take(key, now_s, lease_s, limit)))

    async def queue_done(self, key: str, members: Sequence[bytes]) -> int:
        return int(await self._one("ZREM", key, *members)) if members else 0

    async def queue_length(self, key: str) -> int:
        return int(await self._one("ZCARD", key))

    async def queue_members(self, key: str) -> list[bytes]:
        return list(await self._one("ZRANGE", key, 0, -1))

    async def list_push(self, key: str, value: bytes, keep: int) -> None:
        await self._all(redis_commands.list_push(key, value, keep))

    async def list_read(self, key: str, limit: int) -> list[bytes]:
        return list(await self._one("LRANGE", key, 0, limit - 1)) if limit > 0 else []

    async def list_remove(self, key: str, value: bytes) -> bool:
        return bool(await self._one("LREM", key, 1, value))

    async def members_add(self, key: str, members: Sequence[bytes]) -> int:
        return int(await self._one("SADD", key, *members)) if members else 0

    async def members_remove(self, key: str, members: Sequence[bytes]) -> int:
        return int(await self._one("SREM", key, *members)) if members else 0

    async def members(self, key: str) -> frozenset[bytes]:
        return frozenset(await self._one("SMEMBERS", key))

    async def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        if fields:
            await self._one(*redis_commands.fields_set(key, fields))

    async def fields_delete(self, key: str, names: Sequence[str]) -> int:
        return int(await self._one("HDEL", key, *names)) if names else 0

    async def fields(self, key: str) -> dict[str, bytes]:
        record = await self._one("HGETALL", key)
        return {name.decode(): value for name, value in record.items()}

    async def commit(self, commits: Sequence[Commit]) -> list[bool]:
        made: list[bool] = []
        for batch in redis_commands.commit_batches(commits):
            made += map(bool, await self._all(batch))
        return made

    async def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        return (
            redis_commands.stream_entries(await self._one(*redis_commands.stream_read(key, after, limit)))
            if limit > 0
            else []
        )

    async def stream_trim(self, key: str, upto: str) -> int:
        return int(await self._one(*redis_commands.stream_trim(key, upto)))

    async def stream_delete(self, key: str, positions: Sequence[str]) -> int:
        return int(await self._one("XDEL", key, *positions)) if positions else 0

    async def stream_length(self, key: str) -> int:
        return int(await self._one("XLEN", key))

    async def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None:
        if timestamps_us:
            await self._one(*redis_commands.timestamps_raise(key, timestamps_us))

    async def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]:
        return (
            redis_commands.stamped(await self._one(*redis_commands.timestamps_after(key, timestamp_us, limit)))
            if limit > 0
            else []
        )

    async def timestamps_drop(self, key: str, upto: int) -> int:
        return int(await self._one("ZREMRANGEBYSCORE", key, "-inf", upto))

    async def timestamps_remove(self, key: str, names: Sequence[str]) -> int:
        return int(await self._one("ZREM", key, *names)) if names else 0

    async def ping(self) -> None:
        await self._one("PING")

    async def info(self) -> StoreInfo:
        try:
            async with Deadline(self._timeout_s), self._slots:
                if isinstance(self._client, RedisCluster):
                    return redis_commands.store_info(await self._client.info(target_nodes=RedisCluster.PRIMARIES))
                return redis_commands.store_info(await self._client.info())
        except CLIENT_ERRORS as error:
            raise self._place.failure(error) from error

    async def compact(self) -> None:
        try:
            async with Deadline(self._timeout_s), self._slots:
                if isinstance(self._client, RedisCluster):
                    nodes = self._client.get_primaries()
                    await self._client.execute_command("BGREWRITEAOF", target_nodes=nodes)
                else:
                    await self._client.execute_command("BGREWRITEAOF")  # type: ignore[no-untyped-call]
        except CLIENT_ERRORS as error:
            raise self._place.failure(error) from error

    async def aclose(self) -> None:
        if self._lane is not None:
            self._lane.close()
        await self._resources.aclose()
