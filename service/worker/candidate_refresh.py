"""The worker's way through the queue: candidates for those who wait, as they are now."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import structlog

from models.candidate_refresh.refresh_queue import RefreshRequest
from models.candidate_refresh.refresher import LoadedVersion, Refreshed, Refresher
from models.live_state.visibility import follow_blocking
from models.publishing.pointer import read_pointer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS

LEASE_S = 20.0
"""how long a user taken from the queue is this worker's; a worker that died gives it up so"""
TAKEN_AT_ONCE = 16
TRIES = 5
"""after so many failures nobody is waited for any more"""
TRY_AGAIN_S = 5.0
"""pause before a failed person's next try, twice as long after each"""
SWITCHES = 3
"""how often people are refreshed again at once because another version is served by the time they are"""
DROP_AGAIN_S = 1.0
"""a list ranked from the block before may be kept so much later than the block was replaced"""
LATENCIES = 2000
"""latest overlays whose latency a report tells"""


@dataclass(slots=True)
class Tally:
    """What became of the people taken from the queue."""

    made: int = 0
    newcomers: int = 0
    unknown: int = 0
    """people of whom nothing is known that candidates could be made of"""
    failed: int = 0
    given_up: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    """from the acknowledgement of a change to the block that knows of it"""

    def latency(self, share: float) -> float | None:
        """The quantile of the latest latencies, seconds; None before the first."""
        return float(np.quantile(np.array(self.latencies_s), share)) if self.latencies_s else None


class PeopleWorker:
    """Takes people from the queue and refreshes them; whoever it took leaves the queue after her block is written."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        refresher: Refresher,
        follow: Callable[[], LoadedVersion | None],
        superseded_ttl_s: float,
    ) -> None:
        """`follow` opens the version that is served."""
        self.tally = Tally()
        self._store, self._keys, self._refresher, self._follow = store, keys, refresher, follow
        self._superseded_ttl_s = superseded_ttl_s
        self._drop_again: deque[tuple[float, list[str]]] = deque()
        self._log = structlog.get_logger()

    def run_once(self, now_s: float) -> bool:
        """Works off some of those who are due; whether anybody was."""
        self._drop_lists(now_s)
        loaded = self._follow()
        if loaded is None:
            return False
        taken = self._store.queue_take(self._keys.refresh, now_s, LEASE_S, TAKEN_AT_ONCE)
        if not taken:
            return False
        waiting = {member: one for member in taken if (one := RefreshRequest.decode(member)) is not None}
        self.tally.unknown += len(taken) - len(waiting)
        people = list(dict.fromkeys(one.user_id for one in waiting.values()))
        outcome = self._refreshed(loaded, people, now_s)
        lost = [one for one in waiting.values() if outcome[one.user_id] is Refreshed.FAILED]
        self._try_again(lost, now_s)
        self._store.queue_done(self._keys.refresh, taken)
        self._count(waiting.values(), outcome)
        return True

    def _refreshed(self, loaded: LoadedVersion, people: Sequence[str], now_s: float) -> dict[str, Refreshed]:
        """Refreshes people for the version that is served, whichever it is by the end."""
        outcome: dict[str, Refreshed] = {}
        for _ in range(SWITCHES):
            follow_blocking(self._store, self._keys, self._refresher.hidden)
            outcome = self._refresher.refresh(loaded, people)
            pointer = read_pointer(self._store, keys=self._keys)
            if pointer is None or loaded.version not in pointer.lasting:
                keys = [key for person in people for key in self._refresher.written(loaded, person)]
                self._store.expire_many(keys, self._superseded_ttl_s)
            lists = [key for person in people for key in self._refresher.lists(loaded, person)]
            self._drop_again.append((now_s + DROP_AGAIN_S, lists))
            following = self._follow()
            if following is None or following.version == loaded.version:
                return outcome
            loaded = following
        return outcome

    def _try_again(self, lost: Sequence[RefreshRequest], now_s: float) -> None:
        for one in lost:
            tries = one.tries + 1
            if tries >= TRIES:
                self.tally.given_up += 1
                self._log.error("person_given_up", tries=tries, timestamp_us=one.timestamp_us)
            else:
                due = now_s + TRY_AGAIN_S * 2 ** (tries - 1)
                self._store.queue_add(self._keys.refresh, [replace(one, tries=tries).encode()], due)

    def _count(self, waiting: Collection[RefreshRequest], outcome: dict[str, Refreshed]) -> None:
        whats = list(outcome.values())
        self.tally.made += whats.count(Refreshed.BLOCK)
        self.tally.newcomers += whats.count(Refreshed.NEWCOMER)
        self.tally.unknown += whats.count(Refreshed.UNKNOWN)
        self.tally.failed += whats.count(Refreshed.FAILED)
        now = self._refresher.clock()
        for one in waiting:
            if one.timestamp_us and outcome[one.user_id] in (Refreshed.BLOCK, Refreshed.NEWCOMER):
                self.tally.latencies_s.append((now - one.timestamp_us) / MICROSECONDS)

    def _drop_lists(self, now_s: float) -> None:
        while self._drop_again and self._drop_again[0][0] <= now_s:
            self._store.delete(self._drop_again.popleft()[1])
