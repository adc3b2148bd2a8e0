"""Bodies of requests: read whole and unpacked, within bounds of bytes and time, before a request takes its place."""

import asyncio
import os
import threading
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from starlette.types import Receive

from service.web.problems import ProblemError, invalid, overloaded, too_large

CLIENT_GONE = 499
"""status, in log and metrics alone, of a request whose client left before its body was there (nginx's number)"""
_SLICE = 256 << 10
"""bytes unpacked at once"""
_GZIP = 16 + zlib.MAX_WBITS


class ClientGoneError(Exception):
    """The client left in the middle of its body: nobody waits for an answer."""


class Bodies:
    """Reads bodies, each of at most `max_bytes` in `timeout_s`, and of `max_total_bytes` at once in this process."""

    def __init__(self, max_bytes: int, max_total_bytes: int, timeout_s: float) -> None:
        self._most = max_bytes
        self._most_total = max(max_bytes, max_total_bytes)
        self._timeout_s = timeout_s
        self._held = 0
        self._unpacking = ThreadPoolExecutor(1, "unpack", _yield_to_others)

    @asynccontextmanager
    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> AsyncIterator[bytes]:
        """The body, unpacked, which counts as held until the context ends.

        Raises ClientGoneError; ProblemError 408 if it does not arrive in time, 413 if it is too large, 415 if it is
        packed otherwise than with gzip, 422 if it does not unpack, 503 if other bodies take the room.
        """
        held = _Held(self)
        try:
            encoding = headers.get(b"content-encoding", b"identity").strip().lower()
            if encoding not in {b"identity", b"gzip", b"x-gzip"}:
                raise ProblemError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    "Content-Encoding must be gzip, or absent",
                    headers={"Accept-Encoding": "gzip"},
                )
            try:
                async with asyncio.timeout(self._timeout_s):
                    body = await self._received(receive, held)
            except TimeoutError as error:
                raise timed_out("body") from error
            yield body if encoding == b"identity" else await self._unpacked(body, held)
        finally:
            self._held -= held.bytes

    async def _received(self, receive: Receive, held: "_Held") -> bytes:
        pieces = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece: bytes = message.get("body", b"")
            held.add(len(piece))
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def _unpacked(self, body: bytes, held: "_Held") -> bytes:
        """The content of a gzip file, unpacked one body at a time beside the event loop."""
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(self._unpacking, _gunzip, body, self._most)
        held.total = 0
        held.add(len(content))
        return content

    def close(self) -> None:
        """Ends the thread that unpacks."""
        self._unpacking.shutdown(wait=False, cancel_futures=True)

    def take(self, size: int, total: int) -> None:
        """Counts further bytes of a body that has `total` of them. Raises ProblemError 413 or 503."""
        if total > self._most:
            raise too_large()
        if self._held + size > self._most_total:
            raise overloaded("the bodies of other requests take the room (PYMK_MAX_BODIES_BYTES); try again")
        self._held += size


def _yield_to_others() -> None:
    """Gives this thread the lowest priority: what a client packed takes no processor from others' lists."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # Linux keeps priorities by thread


def _gunzip(body: bytes, most: int) -> bytes:
    """The content of a gzip file. Raises ProblemError 413 as soon as it is too large, 422 if the file is none."""
    pieces, size, rest = [], 0, body
    try:
        while rest:
            member = zlib.decompressobj(_GZIP)
            while not member.eof:
                piece = member.decompress(rest, _SLICE)
                rest = member.unconsumed_tail
                if not piece and not rest and not member.eof:
                    raise invalid("", "the body is not a whole gzip file", "body")
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    raise too_large()
            rest = member.unused_data
    except zlib.error as error:
        raise invalid("", "the body is said to be gzip, and is not", "body") from error
    return b"".join(pieces)


class _Held:
    """The bytes that one request holds: those received, and those unpacked."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.bytes = 0
        self.total = 0

    def add(self, size: int) -> None:
        self.total += size
        self._bodies.take(size, self.total)
        self.bytes += size


def timed_out(part: str) -> ProblemError:
    """408 for a head or a body that did not arrive in time; the connection ends."""
    return ProblemError(
        HTTPStatus.REQUEST_TIMEOUT,
        f"the {part} of the request did not arrive in time (PYMK_{part.upper()}_TIMEOUT_S)",
        headers={"Connection": "close"},
    )
