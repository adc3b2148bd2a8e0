"""Small reads over one pipelined connection that all requests of a process share.

A client library acquires a connection for each call, which costs more Python than the rest of a cached answer. Here
commands are sent at once, all of one loop iteration in one packet, and are answered in their order.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio import Connection, UnixDomainSocketConnection
from redis.exceptions import RedisError

from models.store.failover.primary import QUESTION, NotPrimaryError, Primary, facts_of
from models.store.failover.sentinel import AsyncSentinels

SLICES = 8
"""slices in which the timeout is counted (see models.store.deadline.Deadline)"""

_USED = frozenset({"host", "port", "path", "username", "password", "db"})
_IGNORED = frozenset(
    {
        "retry",
        "protocol",
        "driver_info",
        "decode_responses",
        "socket_timeout",
        "socket_connect_timeout",
        "himport_registry",
    }
)
"""arguments of the client library's connections that only its own exchanges need"""

Dial = Callable[[Callable[[], "_Connection"]], Awaitable[object]]
"""connects a protocol to the server"""


class PipelineError(Exception):
    """The connection is lost, or the server answered with an error; the client library has to find out why."""


class PipelinedReads:
    """Reads values; connects on the first read, and again if the connection is lost or too slow.

    After a timeout the connection is left to the reads that are in flight, and later reads use another one.
    """

    def __init__(
        self,
        dial: Dial,
        handshake: Sequence[Sequence[str]],
        timeout_s: float,
        primary: Primary | None = None,
    ) -> None:
        """`handshake` are the first commands of every connection; `primary` is the server that each has to reach."""
        self._primary = primary
        if primary is not None:
            primary.on_change = self.reconnect
        self._dial = dial
        self._handshake = [encoded(command) for command in handshake]
        self._timeout_s = timeout_s
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._is_closed = False

    async def answer(self, *command: str) -> Any:
        """What the server answers to a command that changes nothing.

        Raises TimeoutError if no answer comes in time, PipelineError if the connection fails or the server refuses.
        """
        connection = self._connection
        if connection is None or connection.is_retired:
            connection = await self._open()
        answer = await connection.ask(encoded(command))
        if isinstance(answer, hiredis.HiredisError):
            raise PipelineError(str(answer))
        return answer

    async def _open(self) -> "_Connection":
        async with asyncio.timeout(self._timeout_s), self._connecting:
            if self._connection is not None and not self._connection.is_retired:
                return self._connection
            if self._is_closed:
                raise PipelineError("it was closed")
            connection = _Connection(self._timeout_s / SLICES)
            try:
                await self._dial(lambda: connection)
            except TimeoutError:
                raise
            except OSError as error:
                raise PipelineError(str(error)) from error
            for command in self._handshake:
                connection.handshake(command)
            if self._primary is not None:
                await self._verify(connection, self._primary)
            if self._is_closed:  # meanwhile
                connection.drop()
                raise PipelineError("it was closed")
            self._connection = connection
            return connection

    @staticmethod
    async def _verify(connection: "_Connection", primary: Primary) -> None:
        """Asks the server for its role before the first read. Raises PipelineError if it is no primary."""
        try:
            answer = await connection.ask(encoded(QUESTION))
            if connection.is_retired:
                raise PipelineError("the connection was lost")
            primary.take(facts_of(answer))
        except NotPrimaryError as error:
            connection.drop()
            raise PipelineError(str(error)) from error
        except BaseException:
            connection.drop()
            raise

    def reconnect(self) -> None:
        """Has later reads use another connection; those in flight are answered."""
        if self._connection is not None:
            self._connection.retire()

    def close(self) -> None:
        """Closes the connection; later reads raise PipelineError."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.drop()


class _Connection(asyncio.Protocol):
    """One connection and the reads in flight, in the order in which they were sent."""

    def __init__(self, slice_s: float) -> None:
        self.is_retired = False
        """no further read is sent over it"""
        self._slice_s = slice_s
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._slices = 0
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """A future of the answer; it raises TimeoutError or PipelineError if there is none."""
        waiter: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None or self.is_retired:
            waiter.set_exception(PipelineError("the connection was lost"))
            return waiter
        self._waiting.append((waiter, self._slices + SLICES))
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(command)
        if self._timer is None:
            self._timer = self._loop.call_later(self._slice_s, self._count)
        return waiter

    def handshake(self, command: bytes) -> None:
        """Sends a command; if it fails the connection is closed."""
        self.ask(command).add_done_callback(self._handshaken)

    def drop(self) -> None:
        """Closes the connection at once; reads in flight raise PipelineError."""
        self.is_retired = True
        if self._transport is not None:
            self._transport.abort()

    def retire(self) -> None:
        """Closes the connection as soon as no read is in flight."""
        self.is_retired = True
        if not self._waiting:
            self.drop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's classes do not derive from it

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                waiter, _ = waiting.popleft()
                if not waiter.done():
                    waiter.set_result(answer)
        except (hiredis.HiredisError, IndexError):  # a protocol error, or an answer without a read
            self.drop()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_retired, self._transport = True, None
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            waiter, _ = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(PipelineError(str(error or "the connection was lost")))

    def _send(self) -> None:
        """Sends the reads of this loop iteration in one system call."""
        unsent, self._unsent = self._unsent, []
        if self._transport is not None:
            self._transport.write(b"".join(unsent))

    def _count(self) -> None:
        """Counts one slice; times out the reads that are due."""
        self._timer = None
        self._slices += 1
        for waiter, due in self._waiting:
            if due <= self._slices and not waiter.done():
                waiter.set_exception(TimeoutError())
                self.is_retired = True
        if self.is_retired and all(waiter.done() for waiter, _ in self._waiting):
            self.drop()
        elif self._waiting:
            self._timer = self._loop.call_later(self._slice_s, self._count)

    def _handshaken(self, waiter: asyncio.Future[Any]) -> None:
        if waiter.cancelled() or waiter.exception() is not None or isinstance(waiter.result(), Exception):
            self.drop()


def encoded(command: Sequence[str]) -> bytes:
    """The bytes of a command in the Redis protocol."""
    parts = [part.encode() for part in command]
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


def pipelined_reads_to(
    kind: type[object],
    options: Mapping[str, Any],
    timeout_s: float,
    primary: Primary | None = None,
    sentinels: AsyncSentinels | None = None,
) -> PipelinedReads | None:
    """Pipelined reads from the server of a client library; None if its connections need other arguments.

    `kind` is the library's class of connection, `options` are its arguments; `primary` is the server to verify, and
    `sentinels` name its address where that is not among the arguments.
    """
    if options.keys() - _USED - _IGNORED:
        return None
    loop = asyncio.get_running_loop()
    dial: Dial
    if kind is UnixDomainSocketConnection:

        async def dial(protocol: Callable[[], _Connection]) -> object:
            return await loop.create_unix_connection(protocol, options["path"])

    elif kind is Connection:

        async def dial(protocol: Callable[[], _Connection]) -> object:
            address = options.get("host", "localhost"), options.get("port", 6379)
            if sentinels is not None:
                try:
                    address = await sentinels.primary()
                except RedisError as error:
                    raise PipelineError(str(error)) from error
            return await loop.create_connection(protocol, *address)

    else:
        return None
    handshake: list[tuple[str, ...]] = []
    user, password, database = (options.get(name) for name in ("username", "password", "db"))
    if password is not None:
        handshake.append(("AUTH", password) if user is None else ("AUTH", user, password))
    if database:
        handshake.append(("SELECT", str(database)))
    return PipelinedReads(dial, handshake, timeout_s, primary)
