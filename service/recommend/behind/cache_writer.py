"""Writes after the response: ranked lists into the cache, and viewers without a block into the queue for candidates."""

import structlog

from models.errors import StoreError
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from models.system.clock import MICROSECONDS
from service.metrics import Metrics
from service.recommend.behind.write_behind import WriteBehind

PAUSE_S = 0.005
"""how long writes are gathered, so that one trip carries those of several requests"""
MOST_WAITING = 1000
"""ranked lists that wait for the store at most; further ones are dropped and counted"""


class CacheWriter:
    """Gathers what a task writes for all requests; lives from `start` to `aclose`, which writes the rest.

    What cannot be written is dropped and counted as degraded: a list is ranked again, a viewer queued again.
    """

    def __init__(self, store: AsyncStore, keys: Keys, metrics: Metrics, ranked_ttl_s: float) -> None:
        self._store = store
        self._keys = keys
        self._metrics = metrics
        self._ttl_s = ranked_ttl_s
        self._lists: dict[str, bytes] = {}
        self._viewers: set[str] = set()
        self._behind = WriteBehind("write-behind", self.flush, pause_s=PAUSE_S)

    def start(self) -> None:
        """Starts the task."""
        self._behind.start()

    def write(self, key: str, record: bytes) -> None:
        """Has a packed list written; a later one under the same key replaces it."""
        if len(self._lists) >= MOST_WAITING:
            self._metrics.degraded.labels("list_not_kept").inc()
            return
        self._lists[key] = record
        self._behind.gathered()

    def queue(self, user_id: str) -> None:
        """Has a user queued for a candidate block; one who is queued already keeps their place."""
        if len(self._viewers) >= MOST_WAITING:
            self._metrics.degraded.labels("refresh_not_queued").inc()
            return
        self._viewers.add(user_id)
        self._behind.gathered()

    async def aclose(self) -> None:
        """Stops the task, and writes what is left."""
        await self._behind.aclose()

    async def flush(self) -> bool:
        """Writes what was gathered; returns whether the store took it. What it does not take is dropped, counted and
        logged."""
        lists, self._lists = self._lists, {}
        viewers, self._viewers = self._viewers, set()
        try:
            if viewers:
                members = [user_id.encode() for user_id in viewers]
                now_s = await self._store.clock_us() / MICROSECONDS  # by which the worker takes them
                await self._store.queue_add(self._keys.refresh, members, now_s)
            if lists:
                await self._store.set_many(lists.items(), self._ttl_s)
        except StoreError as error:
            self._metrics.degraded.labels("write_behind").inc()
            structlog.get_logger().warning("not_written", lists=len(lists), queued=len(viewers), error=str(error))
            return False
        return True
