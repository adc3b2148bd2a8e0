"""Acknowledgements that outlive the primary: what they promise is on its disk and on those of replicas.

After its writes a request has a barrier written, a key of no meaning, and waits until that is on the disks (WAITAOF).
Replication keeps the order of writes, so all that was written before is there too, whichever connection it came over
and whether or not it had an effect: a repeated event may be one whose first answer was held back. Requests that wait
at the same time share one barrier.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Any

import redis.exceptions as client
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode

from models.errors import StoreRefusedError, StoreUnavailableError
from models.store.failover.primary import QUESTION, Primary

NOT_CONFIRMED = "The store does not confirm writes at the moment."
MARGIN_S = 0.5
"""for the exchanges around the wait"""
LEAST_PAUSE_MS, MOST_PAUSE_MS = 4, 128
"""how long the server waits before it is asked again: replicas that are asked say what is on their disk, and that they
received something a moment ago they say only then or after a second"""


class DurableWrites:
    """Holds answers back until `replicas` of the primary, or of each primary, have what was written on disk."""

    def __init__(
        self, store: Redis | RedisCluster, primary: Primary | None, key: str, *, replicas: int, wait_s: float
    ) -> None:
        """`key` names the barrier; `primary` is the server that the connections of a single store verify."""
        self._store, self._primary, self._key = store, primary, key
        self._replicas, self._wait_s = replicas, wait_s
        self._servers: Hashable = None
        """who confirmed the last barrier of a cluster"""
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def generation(self) -> Hashable:
        """Who would take a write now, for `confirm`. Client errors pass."""
        if self._servers is None and isinstance(self._store, RedisCluster):
            await self._barrier()
        return self._now()

    async def confirm(self, generation: Hashable) -> None:
        """Returns once everything that was written before the call is on the disks. Client errors pass.

        Raises StoreUnavailableError if that is not confirmed in time, or if other servers have taken over since
        `generation`: what was written in between may be lost.
        """
        await self._barrier()
        if self._primary is not None and not self._primary.is_identified:
            raise StoreRefusedError(
                f"PYMK_REDIS_REPLICAS needs a user who may ask the store for {' '.join(QUESTION)}: without it nobody"
                " notices that another server took over.",
                NOT_CONFIRMED,
            )
        if self._now() != generation:
            raise StoreUnavailableError("The primary changed before it confirmed a write.", NOT_CONFIRMED)

    def _now(self) -> Hashable:
        return self._servers if self._primary is None else self._primary.generation

    async def _barrier(self) -> None:
        """Waits for a barrier that is written after this call."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._in_turn(self._running), name="barrier")
            self._next.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # if nobody waits
        await asyncio.shield(self._next)

    async def _in_turn(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        async with asyncio.timeout(self._wait_s + MARGIN_S):
            if isinstance(self._store, RedisCluster):
                await self._confirmed_by_cluster(self._store)
            else:
                await self._confirmed_by_primary(self._store)

    async def _confirmed_by_primary(self, store: Redis) -> None:
        async with store.client() as one:
            await self._confirmed_over(one.execute_command, self._key)

    async def _confirmed_by_cluster(self, store: RedisCluster) -> None:
        await store.initialize()
        steps = [self._confirmed_by_node(store, node) for node in store.get_primaries()]
        confirmed = await asyncio.gather(*steps, return_exceptions=True)
        faults = [one for one in confirmed if isinstance(one, BaseException)]
        if faults:
            # a node may have lost its slots, or be away: what the client knows of the cluster is out of date
            with suppress(client.RedisError, client.RedisClusterException, OSError):
                await store.nodes_manager.initialize()
            if isinstance(faults[0], client.MovedError):
                raise StoreUnavailableError("Slots of the cluster moved before a write was confirmed.", NOT_CONFIRMED)
            raise faults[0]
        self._servers = frozenset(confirmed)

    async def _confirmed_by_node(self, store: RedisCluster, node: ClusterNode) -> str:
        """The identity of a node that confirmed a barrier in a slot of its own; empty if it has none, nor writes."""
        keys = (f"{self._key}:{{{number}}}" for number in range(1 << 14))
        key = next((key for key in keys if store.get_node_from_key(key) is node), None)
        if key is None:
            return ""
        connection = node.acquire_connection()

        async def ask(*command: str | bytes | int) -> Any:
            await connection.send_packed_command(connection.pack_command(*command))
            return await node.parse_response(connection, str(command[0]))

        try:
            await node.disconnect_if_needed(connection)
            await self._confirmed_over(ask, key)
            facts = await ask(*QUESTION)
            return f"{facts['run_id']} {facts['master_replid']}"
        except BaseException:
            await connection.disconnect(nowait=True)  # an answer may be on its way
            raise
        finally:
            node.release(connection)

    async def _confirmed_over(self, ask: Callable[..., Awaitable[Any]], key: str) -> None:
        """Writes a barrier over one connection, and returns when it is on the disks."""
        loop = asyncio.get_running_loop()
        until, pause_ms = loop.time() + self._wait_s, LEAST_PAUSE_MS
        await ask("SET", key, b"")
        while True:
            local, replicas = await ask("WAITAOF", 1, self._replicas, pause_ms)
            if local and replicas >= self._replicas:
                return
            if loop.time() >= until:
                raise StoreUnavailableError(
                    f"Of {self._replicas} replicas {replicas} confirmed in {self._wait_s:g} s that a write is on their"
                    f" disk{'' if local else ', and the primary did not'}.",
                    NOT_CONFIRMED,
                )
            pause_ms = min(2 * pause_ms, MOST_PAUSE_MS)
