"""SyncStore over a Redis or Valkey server, or over a cluster."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from redis import Redis, RedisCluster

from models.errors import StoreError, StoreRefusedError
from models.store import redis_commands
from models.store.error_mapping import CLIENT_ERRORS, DEMOTED, StoreAddress
from models.store.failover.primary import Primary
from models.store.failover.primary_check import PrimaryCheck
from models.store.protocol import StoreInfo
from models.store.redis_commands import Command
from models.store.transaction import Commit, Outcome

POLL_S = 0.15
"""how often a cluster is asked for entries of streams that are waited for: they are on several nodes"""


class ServerStore:
    """SyncStore over redis-py."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        address: StoreAddress,
        resources: ExitStack,
        primary: Primary | None = None,
    ) -> None:
        """`close` releases `resources`, the client among them. `primary` is the server that its connections verify."""
        self._client = client
        self._primary = primary
        self._check = PrimaryCheck(client, primary) if isinstance(client, Redis) and primary is not None else None
        self._cluster = isinstance(client, RedisCluster)
        self._address = address
        self._resources = resources

    def _verify(self) -> None:
        if self._check is not None:
            self._check.run_if_due()

    def _failure(self, error: Exception) -> StoreError:
        if self._primary is not None and isinstance(error, DEMOTED):
            self._primary.lost()
        return self._address.failure(error)

    def _execute(self, *command: str | bytes | int | float) -> Any:
        try:
            self._verify()
            return self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    def _execute_all(self, batch: Sequence[Command], *, atomic: bool = False) -> list[Any]:
        """The answers to several commands that are sent together."""
        if len(batch) == 1:
            return [self._execute(*batch[0])]
        try:
            self._verify()
            with self._client.pipeline(transaction=atomic) as pipeline:
                for command in batch:
                    pipeline.execute_command(*command)
                return list(pipeline.execute())
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    def get(self, key: str) -> bytes | None:
        value: bytes | None = self._execute("GET", key)
        return value

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        answers = self._execute_all(redis_commands.read(keys, self._cluster))
        return answers if self._cluster else answers[0]

    def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        self._execute(*redis_commands.write(key, value, ttl_s))

    def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        for batch in redis_commands.pair_batches(pairs):
            self._execute_all(redis_commands.write_all(batch, ttl_s, self._cluster), atomic=not self._cluster)

    def delete(self, keys: Iterable[str]) -> int:
        return self._sum_over("UNLINK", keys)

    def count(self, keys: Iterable[str]) -> int:
        return self._sum_over("EXISTS", keys)

    def _sum_over(self, verb: str, keys: Iterable[str]) -> int:
        total = 0
        for batch in redis_commands.key_batches(keys):
            total += sum(self._execute_all(redis_commands.on_each(verb, batch, self._cluster)))
        return total

    def expire_many(self, keys: Iterable[str], ttl_s: float | None) -> int:
        total = 0
        for batch in redis_commands.key_batches(keys):
            total += sum(map(int, self._execute_all([redis_commands.expire(key, ttl_s) for key in batch])))
        return total

    def ttl_s(self, key: str) -> float | None:
        return redis_commands.seconds(self._execute("PTTL", key))

    def scan(self, prefix: str) -> Iterator[str]:
        try:
            self._verify()
            for key in self._client.scan_iter(match=redis_commands.pattern(prefix), count=redis_commands.BATCH_KEYS):
                yield key.decode()
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    def token_take(self, key: str, rate: float, burst: int) -> float:
        return float(self._execute(*redis_commands.token_take(key, rate, burst)))

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        return bool(self._execute(*redis_commands.compare_and_set(key, expected, value)))

    def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        return int(self._execute(*redis_commands.queue_add(key, members, due_s))) if members else 0

    def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]:
        return list(self._execute(*redis_commands.queue_take(key, now_s, lease_s, limit)))

    def queue_done(self, key: str, members: Sequence[bytes]) -> int:
        return int(self._execute("ZREM", key, *members)) if members else 0

    def queue_length(self, key: str) -> int:
        return int(self._execute("ZCARD", key))

    def queue_oldest(self, key: str) -> tuple[bytes, float] | None:
        return redis_commands.member_and_score(self._execute(*redis_commands.queue_oldest(key)))

    def queue_members(self, key: str) -> list[bytes]:
        return list(self._execute("ZRANGE", key, 0, -1))

    def members_add(self, key: str, members: Sequence[bytes]) -> int:
        return int(self._execute("SADD", key, *members)) if members else 0

    def members_remove(self, key: str, members: Sequence[bytes]) -> int:
        return int(self._execute("SREM", key, *members)) if members else 0

    def members(self, key: str) -> frozenset[bytes]:
        return frozenset(self._execute("SMEMBERS", key))

    def members_scan(self, key: str) -> Iterator[bytes]:
        try:
            yield from self._client.sscan_iter(key, count=redis_commands.BATCH_KEYS)
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        if fields:
            self._execute(*redis_commands.fields_set(key, fields))

    def field_raise(self, key: str, name: str, number: int) -> int:
        return int(self._execute(*redis_commands.field_raise(key, name, number)))

    def fields_delete(self, key: str, names: Sequence[str]) -> int:
        return int(self._execute("HDEL", key, *names)) if names else 0

    def fields(self, key: str) -> dict[str, bytes]:
        return {name.decode(): value for name, value in self._execute("HGETALL", key).items()}

    def fields_get(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        return list(self._execute("HMGET", key, *names)) if names else []

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        outcomes = [Outcome.CONFLICT] * len(commits)
        for places, command in redis_commands.commit_batches(commits, self._cluster):
            for place, outcome in zip(places, self._execute(*command), strict=True):
                outcomes[place] = Outcome(outcome)
        return outcomes

    def numbers_take(self, key: str, count: int, at_least: int) -> int:
        return int(self._execute(*redis_commands.numbers_take(key, count, at_least)))

    def number_raise(self, key: str, number: int) -> int:
        return int(self._execute(*redis_commands.number_raise(key, number)))

    def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes:
        return bytes(self._execute(*redis_commands.chain_append(head, stream, identity, entry)))

    def stream_offer(self, key: str, entries: Sequence[bytes], most: int, ttl_s: float) -> int:
        return int(self._execute(*redis_commands.stream_offer(key, entries, most, ttl_s))) if entries else 0

    def lengths(self, keys: Sequence[str]) -> list[int]:
        return list(map(int, self._execute_all([("STRLEN", key) for key in keys]))) if keys else []

    def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        return (
            redis_commands.stream_entries(self._execute(*redis_commands.stream_read(key, after, limit)))
            if limit > 0
            else []
        )

    def streams_wait(self, after: Mapping[str, str], wait_s: float) -> list[str]:
        if not after:
            return []
        if not isinstance(self._client, RedisCluster):
            timeout_s = self._client.connection_pool.connection_kwargs.get("socket_timeout")
            wait_s = wait_s if timeout_s is None else min(wait_s, timeout_s / 2)
            return [key.decode() for key, _ in self._execute(*redis_commands.streams_wait(after, wait_s)) or ()]
        deadline = time.monotonic() + wait_s
        while True:
            reads = [redis_commands.stream_read(key, position, 1) for key, position in after.items()]
            found = [key for key, entries in zip(after, self._execute_all(reads), strict=True) if entries]
            if found or (left := deadline - time.monotonic()) <= 0:
                return found
            time.sleep(min(POLL_S, left))

    def stream_ages_s(self, keys: Sequence[str]) -> list[float | None]:
        answers = self._execute_all([redis_commands.stream_first(key) for key in keys]) if keys else []
        return redis_commands.stream_ages_s(answers, self._time())

    def stream_trim(self, key: str, upto: str) -> int:
        return int(self._execute(*redis_commands.stream_trim(key, upto)))

    def stream_delete(self, key: str, positions: Sequence[str]) -> int:
        return int(self._execute("XDEL", key, *positions)) if positions else 0

    def stream_length(self, key: str) -> int:
        return int(self._execute("XLEN", key))

    def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None:
        if timestamps_us:
            self._execute(*redis_commands.timestamps_raise(key, timestamps_us))

    def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]:
        return (
            redis_commands.named_timestamps(self._execute(*redis_commands.timestamps_after(key, timestamp_us, limit)))
            if limit > 0
            else []
        )

    def timestamps_drop(self, key: str, upto: int) -> int:
        return int(self._execute("ZREMRANGEBYSCORE", key, "-inf", upto))

    def timestamps_remove(self, key: str, names: Sequence[str]) -> int:
        return int(self._execute("ZREM", key, *names)) if names else 0

    def clock_us(self) -> int:
        return redis_commands.clock_us(self._time())

    def _time(self) -> Any:
        try:
            self._verify()
            if isinstance(self._client, RedisCluster):
                node = self._client.get_random_node()  # type: ignore[no-untyped-call]
                return self._client.execute_command("TIME", target_nodes=node)  # type: ignore[no-untyped-call]
            return self._client.execute_command("TIME")  # type: ignore[no-untyped-call]
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    def ping(self) -> None:
        try:
            self._execute("PING")
        except StoreRefusedError as error:
            if not str(error.__cause__).startswith("MISCONF"):  # it cannot write, which `info` says; it answers reads
                raise

    def info(self) -> StoreInfo:
        try:
            self._verify()
            if isinstance(self._client, RedisCluster):
                return redis_commands.store_info(self._client.info(target_nodes=RedisCluster.PRIMARIES))
            return redis_commands.store_info(self._client.info())
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    def compact(self) -> None:
        try:
            self._verify()
            if isinstance(self._client, RedisCluster):
                nodes = self._client.get_primaries()  # type: ignore[no-untyped-call]
                self._client.execute_command("BGREWRITEAOF", target_nodes=nodes)  # type: ignore[no-untyped-call]
            else:
                self._client.execute_command("BGREWRITEAOF")  # type: ignore[no-untyped-call]
        except CLIENT_ERRORS as error:
            raise self._failure(error) from error

    def close(self) -> None:
        self._resources.close()
