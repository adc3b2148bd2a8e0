"""Synchronises the live state of a process with the store: during a request, and in the background."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import structlog

from models.errors import CorruptRecordError, StoreError
from models.live_state.erased_ids import erased_among
from models.live_state.exposure import Exposed
from models.live_state.seldom_shown import SeldomShown
from models.live_state.visibility import HiddenSet, follow
from models.store.decimals import damaged_among, read_decimal
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from models.system.clock import MICROSECONDS, now_us
from service.metrics import Metrics
from service.state.live_state import LiveState

REFRESH_S = 5.0
"""how often the retention watermark, the latest timestamp and the table of exposed people are read"""


class LiveSync:
    """Reads the store for one LiveState; lives from `start` to `aclose`."""

    def __init__(
        self,
        store: AsyncStore,
        keys: Keys,
        state: LiveState,
        metrics: Metrics,
        cuts: Callable[[], Iterable[int]],
        damaged: set[str],
    ) -> None:
        """`cuts` are those of the versions that this process has open, microseconds.

        `damaged` collects users whose live record does not read back, to be noted in the store.
        """
        self.state = state
        self._store = store
        self._keys = keys
        self._metrics = metrics
        self._cuts = cuts
        self._damaged = damaged
        self.damaged = 0
        """users whose live record is known not to read back, in the whole store"""
        self.full = 0
        """users in whose live record an event of another found no room, in the whole store"""
        self.unread = dict.fromkeys(("flag_change", "event", "erasure", "number"), 0)
        """entries of the hidden log, entries of the event log, records of erasures and single numbers (Keys.numbers)
        that do not read back
        """
        self.damaged_numbers: list[str] = []
        """the keys of the latter"""
        self.skew_us = 0
        """how far the latest timestamp is ahead of the clock of this process: another host's clock is"""
        self._following: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._erased_key: bytes | None = None
        self._seldom: bytes | None = None

    async def start(self) -> None:
        """Reads what the store has, if it answers, and begins to follow."""
        await self.refresh()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="live-state")

    async def aclose(self) -> None:
        """Stops following."""
        for task in (self._task, self._following):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, StoreError, CorruptRecordError):
                    await task

    @property
    def after(self) -> int:
        """A timestamp that those of new changes must be later than, even if the store lost its own, microseconds."""
        return max((self.state.watermark, self.state.latest, *self._cuts()))

    def knows(self, epoch: bytes | None) -> bool:
        """Whether the process knows everyone hidden by an epoch that was read in the store."""
        return (epoch or b"") == self.state.hidden.epoch

    async def hidden(self, epoch: bytes | None) -> None:
        """Returns once the process knows everyone hidden by an epoch that was read in the store.

        One read serves all callers that wait, and fails for all of them: with a slow store no caller waits for several
        reads in turn. It goes on if a caller stops waiting. Raises StoreUnavailableError if the store does not answer
        in time.
        """
        if self.knows(epoch):
            return
        if self._following is not None:  # it may have begun before the epoch
            await asyncio.shield(self._following)
            if self.knows(epoch):
                return
        if self._following is None:
            self._following = asyncio.get_running_loop().create_task(self._follow(epoch or b""), name="hidden-set")
            self._following.add_done_callback(self._followed)
        await asyncio.shield(self._following)

    def _followed(self, task: asyncio.Task[None]) -> None:
        self._following = None
        if not task.cancelled():
            task.exception()  # whoever waited has it

    async def _follow(self, epoch: bytes) -> None:
        """Brings the hidden set to the epoch of the store."""
        changes = await follow(self._store, self._keys, self.state.hidden, epoch)
        if changes is not None:
            self.state.take_hidden(changes)
            return
        self._metrics.degraded.labels("hidden_lost").inc()
        hidden = HiddenSet()
        await follow(self._store, self._keys, hidden, epoch)
        self.state.replace_hidden(hidden)

    async def erased(self, people: Iterable[str]) -> dict[str, int]:
        """Those of these people who were ever erased, and when, microseconds; those registered again are included.

        Raises StoreUnavailableError.
        """
        if self._erased_key is None:
            self._erased_key = await self._store.get(self._keys.erased_key)
        if self._erased_key is None:
            return {}
        return await erased_among(self._store, self._keys, self._erased_key, people)

    async def refresh(self) -> None:
        """Reads what no request waits for; if the store does not answer, all stays as it is."""
        keys, state = self._keys, self.state
        try:
            asked = [keys.hidden_epoch, keys.exposure, keys.erased_key, keys.seldom_shown, *keys.numbers]
            epoch, exposed, self._erased_key, seldom, *numbers = await self._store.get_many(asked)
            await self.hidden(epoch)
            self._take_numbers(dict(zip(keys.numbers, numbers, strict=True)))
            self.skew_us = max(0, state.latest - now_us())
            await self._note_damaged()
            await self._count_unread()
            self._metrics.live_figures(self.damaged, self.skew_us / MICROSECONDS)
            self.full = await self._store.members_count(keys.full)
            self._metrics.full(self.full)
            state.drop_before(min((state.watermark, *self._cuts())))
            table = Exposed.unpack(exposed)
            if table != state.exposed:
                state.take_exposed(table)
            if seldom != self._seldom:
                state.take_seldom(SeldomShown.unpack(seldom))
                self._seldom = seldom
        except StoreError:
            self._metrics.degraded.labels("live_state_not_read").inc()
        except CorruptRecordError as error:
            self._metrics.degraded.labels("corrupt_live_state").inc()
            structlog.get_logger().error("live_state_not_read", error=str(error))

    def _take_numbers(self, values: Mapping[str, bytes | None]) -> None:
        """Takes over watermark and latest timestamp; those that do not read back stay as they were."""
        self.damaged_numbers = damaged_among(values)
        keys, state = self._keys, self.state
        state.watermark = _known(values[keys.watermark], state.watermark)
        state.latest = _known(values[keys.clock], state.latest)

    async def _note_damaged(self) -> None:
        """Notes the users whose record does not read back, and counts those of all processes."""
        if found := [user_id.encode() for user_id in self._damaged]:
            await self._store.members_add(self._keys.damaged, found)
            self._damaged.clear()
        self.damaged = await self._store.members_count(self._keys.damaged)

    async def _count_unread(self) -> None:
        """Counts what does not read back besides the records of users."""
        keys, store = self._keys, self._store
        self.unread = {
            "flag_change": len(self.state.hidden.unread),
            "event": await store.members_count(keys.set_aside),
            "erasure": await store.members_count(keys.damaged_erasures),
            "number": len(self.damaged_numbers),
        }
        for record, count in self.unread.items():
            self._metrics.unread_entries.series[record,][0] = count

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.refresh()
            except Exception as error:  # the task must survive: the next round reads again
                structlog.get_logger().error("live_state_failed", exc_info=error)


def _known(value: bytes | None, before: int) -> int:
    """The number of a value, 0 for none; `before` if it does not read back."""
    number = 0 if value is None else read_decimal(value)
    return before if number is None else number
