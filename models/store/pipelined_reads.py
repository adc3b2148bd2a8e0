"""Small reads over one connection that all requests of a process share.

A client library takes a connection for each call, writes, waits and gives it back, in more Python than all else that a
cached answer needs. Here commands go out as they come, several of a turn of the loop in one packet, and answers come
back in their order.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio import Connection, UnixDomainSocketConnection

SLICES = 8
"""pieces that the time for an answer is counted in (models.store.deadline.Patience says why)"""

_OWN = frozenset({"host", "port", "path", "username", "password", "db"})
_NOTHING_TO_US = frozenset(
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
"""arguments of the client library's connections that its own exchanges need"""

Dial = Callable[[Callable[[], "_Connection"]], Awaitable[object]]
"""connects a protocol to the server"""


class PipelineError(Exception):
    """The connection is not there, or the server answered with an error: another way has to find out what is wrong."""


class PipelinedReads:
    """Reads values; connects when it is first asked, and again where the connection was lost or is too slow.

    An answer that has not come in time is given up. What was sent behind it may still come; whoever asks later gets a
    connection of its own.
    """

    def __init__(self, dial: Dial, handshake: Sequence[Sequence[str]], timeout_s: float) -> None:
        """`handshake` are commands that every connection begins with."""
        self._dial = dial
        self._greeting = [encoded(command) for command in handshake]
        self._timeout_s = timeout_s
        self._wire: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def answer(self, *command: str) -> Any:
        """What the server answers to a command that changes nothing.

        Raises TimeoutError where no answer comes in time, PipelineError where none can come this way.
        """
        wire = self._wire
        if wire is None or wire.is_left:
            wire = await self._connected()
        answer = await wire.ask(encoded(command))
        if isinstance(answer, hiredis.HiredisError):
            raise PipelineError(str(answer))
        return answer

    async def _connected(self) -> "_Connection":
        async with asyncio.timeout(self._timeout_s), self._connecting:
            if self._wire is not None and not self._wire.is_left:
                return self._wire
            wire = _Connection(self._timeout_s / SLICES)
            try:
                await self._dial(lambda: wire)
            except TimeoutError:
                raise
            except OSError as error:
                raise PipelineError(str(error)) from error
            for command in self._greeting:
                wire.handshake(command)
            self._wire = wire
            return wire

    def close(self) -> None:
        """Drops the connection."""
        if self._wire is not None:
            self._wire.drop()


class _Connection(asyncio.Protocol):
    """One connection: who waits for its answers, in the order in which they were asked."""

    def __init__(self, slice_s: float) -> None:
        self.is_left = False
        """nothing more is asked over it"""
        self._slice_s = slice_s
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._slices = 0
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """What will be answered; TimeoutError or PipelineError where nothing is."""
        waiter: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None or self.is_left:
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
        """Sends a command whose refusal makes the connection useless."""
        self.ask(command).add_done_callback(self._handshaken)

    def drop(self) -> None:
        """Closes the connection at once; whoever still waits gets a PipelineError."""
        self.is_left = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # a stream's; those of uvloop are of no class of asyncio

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                waiter, _ = waiting.popleft()
                if not waiter.done():
                    waiter.set_result(answer)
        except (hiredis.HiredisError, IndexError):  # not what a server says, or more than it was asked
            self.drop()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_left, self._transport = True, None
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            waiter, _ = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(PipelineError(str(error or "the connection was lost")))

    def _send(self) -> None:
        """Sends what was asked since the loop last came by: one call of the system wakes the server for all of it."""
        unsent, self._unsent = self._unsent, []
        if self._transport is not None:
            self._transport.write(b"".join(unsent))

    def _count(self) -> None:
        """One slice of time has gone: gives up what is due by it."""
        self._timer = None
        self._slices += 1
        for waiter, due in self._waiting:
            if due <= self._slices and not waiter.done():
                waiter.set_exception(TimeoutError())
                self.is_left = True
        if self.is_left and all(waiter.done() for waiter, _ in self._waiting):
            self.drop()
        elif self._waiting:
            self._timer = self._loop.call_later(self._slice_s, self._count)

    def _handshaken(self, waiter: asyncio.Future[Any]) -> None:
        if waiter.cancelled() or waiter.exception() is not None or isinstance(waiter.result(), Exception):
            self.drop()


def encoded(command: Sequence[str]) -> bytes:
    """The bytes of a command in the protocol of Redis."""
    parts = [part.encode() for part in command]
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


def pipelined_reads_to(kind: type[object], options: Mapping[str, Any], timeout_s: float) -> PipelinedReads | None:
    """The lane to the server that a client library connects to by these means; None where it takes more than that.

    `kind` is the library's class of connection, `options` are its arguments.
    """
    if options.keys() - _OWN - _NOTHING_TO_US:
        return None
    loop = asyncio.get_running_loop()
    dial: Dial
    if kind is UnixDomainSocketConnection:

        async def dial(protocol: Callable[[], _Connection]) -> object:
            return await loop.create_unix_connection(protocol, options["path"])

    elif kind is Connection:

        async def dial(protocol: Callable[[], _Connection]) -> object:
            return await loop.create_connection(protocol, options.get("host", "localhost"), options.get("port", 6379))

    else:
        return None
    handshake: list[tuple[str, ...]] = []
    user, password, database = (options.get(name) for name in ("username", "password", "db"))
    if password is not None:
        handshake.append(("AUTH", password) if user is None else ("AUTH", user, password))
    if database:
        handshake.append(("SELECT", str(database)))
    return PipelinedReads(dial, handshake, timeout_s)
