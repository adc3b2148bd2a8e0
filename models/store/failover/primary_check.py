"""Asks the address of a store for its server while the store is used."""

import asyncio
import threading
import time
from contextlib import suppress

import redis
import redis.asyncio
import redis.exceptions as client
import structlog

from models.store.failover.primary import CHECK_S, QUESTION, NotPrimaryError, Primary

_DIAL_S = 2.0
"""how long the connection of one check may take"""


class PrimaryCheck:
    """For a blocking client: asks at most every CHECK_S, in the thread that uses the store."""

    def __init__(self, store: redis.Redis, primary: Primary) -> None:
        self._store = store
        self._primary = primary
        self._checked_at = time.monotonic()
        self._lock = threading.Lock()

    def run_if_due(self) -> None:
        """Asks if CHECK_S have passed. Raises a client error if the server is a replica or does not answer in time."""
        if time.monotonic() - self._checked_at < CHECK_S or not self._lock.acquire(blocking=False):
            return
        try:
            pool = self._store.connection_pool
            connection = pool.connection_class(**pool.connection_kwargs)
            try:
                connection.connect()
            finally:
                connection.disconnect()
        except (NotPrimaryError, client.TimeoutError):
            raise
        except (client.RedisError, OSError):  # no further connection can be made: ask over one that exists
            self._ask()
        finally:
            self._checked_at = time.monotonic()
            self._lock.release()

    def _ask(self) -> None:
        with suppress(client.ResponseError):  # the store does not permit the question
            self._primary.take(self._store.execute_command(*QUESTION))  # type: ignore[no-untyped-call]


class AsyncPrimaryCheck:
    """For an awaited client: a task that asks every CHECK_S, from `start` to `aclose`."""

    def __init__(self, store: redis.asyncio.Redis, primary: Primary) -> None:
        self._store = store
        self._primary = primary
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts the task."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="primary-check")

    async def aclose(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        told = ""
        while True:
            await asyncio.sleep(CHECK_S)
            fault = await self._fault()
            if fault and fault != told:
                structlog.get_logger().error("store_not_primary", error=fault)
            told = fault

    async def _fault(self) -> str:
        """Why the server must not be used; empty if it may be, or if nothing answers: requests find that out."""
        pool = self._store.connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)
        try:
            async with asyncio.timeout(_DIAL_S):
                await connection.connect()  # type: ignore[no-untyped-call]
            return ""
        except NotPrimaryError as error:
            return str(error)
        except (client.RedisError, OSError):  # no further connection can be made: ask over one that exists
            return await self._ask()
        except Exception as error:  # the task must survive: the next round asks again
            return f"{type(error).__name__}: {error}"
        finally:
            await connection.disconnect(nowait=True)

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(_DIAL_S):
                self._primary.take(await self._store.execute_command(*QUESTION))  # type: ignore[no-untyped-call]
        except NotPrimaryError as error:
            return str(error)
        except (client.RedisError, OSError):
            pass  # the store does not answer, or does not permit the question
        return ""
