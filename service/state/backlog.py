"""What waits for the workers, for readiness and metrics: read every few seconds, and when somebody asks."""

import asyncio
from contextlib import suppress

import structlog

from models.candidate_refresh.backlog import Backlog, read_backlog_async
from models.errors import StoreError
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.metrics import Metrics

EVERY_S = 10.0
"""how old the values of the metrics may be"""


class BacklogWatch:
    """Sets the metrics in a task of its own from `start` to `aclose`."""

    def __init__(self, store: AsyncStore, keys: Keys, metrics: Metrics) -> None:
        self._store, self._keys, self._metrics = store, keys, metrics
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to read."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="backlog")

    async def aclose(self) -> None:
        """Stops reading."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def read(self) -> Backlog:
        """What waits. Raises StoreError."""
        backlog = await read_backlog_async(self._store, self._keys)
        self._metrics.waiting(backlog.live_workers, backlog.oldest_entry_s, backlog.oldest_refresh_s)
        return backlog

    async def _run(self) -> None:
        while True:
            try:
                await self.read()
            except StoreError:
                self._metrics.degraded.labels("backlog_not_read").inc()
            except Exception as error:  # the task must survive: the next round reads again
                structlog.get_logger().error("backlog_not_read", exc_info=error)
            await asyncio.sleep(EVERY_S)
