"""The way to a store: the one that PYMK_REDIS_URL names, else the embedded one of the home.

A server elsewhere need not answer while it is opened: the first operation says what is wrong. The embedded store is
started and waited for. Closing a store releases all that opening it took, in reverse.
"""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import UsageError
from models.settings import Settings
from models.store.embedded.client import EmbeddedServer, Progress
from models.store.error_mapping import CLIENT_ERRORS, StoreAddress
from models.store.pipelined_reads import pipelined_reads_to
from models.store.protocol import AsyncStore, SyncStore
from models.store.redis_async import AsyncServerStore
from models.store.redis_sync import ServerStore

COMMAND_TIMEOUT_FACTOR = 100
"""how many times longer than a request a command waits for the store"""
WORD_FROM_SUPERVISOR_S = 5.0
"""how long a command whose call failed waits to be told why the server died; on a busy host that takes its time"""


def open_sync(settings: Settings, progress: Progress | None = None) -> SyncStore:
    """The store for the night, the commands and the worker, who wait a hundred times `redis_timeout_ms`.

    `progress` is told, as a sentence, what opening waits for.
    Raises StoreUnavailableError where the embedded store does not start, UsageError where the address is wrong.
    """
    timeout_s = COMMAND_TIMEOUT_FACTOR * settings.redis_timeout_ms / 1000
    options = _options(settings)
    options |= {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    opened: ExitStack[None] = ExitStack()
    with opened:
        client: redis.Redis | redis.RedisCluster
        if settings.redis_url is None:
            embedded = EmbeddedServer(settings.home, settings.store_memory_mb, progress)
            opened.callback(embedded.close)
            place = StoreAddress(_embedded_name(embedded), lambda: embedded.trouble(WORD_FROM_SUPERVISOR_S))
            options |= {"connection_class": redis.UnixDomainSocketConnection, "path": embedded.socket_path}
            pool = redis.BlockingConnectionPool(timeout=timeout_s, **options)  # type: ignore[no-untyped-call]
            client = redis.Redis.from_pool(pool)
        else:
            place = StoreAddress(f"The store at {_without_password(settings.redis_url)}")
            try:
                if settings.redis_cluster:
                    client = redis.RedisCluster.from_url(settings.redis_url, **options)
                else:
                    pool = redis.BlockingConnectionPool.from_url(settings.redis_url, timeout=timeout_s, **options)
                    client = redis.Redis.from_pool(pool)
            except CLIENT_ERRORS as error:  # a cluster is asked for its nodes at once
                raise place.failure(error) from error
        opened.callback(client.close)
        return ServerStore(client, place, opened.pop_all())


async def open_async(settings: Settings, progress: Progress | None = None) -> AsyncStore:
    """The store for the service, bound to the running loop; every exchange ends within `redis_timeout_ms`.

    Raises StoreUnavailableError where the embedded store does not start, UsageError where the address is wrong.
    """
    # the deadline around every exchange bounds all waits at once, so that those of the library would only cost time
    options = _options(settings)
    options |= {"socket_timeout": None, "socket_connect_timeout": None}
    opened: AsyncExitStack[None] = AsyncExitStack()
    async with opened:
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster
        if settings.redis_url is None:
            embedded = await asyncio.to_thread(EmbeddedServer, settings.home, settings.store_memory_mb, progress)
            opened.push_async_callback(asyncio.to_thread, embedded.close)
            place = StoreAddress(_embedded_name(embedded), embedded.trouble)
            options |= {"connection_class": redis.asyncio.UnixDomainSocketConnection, "path": embedded.socket_path}
            client = redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(**options))
        else:
            place = StoreAddress(f"The store at {_without_password(settings.redis_url)}")
            if settings.redis_cluster:
                # a redirection moves its slot; reading all slots anew after five would close connections in use
                client = redis.asyncio.RedisCluster.from_url(settings.redis_url, reinitialize_steps=0, **options)
                # the client itself closes its connections only if the last exchange went well
                opened.push_async_callback(client.nodes_manager.aclose, "startup_nodes")
                opened.push_async_callback(client.nodes_manager.aclose)
            else:
                pool = redis.asyncio.ConnectionPool.from_url(settings.redis_url, **options)
                client = redis.asyncio.Redis.from_pool(pool)
        opened.push_async_callback(client.aclose)
        timeout_s, lane = settings.redis_timeout_ms / 1000, None
        if isinstance(client, redis.asyncio.Redis):
            pool = client.connection_pool
            lane = pipelined_reads_to(pool.connection_class, pool.connection_kwargs, timeout_s)
        return AsyncServerStore(
            client,
            place,
            opened.pop_all(),
            timeout_s=timeout_s,
            connections=settings.redis_connections,
            lane=lane,
        )


def _options(settings: Settings) -> dict[str, Any]:
    """What every client is made with, once the address has been checked."""
    if settings.redis_url is not None:
        schemes = ("redis", "rediss") if settings.redis_cluster else ("redis", "rediss", "unix")
        try:
            parts = urlsplit(settings.redis_url)
            known = parts.scheme in schemes and (parts.port is None or parts.port > 0)
        except ValueError:
            known = False
        if not known:
            forms = "redis://HOST:PORT or rediss://HOST:PORT"
            raise UsageError(f"PYMK_REDIS_URL must be {forms}{'' if settings.redis_cluster else ' or unix:///PATH'}.")
    elif settings.redis_cluster:
        raise UsageError("PYMK_REDIS_CLUSTER=true needs PYMK_REDIS_URL, the address of one node of the cluster.")
    return {
        "max_connections": settings.redis_connections,
        # the default is ten retries with growing pauses: seconds against a server that hangs
        "retry": Retry(NoBackoff(), 0),
        # RESP2, and no word about the library, connect without a single exchange
        "protocol": 2,
        "driver_info": None,
        "decode_responses": False,
    }


def _embedded_name(embedded: EmbeddedServer) -> str:
    return f"The embedded store in {embedded.path}"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
