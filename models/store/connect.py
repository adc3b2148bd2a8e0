"""Opens a store: the server that PYMK_REDIS_URL names, else the embedded server of the home.

A server that PYMK_REDIS_URL names need not answer yet: the first operation raises the error. Opening the embedded store
starts its server and waits for it. Closing a store releases what opening it acquired, in reverse.
"""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

from models.errors import UsageError
from models.settings import Settings
from models.store.embedded.client import EmbeddedServer, Progress
from models.store.error_mapping import CLIENT_ERRORS, StoreAddress
from models.store.failover.durable_writes import DurableWrites
from models.store.failover.primary import Primary, verified
from models.store.failover.primary_check import AsyncPrimaryCheck
from models.store.failover.sentinel import (
    SCHEMES,
    Address,
    AsyncSentinels,
    Sentinels,
    SentinelUrl,
    address_of,
    named_by,
)
from models.store.keys import Keys
from models.store.pipelined_reads import pipelined_reads_to
from models.store.protocol import AsyncStore, SyncStore
from models.store.redis_async import AsyncServerStore
from models.store.redis_sync import ServerStore

COMMAND_TIMEOUT_FACTOR = 100
"""how many times longer than a request a command waits for the store"""
CLUSTER_PORT = 6379
"""of a node of a cluster that is named without one"""
DIAGNOSIS_WAIT_S = 5.0
"""how long a command whose call failed waits for the supervisor to report why the server died, on a busy host too"""


def open_sync(settings: Settings, progress: Progress | None = None) -> SyncStore:
    """The store for the night, the commands and the worker, which wait a hundred times `redis_timeout_ms`.

    `progress` receives a sentence that says what opening waits for.
    Raises StoreUnavailableError if the embedded store does not start, UsageError if the address is wrong.
    """
    timeout_s = COMMAND_TIMEOUT_FACTOR * settings.redis_timeout_ms / 1000
    options = _options(settings)
    options |= {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    opened: ExitStack[None] = ExitStack()
    primary: Primary | None = None
    with opened:
        client: redis.Redis | redis.RedisCluster
        if settings.redis_url is None:
            embedded = EmbeddedServer(
                settings.home, settings.store_memory_mb, progress, min_free_mb=settings.store_min_free_mb
            )
            opened.callback(embedded.close)
            address = StoreAddress(
                _embedded_name(embedded), lambda: embedded.diagnosis(DIAGNOSIS_WAIT_S), embedded.refusal
            )
            options |= {"connection_class": redis.UnixDomainSocketConnection, "path": embedded.socket_path}
            pool = redis.BlockingConnectionPool(timeout=timeout_s, **options)  # type: ignore[no-untyped-call]
            client = redis.Redis.from_pool(pool)
        else:
            address = StoreAddress(f"The store at {_without_password(settings.redis_url)}")
            try:
                if settings.redis_cluster:
                    url, others = _cluster_nodes(settings.redis_url)
                    nodes = [ClusterNode(host, port) for host, port in others]  # type: ignore[no-untyped-call]
                    client = redis.RedisCluster.from_url(url, startup_nodes=nodes, **options)
                else:
                    primary = Primary()
                    pool = _blocking_pool(settings.redis_url, timeout_s, options, opened)
                    pool.connection_class = verified(pool.connection_class, primary)
                    client = redis.Redis.from_pool(pool)
            except CLIENT_ERRORS as error:  # the client asks a cluster for its nodes at once
                raise address.failure(error) from error
        opened.callback(client.close)
        return ServerStore(client, address, opened.pop_all(), primary)


async def open_async(settings: Settings, progress: Progress | None = None) -> AsyncStore:
    """The store for the service, bound to the running loop; every exchange ends within `redis_timeout_ms`.

    Raises StoreUnavailableError if the embedded store does not start, UsageError if the address is wrong.
    """
    # the deadline around every exchange bounds all waits; the timeouts of the library would only cost time
    options = _options(settings)
    options |= {"socket_timeout": None, "socket_connect_timeout": None}
    opened: AsyncExitStack[None] = AsyncExitStack()
    async with opened:
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster
        primary: Primary | None = None
        sentinels: AsyncSentinels | None = None
        if settings.redis_url is None:
            embedded = await asyncio.to_thread(
                EmbeddedServer,
                settings.home,
                settings.store_memory_mb,
                progress,
                min_free_mb=settings.store_min_free_mb,
            )
            opened.push_async_callback(asyncio.to_thread, embedded.close)
            address = StoreAddress(_embedded_name(embedded), embedded.diagnosis, embedded.refusal)
            options |= {"connection_class": redis.asyncio.UnixDomainSocketConnection, "path": embedded.socket_path}
            client = redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(**options))
        else:
            address = StoreAddress(f"The store at {_without_password(settings.redis_url)}")
            if settings.redis_cluster:
                # each redirection moves its slot; re-reading all slots after five would close connections in use
                url, others = _cluster_nodes(settings.redis_url)
                options["startup_nodes"] = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in others]
                client = redis.asyncio.RedisCluster.from_url(url, reinitialize_steps=0, **options)
                # the client closes its connections only if the last exchange succeeded
                opened.push_async_callback(client.nodes_manager.aclose, "startup_nodes")
                opened.push_async_callback(client.nodes_manager.aclose)
            else:
                primary = Primary()
                pool, sentinels = _awaited_pool(settings.redis_url, options, opened)
                client = redis.asyncio.Redis.from_pool(pool)
        opened.push_async_callback(client.aclose)
        timeout_s, pipelined = settings.redis_timeout_ms / 1000, None
        if isinstance(client, redis.asyncio.Redis):
            pool = client.connection_pool
            pipelined = pipelined_reads_to(pool.connection_class, pool.connection_kwargs, timeout_s, primary, sentinels)
            if primary is not None:
                kind = pool.connection_class if sentinels is None else named_by(sentinels, pool.connection_class)
                pool.connection_class = verified(kind, primary)
                check = AsyncPrimaryCheck(client, primary)
                check.start()
                opened.push_async_callback(check.aclose)
        return AsyncServerStore(
            client,
            address,
            opened.pop_all(),
            timeout_s=timeout_s,
            connections=settings.redis_connections,
            pipelined=pipelined,
            primary=primary,
            durable=_durable_writes(settings, client, primary),
        )


