"""Sends the requests of a plan at their intended starts, whatever the outcome of those before."""

import asyncio
import ssl
import time
from collections import deque

from service.loadtest.connection import Connection, Request, Response
from service.loadtest.counters import Counters
from service.loadtest.http_requests import Messages, Target
from service.loadtest.precise_timer import precise_timer
from service.loadtest.workload import Plan

STARTED_AT_ONCE = 16
"""requests started in one iteration of the event loop; responses are read in between"""
_READ_AHEAD = 1024
_SWEEP_S = 0.02


class Driver:
    """The client of one process: an open loop over a bounded number of connections.

    A request that finds all connections busy waits for one. Its wait counts, because latency counts from the intended
    start. So a stall of the service shows in the latency of every request that was due during it (Tene, "coordinated
    omission").
    """

    def __init__(
        self,
        target: Target,
        plan: Plan,
        messages: Messages,
        counters: Counters,
        *,
        connections: int,
        timeout_s: float,
        warm_up_s: float,
    ) -> None:
        self._target, self._plan, self._messages, self._counters = target, plan, messages, counters
        self._timeout_s, self._warm_up_s = timeout_s, warm_up_s
        self._loop = asyncio.get_running_loop()
        self._tls = ssl.create_default_context() if target.secure else None
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._unopened = connections
        """connections that may still be opened"""
        self._opening: set[asyncio.Task[None]] = set()
        """connections that are being opened for a request"""
        self._waiting: deque[Request] = deque()
        self._next: deque[tuple[float, int, int]] = deque()
        """the next requests of the plan: start after the start of the run, kind, user"""
        self._taken = 0
        self._run_start_s = 0.0
        self._timer = precise_timer(self._loop, self._start_due)
        self._finished = asyncio.Event()
        self._is_stopped = False
        self.started = 0
        """requests started, those of the warm-up included"""

    @property
    def in_flight(self) -> int:
        """Requests started and not yet answered."""
        return len(self._busy) + len(self._waiting) + len(self._opening)

    async def open(self) -> None:
        """Opens all connections. Raises OSError if the service refuses one."""
        while self._unopened:
            self._unopened -= 1
            self._idle.append(await self._connect())

    async def run(self, start_s: float) -> None:
        """Runs the plan from a time of time.monotonic(), until every request is answered or expired, or `stop`.

        The sweep expires every request in the end, so that a run ends soon after its plan.
        """
        self._run_start_s = start_s
        self._counters.measured_from_s = start_s + self._warm_up_s
        sweeping = self._loop.create_task(self._sweep())
        try:
            self._schedule()
            await self._finished.wait()
        finally:
            sweeping.cancel()
            self._timer.close()
            for task in self._opening:
                task.cancel()
            for connection in (*self._idle, *self._busy):
                connection.abort()

    def stop(self) -> None:
        """Ends the run; requests in flight are not counted as answered."""
        self._is_stopped = True
        self._finished.set()

    def on_response(self, connection: Connection, request: Request, response: Response) -> None:
        """A connection has a response, and is free for the next request."""
        now = time.monotonic()
        self._busy.discard(connection)
        self._counters.on_answered(request, response, now)
        if connection.is_usable:
            self._idle.append(connection)
        else:
            self._unopened += 1
        self._serve_waiting(now)

    def on_broken(self, connection: Connection, request: Request | None, reason: str) -> None:
        """A connection is lost."""
        if connection in self._busy:
            self._busy.discard(connection)
        elif connection in self._idle:
            self._idle.remove(connection)
        self._unopened += 1
        now = time.monotonic()
        if request is not None:
            self._counters.on_failed(request, reason, now)
        self._serve_waiting(now)

    def _start_due(self) -> None:
        """Starts the requests that are due, a few at a time."""
        if self._is_stopped:
            return
        for _ in range(STARTED_AT_ONCE):
            if not self._next:
                break
            offset_s, kind, user = self._next[0]
            start_s, now = self._run_start_s + offset_s, time.monotonic()
            if start_s > now:
                break
            self._next.popleft()
            self._start(Request(start_s, kind, user, offset_s >= self._warm_up_s), now)
        self._schedule()

    def _schedule(self) -> None:
        """Sets the timer to the next request of the plan."""
        if not self._next:
            part = slice(self._taken, self._taken + _READ_AHEAD)
            self._taken = part.stop
            plan = self._plan
            starts, kinds, users = plan.starts_s[part], plan.kinds[part], plan.users[part]
            self._next.extend(zip(starts.tolist(), kinds.tolist(), users.tolist(), strict=True))
        if self._next:
            self._timer.set(self._run_start_s + self._next[0][0])
        else:
            self._finish_if_done()

    def _start(self, request: Request, now: float) -> None:
        self.started += 1
        if self._send(request):
            now = request.sent_s
        else:
            self._waiting.append(request)
            if request.measured:
                self._counters.waited += 1
        self._counters.on_started(request, now)

    def _send(self, request: Request) -> bool:
        """Whether a connection was free to take it."""
        while self._idle:
            connection = self._idle.pop()  # the last used: few connections stay warm at a low rate
            if connection.is_usable:
                self._busy.add(connection)
                message = self._messages.message(request.kind, request.user)
                request.sent_s = time.monotonic()
                connection.send(request, message)
                return True
            connection.abort()  # it is about to call `on_broken`, and would count twice
            self._unopened += 1
        if self._unopened:
            self._unopened -= 1
            request.sent_s = time.monotonic()
            task = self._loop.create_task(self._connect_and_send(request))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
            return True
        return False

    def _serve_waiting(self, now: float) -> None:
        """Gives free connections to the waiting requests, and expires those that waited too long."""
        while self._waiting and (self._idle or self._unopened):
            request = self._waiting.popleft()
            if now - request.start_s > self._timeout_s:
                self._counters.on_failed(request, "timeout", now)
            elif self._send(request):
                self._counters.on_sent_after_waiting(request, now)
            else:  # all idle connections were lost
                self._waiting.appendleft(request)
                break
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._taken >= len(self._plan) and not (self._next or self._busy or self._waiting or self._opening):
            self._finished.set()

    async def _connect(self) -> Connection:
        connection = Connection(self)
        target = self._target
        await self._loop.create_connection(lambda: connection, target.host, target.port, ssl=self._tls)
        if not connection.is_usable:
            raise ConnectionResetError("the service closed a connection at once")
        return connection

    async def _connect_and_send(self, request: Request) -> None:
        """Opens another connection for a request, which counts as sent when opening starts."""
        try:
            async with asyncio.timeout(max(request.start_s + self._timeout_s - request.sent_s, 0)):
                connection = await self._connect()
        except (OSError, TimeoutError) as error:
            self._unopened += 1
            reason = "timeout" if isinstance(error, TimeoutError) else "connect"
            self._counters.on_failed(request, reason, time.monotonic())
            self._loop.call_soon(self._serve_waiting, time.monotonic())
            return
        self._busy.add(connection)
        connection.send(request, self._messages.message(request.kind, request.user))

    async def _sweep(self) -> None:
        """Expires requests and closes their connections, on which a response may still arrive."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            busy = [(one, one.request) for one in self._busy if one.request is not None]
            for connection, request in busy:
                if now - request.start_s > self._timeout_s:
                    connection.abort()
                    self._busy.discard(connection)
                    self._unopened += 1
                    self._counters.on_failed(request, "timeout", now)
            while self._waiting and now - self._waiting[0].start_s > self._timeout_s:
                self._counters.on_failed(self._waiting.popleft(), "timeout", now)
            self._serve_waiting(now)
