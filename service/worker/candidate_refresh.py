"""The worker's part in the refresh queue: new candidates for the users in it, from current data."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import structlog

from models.candidate_refresh.refresh_queue import RefreshRequest
from models.candidate_refresh.refresher import LoadedVersion, Refreshed, Refresher
from models.live_state.visibility import follow_blocking
from models.publishing.canary_record import kept_for_canary
from models.publishing.pointer import read_pointer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS

LEASE_S = 20.0
"""how long a user taken from the queue is leased to this worker; if it dies, another one takes the user then"""
TAKEN_AT_ONCE = 16
TRIES = 5
"""failures after which a user is dropped from the queue"""
TRY_AGAIN_S = 5.0
"""pause before a failed user is retried, doubled after each failure"""
SWITCHES = 3
"""how often users are refreshed again at once because another version is served meanwhile"""
DELETE_AGAIN_S = 1.0
"""a list ranked from the former block may be cached so much later than the block was replaced"""
REST = 20.0
"""a user whose refresh takes long is not refreshed again for so many times as long, so that others have their turn"""
LONG_S = 0.1
"""a refresh of one user from which on that holds: seconds"""
LATENCIES = 2000
"""latest refreshes whose latency is reported"""
SECONDS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""bounds of the histogram of latencies"""


@dataclass(slots=True)
class RefreshCounters:
    """Counts the users taken from the queue by outcome."""

    blocks: int = 0
    newcomers: int = 0
    unknown: int = 0
    """users without anything that candidates can be generated from"""
    failed: int = 0
    dropped: int = 0
    """users who failed TRIES times"""
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    """from the acknowledgement of a change to the block that includes it"""
    buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    """the same since the worker started, by the first bound that is not below"""
    total_s: float = 0.0
    """their sum"""

    def took(self, seconds: float) -> None:
        """Counts one latency. A clock that is behind makes none negative."""
        seconds = max(0.0, seconds)
        self.latencies_s.append(seconds)
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.total_s += seconds

    def latency(self, share: float) -> float | None:
        """The quantile of the latest latencies, seconds; None before the first."""
        return float(np.quantile(np.array(self.latencies_s), share)) if self.latencies_s else None


