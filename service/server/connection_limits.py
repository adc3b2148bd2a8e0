"""What one connection may ask of the server, and the watch that ends those that keep it waiting."""

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from models.settings import Settings
from service.metrics import Metrics

_SEARCH_EVERY_S = 0.005
"""a search for each of many connections would take all the time of the process"""
_RESUME_S, _RESUMED = 0.02, 4
"""seconds between turns of connections whose bytes nobody reads, and how many read in a turn: at most 50 MB a second"""
_LEAST_TICK_S, _MOST_TICK_S = 0.02, 1.0
_LOOKED_AT, _EXPIRED = 32, 4
"""connections that are looked at without a pause for others' requests, and how many waits are ended among them"""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of the settings, and those that nobody has to set."""

    head_bytes: int
    headers: int
    head_s: float
    body_s: float
    connections: int
    pipelined: int = 32
    """requests that a client may send ahead of the answers"""
    heads_bytes: int = 16 << 20
    """bytes of heads that are not whole yet, over all connections of a process"""
    linger_s: float = 2.0
    """how long a refused client may go on sending: it would lose the answer if the connection ended at once"""

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        """The limits that an operator set."""
        return cls(
            settings.max_head_bytes,
            settings.max_headers,
            settings.head_timeout_s,
            settings.body_timeout_s,
            settings.max_connections,
        )


class Watched(Protocol):
    """A connection as its Watch sees it."""

    since: float | None
    """when the Watch first saw it as it is"""

    def look(self, now: float) -> None:
        """Notes since when it is as it is."""
        ...

    @property
    def waits_s(self) -> float | None:
        """How long it may wait for its client; None if it does not, or only for a next request."""
        ...

    @property
    def is_waiting(self) -> bool:
        """Whether its client has to send before there is something to answer."""
        ...

    def expire(self) -> None:
        """Ends a wait that took too long."""
        ...

    def resume(self) -> None:
        """Goes on reading."""
        ...

    def abandon(self) -> None:
        """Closes the connection without an answer."""
        ...


class Watch:
    """Looks at all connections of a process in rounds, so that none needs timers of its own.

    A round takes a second, or an eighth of the shortest limit. It goes over the connections a few at a time: thousands
    at once, and the answers to those that ended, would keep a request waiting for 10 ms. A wait begins at the first
    look that finds it and ends at the first one after its limit.
    """

    def __init__(self, limits: ConnectionLimits, connections: Collection[Watched], metrics: Metrics | None) -> None:
        self._connections = connections
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._round_s = max(_LEAST_TICK_S, min(_MOST_TICK_S, limits.head_s / 8, limits.body_s / 8))
        self._pause_s = self._round_s
        self._round: deque[Watched] = deque()
        """connections that this round has not looked at yet"""
        self._searched = float("-inf")
        self._spare: deque[Watched] = deque()
        """connections that waited when room was needed, the longest first, in this round"""
        self._paused: deque[Watched] = deque()
        self.heads_bytes = 0
        """bytes of heads that are not whole yet"""
        self._look()

    def make_room(self, newest: Watched) -> bool:
        """Closes the connection, except this one, that has waited longest for its client; returns whether one did.

        Those in the middle of a request, or without a first one, are closed before those that may send a next one.
        """
        if not self._spare:
            if self._loop.time() < self._searched + _SEARCH_EVERY_S:
                return False
            self._searched = self._loop.time()
            waiting = [one for one in self._connections if one.is_waiting and one is not newest]
            stalled = [one for one in waiting if one.waits_s is not None]
            self._spare.extend(sorted(stalled or waiting, key=lambda one: one.since or float("inf")))
        while self._spare:
            one = self._spare.popleft()
            if one.is_waiting and one in self._connections:
                one.abandon()
                return True
        return False

    def resume_later(self, one: Watched) -> None:
        """Has a connection read again in its turn, among others that send what nobody reads."""
        if not self._paused:
            self._loop.call_later(_RESUME_S, self._resume)
        self._paused.append(one)

    def _resume(self) -> None:
        for _ in range(min(_RESUMED, len(self._paused))):
            self._paused.popleft().resume()
        if self._paused:
            self._loop.call_later(_RESUME_S, self._resume)

    def count(self, reason: str) -> None:
        """Counts a connection that the server ended."""
        if self._metrics is not None:
            self._metrics.closed.labels(reason).inc()

    def _look(self) -> None:
        """Looks at the next few connections; after the last ones a new round begins."""
        now, expired = self._loop.time(), 0
        if not self._round:
            self._begin_round()
        for _ in range(min(_LOOKED_AT, len(self._round))):
            one = self._round.popleft()
            if one not in self._connections:
                continue
            one.look(now)
            if (most := one.waits_s) is not None and one.since is not None and now - one.since >= most:
                one.expire()
                expired += 1
                if expired == _EXPIRED:
                    break
        self._loop.call_later(self._pause_s, self._look)

    def _begin_round(self) -> None:
        self._spare.clear()
        self._round.extend(self._connections)
        self._pause_s = self._round_s / max(1, -(-len(self._round) // _LOOKED_AT))
        if self._metrics is not None:
            self._metrics.connections.series[()][0] = len(self._connections)
