"""What this process serves, told to the others for as long as it lives."""

import asyncio
from contextlib import suppress

import structlog

from models.errors import StoreError
from models.publishing.serving_processes import BEAT_S, Report, report_async, withdraw_async
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.metrics import Metrics

AGAIN_S = 0.5
"""pause before a report that the store did not take is repeated"""


class Heartbeat:
    """Reports in a task of its own from `start` to `aclose`: no opening of a version and no other wait delays it."""

    def __init__(self, store: AsyncStore, keys: Keys, name: str, metrics: Metrics) -> None:
        self._store, self._keys, self._name, self._metrics = store, keys, name, metrics
        self._said, self._stored = Report(""), Report("")
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to report."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="heartbeat")

    async def aclose(self) -> None:
        """Stops, and removes the report of this process."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(StoreError):  # the report expires by itself
            await withdraw_async(self._store, self._name, keys=self._keys)

    async def say(self, serves: str, opens: str = "", canary: str = "") -> None:
        """Reports another state at once. Raises StoreError; the state is then reported as soon as the store answers."""
        self._said = Report(serves, opens, canary)
        if self._said != self._stored:
            await self._report()

    async def _report(self) -> None:
        async with self._one_at_a_time:  # a report that was overtaken would hold until the next
            said = self._said
            await report_async(self._store, self._name, said, keys=self._keys)
            self._stored = said

    async def _run(self) -> None:
        while True:
            pause_s = BEAT_S
            try:
                await self._report()
            except StoreError:
                self._metrics.degraded.labels("process_not_reported").inc()
                pause_s = AGAIN_S
            except Exception as error:  # the task must survive, else this process counts as dead
                structlog.get_logger().error("process_not_reported", exc_info=error)
            await asyncio.sleep(pause_s)
