"""Sends the requests of a plan when they are due, whatever became of those before."""

import asyncio
import ssl
import time
from collections import deque

from service.loadtest.arrivals import Plan
from service.loadtest.connection import Answer, Asked, Connection
from service.loadtest.counters import Tally
from service.loadtest.http_requests import Messages, Target
from service.loadtest.precise_timer import alarm

AT_ONCE = 16
"""requests begun in one turn of the event loop: answers that came meanwhile are looked at in between"""
_HELD = 1024
_SWEEP_S = 0.02


class Driver:
    """The client of one process: an open loop over a bounded number of connections.

    A request that finds all connections busy waits for one, and its wait counts, because latency counts from the
    intended start. So a service that stalls is seen to stall by all who would have asked meanwhile (Tene, "coordinated
    omission").
    """

    def __init__(
        self,
        target: Target,
        plan: Plan,
        messages: Messages,
        tally: Tally,
        *,
        connections: int,
        timeout_s: float,
        warm_up_s: float,
    ) -> None:
        self._target, self._plan, self._messages, self._tally = target, plan, messages, tally
        self._timeout_s, self._warm_up_s = timeout_s, warm_up_s
        self._loop = asyncio.get_running_loop()
        self._secure = ssl.create_default_context() if target.secure else None
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._unopened = connections
        """connections that may still be opened"""
        self._opening: set[asyncio.Task[None]] = set()
        """connections that are being opened for a request"""
        self._waiting: deque[Asked] = deque()
        self._next: deque[tuple[float, int, int]] = deque()
        """what comes next of the plan: start after the beginning, kind, person"""
        self._taken = 0
        self._begins_s = 0.0
        self._alarm = alarm(self._loop, self._due)
        self._finished = asyncio.Event()
        self._stopped = False
        self.begun = 0
        """requests begun, the warm-up's included"""

    @property
    def in_work(self) -> int:
        """Requests begun and not yet answered."""
        return len(self._busy) + len(self._waiting) + len(self._opening)

    async def open(self) -> None:
        """Opens all connections. Raises OSError where the service does not take one."""
        while self._unopened:
            self._unopened -= 1
            self._idle.append(await self._connect())

    async def run(self, begins_s: float) -> None:
        """Follows the plan from a moment of time.monotonic(), until all is answered or given up, or `stop`.

        Each request is given up by the sweep at the latest, so that a run ends soon after its plan.
        """
        self._begins_s = begins_s
        self._tally.measured_from_s = begins_s + self._warm_up_s
        sweeping = self._loop.create_task(self._sweep())
        try:
            self._schedule()
            await self._finished.wait()
        finally:
            sweeping.cancel()
            self._alarm.close()
            for task in self._opening:
                task.cancel()
            for connection in (*self._idle, *self._busy):
                connection.abort()

    def stop(self) -> None:
        """Begins no more; what is under way is left out of the count."""
        self._stopped = True
        self._finished.set()

    def answered(self, connection: Connection, asked: Asked, answer: Answer) -> None:
        """A connection's word: it has an answer, and is free for the next."""
        now = time.monotonic()
        self._busy.discard(connection)
        self._tally.answered(asked, answer, now)
        if connection.usable:
            self._idle.append(connection)
        else:
            self._unopened += 1
        self._serve_waiting(now)

    def broken(self, connection: Connection, asked: Asked | None, reason: str) -> None:
        """A connection's word: it is no more."""
        if connection in self._busy:
            self._busy.discard(connection)
        elif connection in self._idle:
            self._idle.remove(connection)
        self._unopened += 1
        now = time.monotonic()
        if asked is not None:
            self._tally.failed(asked, reason, now)
        self._serve_waiting(now)

    def _due(self) -> None:
        """Begins what is due, a few at a time."""
        if self._stopped:
            return
        for _ in range(AT_ONCE):
            if not self._next:
                break
            start_s, kind, person = self._next[0]
            at_s, now = self._begins_s + start_s, time.monotonic()
            if at_s > now:
                break
            self._next.popleft()
            self._begin(Asked(at_s, kind, person, start_s >= self._warm_up_s), now)
        self._schedule()

    def _schedule(self) -> None:
        """Sets the alarm to the next request of the plan."""
        if not self._next:
            part = slice(self._taken, self._taken + _HELD)
            self._taken = part.stop
            plan = self._plan
            starts, kinds, people = plan.starts_s[part], plan.kinds[part], plan.people[part]
            self._next.extend(zip(starts.tolist(), kinds.tolist(), people.tolist(), strict=True))
        if self._next:
            self._alarm.set(self._begins_s + self._next[0][0])
        else:
            self._finish_when_done()

    def _begin(self, asked: Asked, now: float) -> None:
        self.begun += 1
        if self._send(asked):
            now = asked.sent_s
        else:
            self._waiting.append(asked)
            if asked.measured:
                self._tally.waited += 1
        self._tally.begun(asked, now)

    def _send(self, asked: Asked) -> bool:
        """Whether a connection was there to take it."""
        while self._idle:
            connection = self._idle.pop()  # the one that was used last: few connections stay warm at a low rate
            if connection.usable:
                self._busy.add(connection)
                message = self._messages.message(asked.kind, asked.person)
                asked.sent_s = time.monotonic()
                connection.send(asked, message)
                return True
            connection.abort()  # it is about to say itself that it fell, and would count twice
            self._unopened += 1
        if self._unopened:
            self._unopened -= 1
            asked.sent_s = time.monotonic()
            task = self._loop.create_task(self._connect_and_send(asked))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
            return True
        return False

    def _serve_waiting(self, now: float) -> None:
        """Hands free connections to those who wait, gives up whom it took too long."""
        while self._waiting and (self._idle or self._unopened):
            asked = self._waiting.popleft()
            if now - asked.at_s > self._timeout_s:
                self._tally.failed(asked, "timeout", now)
            elif self._send(asked):
                self._tally.sent_after_waiting(asked, now)
            else:  # the idle ones had all fallen
                self._waiting.appendleft(asked)
                break
        self._finish_when_done()

    def _finish_when_done(self) -> None:
        if self._taken >= len(self._plan) and not (self._next or self._busy or self._waiting or self._opening):
            self._finished.set()

    async def _connect(self) -> Connection:
        connection = Connection(self)
        target = self._target
        await self._loop.create_connection(lambda: connection, target.host, target.port, ssl=self._secure)
        if not connection.usable:
            raise ConnectionResetError("the service closed a connection at once")
        return connection

    async def _connect_and_send(self, asked: Asked) -> None:
        """Opens another connection for a request, which counts as sent from the moment it was opened for it."""
        try:
            async with asyncio.timeout(max(asked.at_s + self._timeout_s - asked.sent_s, 0)):
                connection = await self._connect()
        except (OSError, TimeoutError) as error:
            self._unopened += 1
            reason = "timeout" if isinstance(error, TimeoutError) else "connect"
            self._tally.failed(asked, reason, time.monotonic())
            self._loop.call_soon(self._serve_waiting, time.monotonic())
            return
        self._busy.add(connection)
        connection.send(asked, self._messages.message(asked.kind, asked.person))

    async def _sweep(self) -> None:
        """Gives up what takes too long, and closes the connection it was sent on: an answer may still come there."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for connection in [one for one in self._busy if one.asked and now - one.asked.at_s > self._timeout_s]:
                asked = connection.asked
                connection.abort()
                self._busy.discard(connection)
                self._unopened += 1
                if asked is not None:
                    self._tally.failed(asked, "timeout", now)
            while self._waiting and now - self._waiting[0].at_s > self._timeout_s:
                self._tally.failed(self._waiting.popleft(), "timeout", now)
            self._serve_waiting(now)