def _blocking_pool(
    url: str, timeout_s: float, options: dict[str, Any], opened: "ExitStack[None]"
) -> redis.BlockingConnectionPool:
    """The pool of a single store's connections; what they need beside is closed with `opened`."""
    if not url.startswith(SCHEMES):
        return redis.BlockingConnectionPool.from_url(url, timeout=timeout_s, **options)
    parsed = SentinelUrl.parse(url)
    sentinels = Sentinels(parsed)
    opened.callback(sentinels.close)
    kind = named_by(sentinels, redis.SSLConnection if parsed.is_encrypted else redis.Connection)
    options = {**options, **parsed.store_options, "connection_class": kind}
    return redis.BlockingConnectionPool(timeout=timeout_s, **options)  # type: ignore[no-untyped-call]


def _awaited_pool(
    url: str, options: dict[str, Any], opened: "AsyncExitStack[None]"
) -> tuple[redis.asyncio.ConnectionPool, AsyncSentinels | None]:
    """As `_blocking_pool`, awaited, of connections that do not ask the Sentinels yet; and those."""
    if not url.startswith(SCHEMES):
        return redis.asyncio.ConnectionPool.from_url(url, **options), None
    parsed = SentinelUrl.parse(url)
    sentinels = AsyncSentinels(parsed)
    opened.push_async_callback(sentinels.aclose)
    kind = redis.asyncio.SSLConnection if parsed.is_encrypted else redis.asyncio.Connection
    return redis.asyncio.ConnectionPool(kind, **{**options, **parsed.store_options}), sentinels


def _durable_writes(
    settings: Settings, client: "redis.asyncio.Redis | redis.asyncio.RedisCluster", primary: Primary | None
) -> DurableWrites | None:
    """What holds acknowledgements back; None if no replica is waited for."""
    if not settings.redis_replicas:
        return None
    wait_s = settings.redis_replicas_wait_ms / 1000
    key = Keys(settings.namespace).barrier
    return DurableWrites(client, primary, key, replicas=settings.redis_replicas, wait_s=wait_s)


def check_address(settings: Settings) -> None:
    """Returns if the address of the store is well formed. Raises UsageError if not."""
    url = settings.redis_url
    if url is None:
        if settings.redis_cluster:
            raise UsageError("PYMK_REDIS_CLUSTER=true needs PYMK_REDIS_URL, the address of one node of the cluster.")
        if settings.redis_replicas:
            raise UsageError("PYMK_REDIS_REPLICAS needs PYMK_REDIS_URL: the embedded store has no replicas.")
        return
    if url.startswith(SCHEMES) and not settings.redis_cluster:
        try:
            SentinelUrl.parse(url)
        except ValueError as error:
            form = "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"
            raise UsageError(f"PYMK_REDIS_URL must be {form}: {error}.") from error
        return
    schemes = ("redis", "rediss") if settings.redis_cluster else ("redis", "rediss", "unix")
    try:
        if settings.redis_cluster:
            url, _ = _cluster_nodes(url)
        parts = urlsplit(url)
        valid = parts.scheme in schemes and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        forms = "redis://HOST:PORT or rediss://HOST:PORT"
        more = ", with more nodes of the cluster after commas"
        if not settings.redis_cluster:
            more = ", unix:///PATH or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"
        raise UsageError(f"PYMK_REDIS_URL must be {forms}{more}.")


def _cluster_nodes(url: str) -> tuple[str, list[Address]]:
    """The URL of the first node of redis://HOST:PORT,HOST:PORT, and the others. Raises ValueError."""
    parts = urlsplit(url)
    first, *others = parts.netloc.split(",")
    return parts._replace(netloc=first).geturl(), [address_of(one, CLUSTER_PORT) for one in others]


def _options(settings: Settings) -> dict[str, Any]:
    """The arguments of every client. Raises UsageError if the address is wrong."""
    check_address(settings)
    return {
        # one more for the wait for replicas, beside those whose writes it waits for
        "max_connections": settings.redis_connections + bool(settings.redis_replicas),
        # the default is ten retries with growing pauses: seconds against a server that hangs
        "retry": Retry(NoBackoff(), 0),
        # with RESP2 and without driver_info, connecting needs no exchange
        "protocol": 2,
        "driver_info": None,
        "decode_responses": False,
    }


def _embedded_name(embedded: EmbeddedServer) -> str:
    return f"The embedded store in {embedded.path}"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
