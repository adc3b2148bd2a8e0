"""The version a process serves: opened in the background, swapped in one step; the one before stays open."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import structlog

from models.errors import CorruptRecordError, PymkError, StoreError
from models.publishing.canary_record import Canary, decode_canary
from models.publishing.pointer import ActivePointer, decode_pointer
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.metrics import Metrics
from service.state.canary import ServedCanary
from service.state.heartbeat import Heartbeat
from service.state.served_version import ServedVersion, VersionOpener

POLL_S = 0.2
"""how often the pointer is read"""
COUNTED_S = 0.5
"""how often what the canary's lists came to is written"""
RETRY_S = 5.0
"""how long until a version that could not be opened is tried again"""

T = TypeVar("T")


class ServedVersions:
    """Follows the pointer and the canary of the store: the active version, the one before, that of a share of viewers.

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
        keep: Callable[[Sequence[ServedVersion]], None] = lambda _: None,
    ) -> None:
        """`preload_users` names the users whom the first request in a version looks up: their rows are looked up before
        it is served. `prepare` does whatever else a version needs before that; it runs in a thread. `keep` is told the
        versions that are open from then on: nothing of others may stay mapped."""
        self.active: ServedVersion | None = None
        self.previous: ServedVersion | None = None
        self.canary: ServedCanary | None = None
        """what a share of the viewers is served from; while it cannot be opened, it has no version"""
        self.activated_at: str | None = None
        self.fault: str | None = None
        """why the version of the pointer is not served"""
        self._store = store
        self._keys = keys
        self._opener = opener
        self._metrics = metrics
        self._preload_users = preload_users
        self._prepare, self._keep = prepare, keep
        self._name, self._counted_at = name, 0.0
        self._heartbeat = Heartbeat(store, keys, name, metrics)
        # a thread of its own: others may all be taken by calls that wait for this version to be served
        self._thread = ThreadPoolExecutor(1, "version")
        self._refused: str | None = None
        self._retry_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def of(self, user_id: str) -> tuple[ServedVersion | None, ServedVersion | None]:
        """The version that a viewer's lists are of, and the one that stands in where it has no candidates."""
        canary = self.canary
        if canary is None or canary.served is None or not canary.has(user_id):
            return self.active, self.previous
        return canary.served, self.active

    @property
    def open(self) -> list[ServedVersion]:
        """The versions that are open, the active one first."""
        tried = None if self.canary is None else self.canary.served
        return [served for served in (self.active, tried, self.previous) if served is not None]

    def cuts(self) -> list[int]:
        """The cuts of the versions that are open, microseconds."""
        return [served.manifest.cut_us for served in self.open]

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
        """Reads pointer and canary, and switches if they moved. A failure leaves what is served as it is."""
        try:
            active, canary = await self._store.get_many([self._keys.active, self._keys.canary])
            pointer = decode_pointer(active)
            if pointer is not None:
                await self._switch(pointer)
            await self._follow_canary(canary, pointer)
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
        await self._heartbeat.say(serving, pointer.version, self._canary_version)
        try:
            opened = await self._opened(pointer.version)
        except StoreError:
            raise
        except Exception as error:  # whatever is wrong with a version, the one before is still served
            self._refused, self._retry_at = pointer.version, time.monotonic() + RETRY_S
            self._failed(error)
            await self._heartbeat.say(serving, canary=self._canary_version)
            return
        # serve it
        if self.active is None and (moved := await self._moved_on(pointer)) is not None:
            await self._switch(moved)
            return
        before, self.active, self.fault = self.active, opened, None
        self.canary = None
        self._metrics.switches.inc()
        published = opened.manifest.published_at or opened.manifest.created_at
        self._metrics.serves(opened.version, published.timestamp())
        structlog.get_logger().info("version_served", version=opened.version)
        older = pointer.before[:1]
        self.previous = before if before is not None and (before.version,) == older else None
        await self._heartbeat.say(opened.version)
        with suppress(PymkError, OSError):  # the next switch, or this host's worker, removes them
            await self._in_thread(self._opener.clear, opened.version)
        if self.previous is None:
            self.previous = await self._from_disk(older)
        self._keep(self.open)

    @property
    def _canary_version(self) -> str:
        """The version of the canary that is served, "" for none."""
        return "" if self.canary is None or self.canary.served is None else self.canary.served.version

    async def _follow_canary(self, content: bytes | None, pointer: ActivePointer | None) -> None:
        """Serves the share of the viewers that the record of the canary says, and writes what was counted."""
        try:
            canary = decode_canary(content)
        except CorruptRecordError:  # whoever ends it is told
            canary = None
        active = self.active
        if canary is None or active is None or not canary.holds(pointer) or active.version != canary.control:
            if self.canary is not None:
                self.canary = None
                self._keep(self.open)
                structlog.get_logger().info("canary_left")
        elif self.canary is None or self.canary.canary.identity != canary.identity:
            self.canary = await self._tried(canary)
            self._keep(self.open)
        if active is not None:
            await self._heartbeat.say(active.version, canary=self._canary_version)
        await self._write_counts()

    async def _tried(self, canary: Canary) -> ServedCanary:
        """The canary with its version, which is opened first; without it, and with the fault, if that fails."""
        known = self.canary
        if known is not None and known.served is not None and known.served.version == canary.version:
            return ServedCanary(canary, known.served)
        await self._heartbeat.say(canary.control, opens=canary.version)
        try:
            opened = await self._opened(canary.version)
        except StoreError:
            raise
        except Exception as error:  # whatever is wrong with it, all viewers are served from the active version
            text = str(error) if isinstance(error, PymkError) else f"{type(error).__name__}: {error}"
            structlog.get_logger().error("canary_not_served", version=canary.version, error=text)
            return ServedCanary(canary, None, text)
        structlog.get_logger().info("canary_served", version=canary.version, share=canary.share)
        return ServedCanary(canary, opened)

    async def _write_counts(self) -> None:
        canary, now = self.canary, time.monotonic()
        if canary is None or now - self._counted_at < COUNTED_S:
            return
        self._counted_at, packed = now, canary.counts.pack()
        if packed != canary.written:
            await self._store.fields_set(self._keys.canary_counts, {self._name: packed})
            canary.written = packed

    async def _moved_on(self, pointer: ActivePointer) -> ActivePointer | None:
        """The pointer, if it names another version by the time that the first one is open; else None.

        A purge of erased people waits for the processes that report a version that holds them: so this process reports
        the version before it reads the pointer again.
        """
        await self._heartbeat.say(pointer.version)
        moved = decode_pointer(await self._store.get(self._keys.active))
        return moved if moved is not None and moved.version != pointer.version else None

    async def _opened(self, version: str) -> ServedVersion:
        for known in self.open:
            if known.version == version:
                return known
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
