"""A transport that sends the head and the body of a response in one write."""

import asyncio
from collections.abc import Callable
from typing import Any

_HEAD = b"HTTP/1.1 "


def _never() -> bool:
    return False


class CoalescingTransport:
    """A transport that holds the head of a response until the body follows in the same iteration of the event loop.

    uvicorn writes them apart: two system calls for the server, and two packets that wake the client twice. Everything
    else goes to the wrapped transport.

    A cached list costs 135 µs of processor time instead of 142 µs, and an application that only returns 3 KB answers
    15% more requests a second: wrk, 16 connections on the loopback, lower quartile of 60 and median of 40 pairs of
    rounds of a second, with and without in turn.
    """

    def __init__(self, transport: asyncio.Transport, lingers: Callable[[], bool] = _never) -> None:
        """`lingers` says, when the connection is to close, whether only its own side shall end."""
        self._transport = transport
        self._lingers = lingers
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Writes data after a held head, or holds the head of a response."""
        if not self._head and data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self.write_whole(data)

    def write_whole(self, data: bytes) -> None:
        """Writes data, after a held head, without holding anything."""
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def close(self) -> None:
        """Writes a held head and closes, or ends its own side alone if the connection lingers."""
        self._flush()
        if self._lingers() and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def release(self) -> None:
        """Forgets `lingers` once the connection is lost.

        A protocol that holds this and is asked by it would stay until the garbage collector finds the two.
        """
        self._lingers = _never

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
