"""One connection to the service, for one request at a time."""

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

_SEARCHED_BYTES = 1200
"""of a body; `served` is within them: only an id and two tokens come before it"""
_SERVED = b'"served":"'


@dataclass(slots=True)
class Request:
    """A request in flight."""

    start_s: float
    """intended start, of time.monotonic()"""
    kind: int
    """position in service.loadtest.workload.KINDS"""
    user: int
    """position of the user"""
    measured: bool
    """False during the warm-up"""
    sent_s: float = 0.0


@dataclass(slots=True)
class Response:
    """What is counted of a response."""

    status: int = 0
    timing: bytes = b""
    """the header Server-Timing"""
    retry_after: bool = False
    served: str = ""
    """the field `served` of the list"""


class Owner(Protocol):
    """Gets the outcome of each request of a connection."""

    def on_response(self, connection: "Connection", request: Request, response: Response) -> None:
        """The response is complete; the connection can take another request unless it is closing."""
        ...

    def on_broken(self, connection: "Connection", request: Request | None, reason: str) -> None:
        """The connection is lost; `request` got no response."""
        ...


class Connection(asyncio.Protocol):
    """The client's end of a connection, on the parser that uvicorn uses, without the layers of a client library."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._response = Response()
        self.request: Request | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: Request, message: bytes) -> None:
        """Sends a request; one at a time."""
        assert self._transport is not None  # noqa: S101  # the owner checked `is_usable`
        self.request = request
        self._transport.write(message)

    def abort(self) -> None:
        """Closes at once, without a call to the owner."""
        self.request = None
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._break("protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is closed."""
        if self._transport is not None:
            self._break("closed")

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header of the response."""
        length = len(name)
        if length == 13 and name.lower() == b"server-timing":
            self._response.timing = value
        elif length == 11 and name.lower() == b"retry-after":
            self._response.retry_after = True

    def on_body(self, body: bytes) -> None:
        """httptools: a part of the body, of which the first holds `served`."""
        response = self._response
        if not response.served:
            start = body.find(_SERVED, 0, _SEARCHED_BYTES)
            if start >= 0:
                start += len(_SERVED)
                response.served = body[start : body.find(b'"', start, start + 40)].decode("ascii", "replace")

    def on_message_complete(self) -> None:
        """httptools: the response is complete."""
        request, self.request = self.request, None
        response, self._response = self._response, Response()
        if request is None:
            self._break("protocol")
            return
        response.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()
        self._owner.on_response(self, request, response)

    def _break(self, reason: str) -> None:
        request = self.request
        self.abort()
        self._owner.on_broken(self, request, reason)