class RefreshWorker:
    """Takes users from the queue and refreshes them; a user is removed from the queue after the block is written."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        refresher: Refresher,
        follow: Callable[[], LoadedVersion | None],
        superseded_ttl_s: float,
    ) -> None:
        """`follow` opens the version that is served; `canary`, which its owner sets, is served to a share besides."""
        self.canary: LoadedVersion | None = None
        self.counters = RefreshCounters()
        self._store, self._keys, self._refresher, self._follow = store, keys, refresher, follow
        self._superseded_ttl_s = superseded_ttl_s
        self._delete_again: deque[tuple[float, list[str]]] = deque()
        self._resting: dict[str, float] = {}
        """until when users rest after a refresh that took long, by the store's clock"""
        self._log = structlog.get_logger()

    def run_once(self, now_s: float, loaded: LoadedVersion) -> bool:
        """Refreshes some of the users who are due for the version served; returns whether there were any.

        `now_s` is by the store's clock.
        """
        # the users
        members = self._store.queue_take(self._keys.refresh, now_s, LEASE_S, TAKEN_AT_ONCE)
        if not members:
            return False
        taken = {member: request for member in members if (request := RefreshRequest.decode(member)) is not None}
        self.counters.unknown += len(members) - len(taken)
        kept = self._resting_members(taken, now_s)
        requests = [request for request in taken.values() if request.user_id not in self._resting]
        outcome = self._refresh(loaded, list(dict.fromkeys(request.user_id for request in requests)), now_s)
        # the queue
        self._retry([request for request in requests if outcome[request.user_id] is Refreshed.FAILED], now_s)
        self._store.queue_done(self._keys.refresh, [member for member in members if member not in kept])
        self._count(requests, outcome)
        return True

    def _resting_members(self, taken: Mapping[bytes, RefreshRequest], now_s: float) -> set[bytes]:
        """Of the users who rest, the members that stay leased and so are due again: the latest of each."""
        self._resting = {person: until_s for person, until_s in self._resting.items() if until_s > now_s}
        latest: dict[str, bytes] = {}
        for member in sorted(taken, key=lambda member: taken[member].timestamp_us):
            if taken[member].user_id in self._resting:
                latest[taken[member].user_id] = member
        return {*latest.values()}

    def _refresh(self, loaded: LoadedVersion, people: Sequence[str], now_s: float) -> dict[str, Refreshed]:
        """Refreshes users for the version that is served, again if another one is by the end, and for the canary.

        The outcome is that of the version served; a user fails who fails in either.
        """
        outcome = self._refresh_served(loaded, people, now_s)
        canary = self.canary
        if canary is not None:
            for person, how in self._refresher.refresh(canary, people).items():
                if how is Refreshed.FAILED:
                    outcome[person] = how
            self._written(canary, people, now_s)
        return outcome

    def _refresh_served(self, loaded: LoadedVersion, people: Sequence[str], now_s: float) -> dict[str, Refreshed]:
        outcome: dict[str, Refreshed] = {}
        for _ in range(SWITCHES):
            follow_blocking(self._store, self._keys, self._refresher.hidden)
            began = time.monotonic()
            outcome = self._refresher.refresh(loaded, people)
            took_s = (time.monotonic() - began) / max(1, len(people))
            if took_s > LONG_S:
                self._resting |= dict.fromkeys(people, now_s + REST * took_s)
            self._written(loaded, people, now_s)
            current = self._follow()
            if current is None or current.version == loaded.version:
                return outcome
            loaded = current
        return outcome

    def _written(self, loaded: LoadedVersion, people: Sequence[str], now_s: float) -> None:
        """Lets what was written expire if the version is served no more, and has lists deleted again in a while."""
        pointer = read_pointer(self._store, keys=self._keys)
        lasting = () if pointer is None else pointer.lasting
        if loaded.version not in {*lasting, *kept_for_canary(self._store, self._keys)}:
            keys = [key for person in people for key in self._refresher.written(loaded, person)]
            self._store.expire_many(keys, self._superseded_ttl_s)
        lists = [key for person in people for key in self._refresher.lists(loaded, person)]
        self._delete_again.append((now_s + DELETE_AGAIN_S, lists))

    def _retry(self, failed: Sequence[RefreshRequest], now_s: float) -> None:
        """Queues failed users again with a delay; drops those who failed too often."""
        for request in failed:
            tries = request.tries + 1
            if tries >= TRIES:
                self.counters.dropped += 1
                self._log.error("refresh_dropped", tries=tries, timestamp_us=request.timestamp_us)
            else:
                due = now_s + TRY_AGAIN_S * 2 ** (tries - 1)
                self._store.queue_add(self._keys.refresh, [replace(request, tries=tries).encode()], due)

    def _count(self, requests: Sequence[RefreshRequest], outcome: dict[str, Refreshed]) -> None:
        """Counts outcomes, and the latency of each change that is in a block by then."""
        outcomes = list(outcome.values())
        self.counters.blocks += outcomes.count(Refreshed.BLOCK)
        self.counters.newcomers += outcomes.count(Refreshed.NEWCOMER)
        self.counters.unknown += outcomes.count(Refreshed.UNKNOWN)
        self.counters.failed += outcomes.count(Refreshed.FAILED)
        now = self._refresher.clock()
        for request in requests:
            if request.timestamp_us and outcome[request.user_id] in (Refreshed.BLOCK, Refreshed.NEWCOMER):
                self.counters.took((now - request.timestamp_us) / MICROSECONDS)

    def delete_lists(self, now_s: float) -> None:
        """Deletes again the lists of users whose blocks were replaced DELETE_AGAIN_S ago."""
        while self._delete_again and self._delete_again[0][0] <= now_s:
            self._store.delete(self._delete_again.popleft()[1])
