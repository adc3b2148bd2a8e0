"""What a request leaves to be written without making its caller wait: ranked lists, and who waits for candidates."""

import asyncio
import time
from contextlib import suppress

import structlog

from models.errors import StoreError
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.metrics import Metrics

PAUSE_S = 0.005
"""how long writes gather, so that one trip carries those of several requests"""
MOST_WAITING = 1000
"""ranked lists that wait for the store at most; beyond it new ones are dropped and counted"""


class CacheWriter:
    """One task that writes what requests leave; lives from `start` to `aclose`, which writes the rest.

    A list that cannot be written is dropped: it is a cache. Both are counted as degraded.
    """

    def __init__(self, store: AsyncStore, keys: Keys, metrics: Metrics, ranked_ttl_s: float) -> None:
        self._store = store
        self._keys = keys
        self._metrics = metrics
        self._ttl_s = ranked_ttl_s
        self._lists: dict[str, bytes] = {}
        self._waiting: set[str] = set()
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to write."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="write-behind")

    def keep(self, key: str, record: bytes) -> None:
        """Has a ranked list written; a later one under the same key takes its place."""
        if len(self._lists) >= MOST_WAITING:
            self._metrics.degraded.labels("list_not_kept").inc()
            return
        self._lists[key] = record
        self._some.set()

    def queue(self, user_id: str) -> None:
        """Has a user queued for a candidate block; one that waits already keeps its turn."""
        if len(self._waiting) >= MOST_WAITING:
            self._metrics.degraded.labels("refresh_not_queued").inc()
            return
        self._waiting.add(user_id)
        self._some.set()

    async def aclose(self) -> None:
        """Stops, and writes what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(PAUSE_S)
            self._some.clear()
            try:
                await self.flush()
            except Exception as error:  # the next write must find the task alive
                structlog.get_logger().error("write_behind_failed", exc_info=error)

    async def flush(self) -> None:
        """Writes what waits. What the store does not take is dropped, counted and logged."""
        lists, self._lists = self._lists, {}
        waiting, self._waiting = self._waiting, set()
        try:
            if waiting:
                members = [user_id.encode() for user_id in waiting]
                await self._store.queue_add(self._keys.refresh, members, time.time())
            if lists:
                await self._store.set_many(lists.items(), self._ttl_s)
        except StoreError as error:
            self._metrics.degraded.labels("write_behind").inc()
            structlog.get_logger().warning("not_written", lists=len(lists), queued=len(waiting), error=str(error))
