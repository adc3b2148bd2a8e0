"""AsyncStore over a Redis or Valkey server, or over a cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any, TypeVar

from redis.asyncio import Redis, RedisCluster

from models.errors import StoreError, StoreRefusedError, StoreUnavailableError
from models.store import redis_commands
from models.store.deadline import Deadline, longest_wait_s, waiting_up_to
from models.store.error_mapping import CLIENT_ERRORS, DEMOTED, StoreAddress
from models.store.failover.durable_writes import DurableWrites
from models.store.failover.primary import Primary
from models.store.pipelined_reads import PipelinedReads, PipelineError
from models.store.protocol import StoreInfo
from models.store.redis_commands import Command
from models.store.transaction import Commit, Outcome

Written = TypeVar("Written")
Step = TypeVar("Step")

MOST_PIPELINED_PARTS = 16
"""the longest command that is sent over the pipelined connection: a large answer would delay the others"""


class Slots(AbstractAsyncContextManager[None]):
    """A slot for one call of a client, until the store is closed: a call that comes later, or waits then, would have
    the client open a connection that nobody closes.

    First come, first served: the library's own wait for a connection lets later calls overtake earlier ones, and a
    cluster's pools raise if they are exhausted. `prepare` is awaited with each slot.
    """

    def __init__(
        self, connections: int, address: StoreAddress, prepare: Callable[[], Awaitable[object]] | None
    ) -> None:
        self._free = asyncio.Semaphore(connections)
        self._address, self._prepare = address, prepare
        self._is_closed = False
        self._running = 0
        self._idle = asyncio.Event()

    async def __aenter__(self) -> None:
        self._check()
        await self._free.acquire()
        self._running += 1
        try:
            self._check()
            if self._prepare is not None:
                await self._prepare()
        except BaseException:
            self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        self._running -= 1
        if self._is_closed and not self._running:
            self._idle.set()
        self._free.release()

    def _check(self) -> None:
        if self._is_closed:
            raise StoreUnavailableError(f"{self._address.name} was closed by this process.")

    async def close(self, wait_s: float) -> None:
        """Lets no further call begin, and waits so long for those that run."""
        self._is_closed = True
        if self._running:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._idle.wait()


class AsyncServerStore:
    """AsyncStore over redis-py."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        address: StoreAddress,
        resources: AsyncExitStack,
        *,
        timeout_s: float,
        connections: int,
        pipelined: PipelinedReads | None = None,
        primary: Primary | None = None,
        durable: DurableWrites | None = None,
    ) -> None:
        """`aclose` releases `resources`, the client among them.

        `timeout_s` bounds every exchange as a whole: the wait for a connection, connecting, sending and reading,
        without the time in which the loop was busy (see Deadline). Within `durably` exchanges may take longer.
        `connections` is the most that the client opens; further calls wait, and their wait counts.
        `pipelined` reads a few values at a time; without it the client reads them.
        `primary` is the server that the connections verify. `durable` holds acknowledgements back; without it a write
        is acknowledged as soon as the primary answers.
        """
        self._durable = durable
        self._primary = primary
        self._pipelined = pipelined
        self._client = client
        self._cluster = isinstance(client, RedisCluster)
        self._address = address
        self._resources = resources
        self._timeout_s = timeout_s
        # calls made before a cluster's client knows the nodes go to any of them, and their redirections then close
        # connections that are in use
        self._slots = Slots(connections, address, client.initialize if isinstance(client, RedisCluster) else None)

    def _failure(self, error: Exception) -> StoreError:
        if self._primary is not None and isinstance(error, DEMOTED):
            self._primary.lost()
        return self._address.failure(error)

    async def _execute(self, *command: str | bytes | int | float, wait_s: float | None = None) -> Any:
        try:
            async with Deadline(wait_s or longest_wait_s() or self._timeout_s), self._slots:
                return await self._client.execute_command(*command)
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    async def _execute_all(
        self, batch: Sequence[Command], *, atomic: bool = False, wait_s: float | None = None
    ) -> list[Any]:
        """The answers to several commands that are sent together."""
        if len(batch) == 1:
            return [await self._execute(*batch[0], wait_s=wait_s)]
        try:
            async with (
                Deadline(wait_s or longest_wait_s() or self._timeout_s),
                self._slots,
                self._client.pipeline(transaction=atomic) as pipeline,
            ):
                for command in batch:
                    pipeline.execute_command(*command)
                return list(await pipeline.execute())
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._read("GET", key)
        return value

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        if not self._cluster:
            values: list[bytes | None] = await self._read("MGET", *keys)
            return values
        return await self._execute_all(redis_commands.read(keys, self._cluster))

    async def _read(self, *command: str) -> Any:
        """The answer to a command that only reads. All pipelined reads have the same deadline."""
        if self._pipelined is not None and len(command) <= MOST_PIPELINED_PARTS and longest_wait_s() is None:
            try:
                return await self._pipelined.answer(*command)
            except TimeoutError as error:
                raise self._failure(error) from error
            except PipelineError:
                pass  # the client reconnects, or reports why it cannot
        return await self._execute(*command)

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        await self._execute(*redis_commands.write(key, value, ttl_s))

    async def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        for batch in redis_commands.pair_batches(pairs):
            await self._execute_all(redis_commands.write_all(batch, ttl_s, self._cluster), atomic=not self._cluster)

    async def delete(self, keys: Iterable[str]) -> int:
        return await self._sum_over("UNLINK", keys)

    async def _sum_over(self, verb: str, keys: Iterable[str]) -> int:
        total = 0
        for batch in redis_commands.key_batches(keys):
            total += sum(await self._execute_all(redis_commands.on_each(verb, batch, self._cluster)))
        return total

    async def token_take(self, key: str, rate: float, burst: int) -> float:
        return float(await self._execute(*redis_commands.token_take(key, rate, burst)))

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        return bool(await self._execute(*redis_commands.compare_and_set(key, expected, value)))

    async def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        return int(await self._execute(*redis_commands.queue_add(key, members, due_s))) if members else 0

    async def members_add(self, key: str, members: Sequence[bytes]) -> int:
        return int(await self._execute("SADD", key, *members)) if members else 0

    async def members_count(self, key: str) -> int:
        return int(await self._execute("SCARD", key))

    async def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        if fields:
            await self._execute(*redis_commands.fields_set(key, fields))

    async def field_raise(self, key: str, name: str, number: int) -> int:
        return int(await self._execute(*redis_commands.field_raise(key, name, number)))

    async def fields_delete(self, key: str, names: Sequence[str]) -> int:
        return int(await self._execute("HDEL", key, *names)) if names else 0

    async def fields(self, key: str) -> dict[str, bytes]:
        record = await self._execute("HGETALL", key)
        return {name.decode(): value for name, value in record.items()}

    async def fields_get(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        return list(await self._execute("HMGET", key, *names)) if names else []

    async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
        outcomes = [Outcome.CONFLICT] * len(commits)
        batches = list(redis_commands.commit_batches(commits, self._cluster))
        if not batches:
            return []
        answers = await self._execute_all([command for _, command in batches], wait_s=wait_s)
        for (places, _), answer in zip(batches, answers, strict=True):
            for place, outcome in zip(places, answer, strict=True):
                outcomes[place] = Outcome(outcome)
        return outcomes

    async def durably(self, write: Callable[[], Awaitable[Written]], wait_s: float | None = None) -> Written:
        with waiting_up_to(wait_s):
            if self._durable is None:
                return await write()
            generation = await self._confirmed(self._durable.generation())
            written = await write()
            await self._confirmed(self._durable.confirm(generation))
            return written

    async def _confirmed(self, step: Awaitable[Step]) -> Step:
        try:
            return await step
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    async def numbers_take(self, key: str, count: int, at_least: int) -> int:
        return int(await self._execute(*redis_commands.numbers_take(key, count, at_least)))

    async def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes:
        return bytes(await self._execute(*redis_commands.chain_append(head, stream, identity, entry)))

    async def stream_offer(self, key: str, entries: Sequence[bytes], most: int, ttl_s: float) -> int:
        return int(await self._execute(*redis_commands.stream_offer(key, entries, most, ttl_s))) if entries else 0

    async def tail(self, key: str, start: int, prefix_bytes: int) -> tuple[bytes, bytes]:
        prefix, rest = await self._read(*redis_commands.tail(key, start, prefix_bytes))
        return bytes(prefix), bytes(rest)

    async def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        return (
            redis_commands.stream_entries(await self._execute(*redis_commands.stream_read(key, after, limit)))
            if limit > 0
            else []
        )

    async def stream_ages_s(self, keys: Sequence[str]) -> list[float | None]:
        answers = await self._execute_all([redis_commands.stream_first(key) for key in keys]) if keys else []
        return redis_commands.stream_ages_s(answers, await self._time())

    async def queue_oldest(self, key: str) -> tuple[bytes, float] | None:
        return redis_commands.member_and_score(await self._execute(*redis_commands.queue_oldest(key)))

    async def clock_us(self) -> int:
        return redis_commands.clock_us(await self._time())

    async def _time(self) -> Any:
        try:
            async with Deadline(self._timeout_s), self._slots:
                if isinstance(self._client, RedisCluster):
                    node = self._client.get_random_node()
                    return await self._client.execute_command("TIME", target_nodes=node)
                return await self._client.execute_command("TIME")  # type: ignore[no-untyped-call]
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    async def ping(self) -> None:
        try:
            await self._execute("PING")
        except StoreRefusedError as error:
            if not str(error.__cause__).startswith("MISCONF"):  # it cannot write, which `info` says; it answers reads
                raise

    async def info(self) -> StoreInfo:
        try:
            async with Deadline(self._timeout_s), self._slots:
                if isinstance(self._client, RedisCluster):
                    return redis_commands.store_info(await self._client.info(target_nodes=RedisCluster.PRIMARIES))
                return redis_commands.store_info(await self._client.info())
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    async def aclose(self) -> None:
        if self._pipelined is not None:
            self._pipelined.close()
        await self._slots.close(self._timeout_s)
        await self._resources.aclose()
