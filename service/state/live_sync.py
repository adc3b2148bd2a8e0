"""Synchronises the live state of a process with the store: during a request, and in the background."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import structlog

from models.errors import CorruptRecordError, StoreError, StoreUnavailableError
from models.live_state.erased_ids import ErasedPeople, erased_people
from models.live_state.exposure import Exposed
from models.live_state.retention import read_watermark
from models.live_state.visibility import epoch_of, follow
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.metrics import Metrics
from service.state.live_state import LiveState

REFRESH_S = 5.0
"""how often the retention watermark and the table of exposed people are read"""


class LiveSync:
    """Reads the store for one LiveState; lives from `start` to `aclose`."""

    def __init__(self, store: AsyncStore, keys: Keys, state: LiveState, metrics: Metrics) -> None:
        self.state = state
        self._store = store
        self._keys = keys
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._failures = 0
        """reads of the hidden set that failed"""
        self._task: asyncio.Task[None] | None = None
        self._erased: ErasedPeople | None = None
        """as read once; people erased since are in the hidden set"""

    async def start(self) -> None:
        """Reads what the store has, if it answers, and begins to follow."""
        await self.refresh()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="live-state")

    async def aclose(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def knows(self, epoch: bytes | None) -> bool:
        """Whether the process knows everyone hidden by an epoch that was read in the store."""
        return epoch_of(epoch) == self.state.hidden.epoch

    async def hidden(self, epoch: bytes | None) -> None:
        """Returns once the process knows everyone hidden by an epoch that was read in the store.

        One read serves all callers that wait, and fails for all of them: with a slow store no caller waits for several
        reads in turn. Raises StoreUnavailableError if the store does not answer in time.
        """
        target = epoch_of(epoch)
        if target == self.state.hidden.epoch:
            return
        failures = self._failures
        async with self._lock:
            if failures != self._failures and target != self.state.hidden.epoch:
                raise StoreUnavailableError("The hidden users could not be read from the store in time.")
            try:
                await self._follow_to(target)
            except StoreError:
                self._failures += 1
                raise

    async def _follow_to(self, target: int) -> None:
        """Brings the hidden set to an epoch, or to the store's if that is behind what was known."""
        known = self.state.hidden.epoch
        if target < known:  # an answer that was overtaken, or a store that lost its data
            target = epoch_of(await self._store.get(self._keys.hidden_epoch))
            if target < known:
                self._metrics.degraded.labels("hidden_lost").inc()
                self.state.reset()
                self._erased = None
        if target > self.state.hidden.epoch:
            missed = target - self.state.hidden.epoch
            changes = await follow(self._store, self._keys, self.state.hidden, target)
            if len(changes) < missed:  # an erasure that was purged in between is known by its hash alone
                self._erased = None
            self.state.take_hidden(changes)

    async def erased(self, people: Iterable[str]) -> dict[str, int]:
        """Those of these people who were ever erased, and when, microseconds; those registered again are included.

        As of the epoch that `hidden` last returned for. Raises StoreUnavailableError.
        """
        if self._erased is None:
            self._erased = await erased_people(self._store, self._keys)
        hashed, hidden = self._erased, self.state.hidden
        timestamps_us = {person: max(hidden.erased_at(person), hashed.timestamp_us(person)) for person in people}
        return {person: timestamp_us for person, timestamp_us in timestamps_us.items() if timestamp_us}

    async def refresh(self) -> None:
        """Reads what no request waits for; if the store does not answer, all stays as it is."""
        try:
            epoch, exposed = await self._store.get_many([self._keys.hidden_epoch, self._keys.exposure])
            await self.hidden(epoch)
            self.state.watermark = await read_watermark(self._store, self._keys)
            table = Exposed.unpack(exposed)
            if table != self.state.exposed:
                self.state.take_exposed(table)
        except StoreError:
            self._metrics.degraded.labels("live_state_not_read").inc()
        except CorruptRecordError as error:
            self._metrics.degraded.labels("corrupt_live_state").inc()
            structlog.get_logger().error("live_state_not_read", error=str(error))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.refresh()
            except Exception as error:  # the task must survive: the next round reads again
                structlog.get_logger().error("live_state_failed", exc_info=error)
