"""A task that writes for all requests of a process, behind their answers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog


class WriteBehind:
    """Calls `flush` a pause after something was gathered; lives from `start` to `aclose`, which calls it once more.

    The pause lets one trip to the store carry what several requests gathered.
    """

    def __init__(
        self, name: str, flush: Callable[[], Awaitable[bool]], *, pause_s: float, again_s: float = 0.0
    ) -> None:
        """`flush` writes what was gathered and returns whether the store answered; if not, `again_s` pass as well."""
        self._name, self._flush = name, flush
        self._pause_s, self._again_s = pause_s, again_s
        self._gathered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts the task."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    def gathered(self) -> None:
        """Says that there is something to write."""
        self._gathered.set()

    async def aclose(self) -> None:
        """Stops the task, and writes what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._flush()

    async def _run(self) -> None:
        while True:
            await self._gathered.wait()
            await asyncio.sleep(self._pause_s)
            self._gathered.clear()
            try:
                if not await self._flush():
                    await asyncio.sleep(self._again_s)
            except Exception as error:  # the task must survive for the next write
                structlog.get_logger().error("write_behind_failed", task=self._name, exc_info=error)
