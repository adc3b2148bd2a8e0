"""The version a process serves: opened in the background, swapped in one step; the one before stays open."""

import asyncio
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import structlog

from models.errors import CorruptRecordError, PymkError, StoreError
from models.publishing.pointer import ActivePointer, decode_pointer
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.metrics import Metrics
from service.state.heartbeat import Heartbeat
from service.state.served_version import ServedVersion, VersionOpener

POLL_S = 0.2
"""how often the pointer is read"""
RETRY_S = 5.0
"""how long until a version that could not be opened is tried again"""

T = TypeVar("T")


class ServedVersions:
    """Follows the pointer of the store: the active version, the previous one, and why they differ from it.

    Lives from `start` to `aclose`. A request reads `active` once: a swap does not affect requests in flight.
    """

    def __init__(
        self,
        store: AsyncStore,
        keys: Keys,
        opener: VersionOpener,
        metrics: Metrics,
        name: str,
        preload_users: Callable[[], Collection[str]] = tuple,
        prepare: Callable[[ServedVersion], None] = lambda _: None,
    ) -> None:
        """`preload_users` names the users whom the first request in a version looks up: their rows are looked up before
        it is served. `prepare` does whatever else a version needs before that; it runs in a thread."""
        self.active: ServedVersion | None = None
        self.previous: ServedVersion | None = None
        self.activated_at: str | None = None
        self.fault: str | None = None
        """why the version of the pointer is not served"""
        self._store = store
        self._keys = keys
        self._opener = opener
        self._metrics = metrics
        self._preload_users = preload_users
        self._prepare = prepare
        self._heartbeat = Heartbeat(store, keys, name, metrics)
        # a thread of its own: others may all be taken by calls that wait for this version to be served
        self._thread = ThreadPoolExecutor(1, "version")
        self._refused: str | None = None
        self._retry_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def cuts(self) -> list[int]:
        """The cuts of the versions that are open, microseconds."""
        return [served.manifest.cut_us for served in (self.active, self.previous) if served is not None]

    async def start(self) -> None:
        """Opens the active version, if there is one, and begins to follow."""
        await self._heartbeat.start()
        await self._follow()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="served-version")

    async def aclose(self) -> None:
        """Stops following and removes the process from the list of live ones."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._heartbeat.aclose()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._follow()
            except Exception as error:  # the task must survive, else no version is ever switched
                self._failed(error)

    async def _follow(self) -> None:
        """Reads the pointer, and switches if it moved. A failure leaves the served version as it is."""
        try:
            pointer = decode_pointer(await self._store.get(self._keys.active))
            if pointer is not None:
                await self._switch(pointer)
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
        # open it
        serving = self.active.version if self.active is not None else ""
        await self._heartbeat.say(serving, opens=pointer.version)
        try:
            opened = await self._opened(pointer.version)
        except StoreError:
            raise
        except Exception as error:  # whatever is wrong with a version, the one before is still served
            self._refused, self._retry_at = pointer.version, time.monotonic() + RETRY_S
            self._failed(error)
            await self._heartbeat.say(serving)
            return
        # serve it
        if self.active is None and (moved := await self._moved_on(pointer)) is not None:
            await self._switch(moved)
            return
        before, self.active, self.fault = self.active, opened, None
        self._metrics.switches.inc()
        structlog.get_logger().info("version_served", version=opened.version)
        older = pointer.before[:1]
        self.previous = before if before is not None and (before.version,) == older else None
        await self._heartbeat.say(opened.version)
        with suppress(PymkError, OSError):  # the next switch, or this host's worker, removes them
            await self._in_thread(self._opener.clear, opened.version)
        if self.previous is None:
            self.previous = await self._from_disk(older)

    async def _moved_on(self, pointer: ActivePointer) -> ActivePointer | None:
        """The pointer, if it names another version by the time that the first one is open; else None.

        A purge of erased people waits for the processes that report a version that holds them: so this process reports
        the version before it reads the pointer again.
        """
        await self._heartbeat.say(pointer.version)
        moved = decode_pointer(await self._store.get(self._keys.active))
        return moved if moved is not None and moved.version != pointer.version else None

    async def _opened(self, version: str) -> ServedVersion:
        if self.previous is not None and self.previous.version == version:
            return self.previous
        opened = await self._in_thread(self._opener.open, version)
        await self._in_thread(opened.ranking.user_flags.rows, self._preload_users())
        await self._in_thread(self._prepare, opened)
        return opened

    async def _from_disk(self, before: tuple[str, ...]) -> ServedVersion | None:
        """The version before the first one served; None if this host does not have it whole."""
        if not before or not await self._in_thread(self._opener.on_disk, before[0]):
            return None
        try:
            return await self._in_thread(self._opener.open, before[0])
        except Exception as error:  # whatever is wrong with it, the active one is served without it
            text = str(error) if isinstance(error, PymkError) else f"{type(error).__name__}: {error}"
            structlog.get_logger().warning("previous_version_not_opened", version=before[0], error=text)
            return None

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _failed(self, error: Exception) -> None:
        """Remembers why the version of the pointer is not served, and logs it once."""
        fault = str(error) if isinstance(error, PymkError) else f"{type(error).__name__}: {error}"
        if fault != self.fault:
            structlog.get_logger().error("version_not_served", error=fault, exc_info=not isinstance(error, PymkError))
        self.fault = fault
