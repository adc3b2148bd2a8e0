"""The version a process serves: opened aside, swapped in one step, the one before kept for stale lists."""

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress

import structlog

from models.errors import CorruptRecordError, PymkError, StoreError
from models.publishing import serving_processes
from models.publishing.pointer import ActivePointer, decode_pointer
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.metrics import Metrics
from service.state.served_version import ServedVersion, VersionOpener

POLL_S = 0.2
"""how often the pointer is read"""
REPORT_S = serving_processes.TTL_S / 5
"""how often a process says which version it serves, changes aside"""
RETRY_S = 5.0
"""how long a version that could not be opened is left alone"""


class ServedVersions:
    """Follows the pointer of the store: what is served, what was served before, and whether that is what it should be.

    Lives from `start` to `aclose`. A request takes `active` once and keeps it: a swap touches none in flight.
    """

    def __init__(
        self,
        store: AsyncStore,
        keys: Keys,
        opener: VersionOpener,
        metrics: Metrics,
        name: str,
        preload_users: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`preload_users` names the people whom the first request in a version looks up: they are before it is
        served."""
        self.active: ServedVersion | None = None
        self.previous: ServedVersion | None = None
        self.activated_at: str | None = None
        self.fault: str | None = None
        """why the version that should be served is not"""
        self._store = store
        self._keys = keys
        self._opener = opener
        self._metrics = metrics
        self._preload_users = preload_users
        self._process = keys.process(name)
        self._reported: str | None = None
        self._reported_at = 0.0
        self._refused: str | None = None
        self._retry_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes up the active version where there is one, and begins to follow."""
        await self._follow()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="served-version")

    async def aclose(self) -> None:
        """Stops following and takes the process off the list of the live ones."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(StoreError):  # the report expires by itself
            await self._store.delete([self._process])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._follow()
            except Exception as error:  # whatever it was, the next turn may do better; without turns nothing switches
                self._failed(error)

    async def _follow(self) -> None:
        """Reads the pointer, switches where it moved, reports. A failure leaves what is served as it is."""
        try:
            pointer = decode_pointer(await self._store.get(self._keys.active))
            if pointer is not None:
                await self._switch(pointer)
            await self._report()
        except StoreError:
            self._metrics.degraded.labels("pointer_not_read").inc()
        except CorruptRecordError as error:
            self._failed(error)

    async def _switch(self, pointer: ActivePointer) -> None:
        self.activated_at = pointer.activated_at.isoformat()
        if self.active is not None and self.active.version == pointer.version:
            self.fault = None
            return
        if self._refused == pointer.version and time.monotonic() < self._retry_at:
            return
        try:
            opened = await self._opened(pointer.version)
        except StoreError:
            raise
        except Exception as error:  # whatever is wrong with a version, the one before goes on being served
            self._refused, self._retry_at = pointer.version, time.monotonic() + RETRY_S
            self._failed(error)
            return
        if self.active is None and (moved := await self._moved_on(pointer)) is not None:
            await self._switch(moved)
            return
        before, self.active, self.fault = self.active, opened, None
        self._metrics.switches.inc()
        structlog.get_logger().info("version_served", version=opened.version)
        older = pointer.before[:1]
        self.previous = before if before is not None and (before.version,) == older else None
        await self._report()
        with suppress(PymkError, OSError):  # the next switch, or this host's worker, does it
            await asyncio.to_thread(self._opener.clear, opened.version)
        if self.previous is None:
            self.previous = await self._from_disk(older)

    async def _moved_on(self, pointer: ActivePointer) -> ActivePointer | None:
        """The pointer, where it names another version by the time that the first one is open.

        Whoever takes away what versions hold of erased people waits for the processes that say to serve one of them:
        so this process says so before it looks.
        """
        await self._store.set(self._process, pointer.version.encode(), serving_processes.TTL_S)
        moved = decode_pointer(await self._store.get(self._keys.active))
        return moved if moved is not None and moved.version != pointer.version else None

    async def _opened(self, version: str) -> ServedVersion:
        if self.previous is not None and self.previous.version == version:
            return self.previous
        opened = await asyncio.to_thread(self._opener.open, version)
        await asyncio.to_thread(opened.ranking.now.rows, self._preload_users())
        return opened

    async def _from_disk(self, before: tuple[str, ...]) -> ServedVersion | None:
        """The version before the first one served, where this host has it whole."""
        if not before or not await asyncio.to_thread(self._opener.on_disk, before[0]):
            return None
        try:
            return await asyncio.to_thread(self._opener.open, before[0])
        except Exception as error:  # whatever is wrong with it, the active one is served without it
            told = str(error) if isinstance(error, PymkError) else f"{type(error).__name__}: {error}"
            structlog.get_logger().warning("previous_version_not_opened", version=before[0], error=told)
            return None

    async def _report(self) -> None:
        serving = self.active.version if self.active is not None else ""
        now = time.monotonic()
        if serving != self._reported or now - self._reported_at >= REPORT_S:
            await self._store.set(self._process, serving.encode(), serving_processes.TTL_S)
            self._reported, self._reported_at = serving, now

    def _failed(self, error: Exception) -> None:
        """Remembers why the version that should be served is not; says so once."""
        fault = str(error) if isinstance(error, PymkError) else f"{type(error).__name__}: {error}"
        if fault != self.fault:
            structlog.get_logger().error("version_not_served", error=fault, exc_info=not isinstance(error, PymkError))
        self.fault = fault
