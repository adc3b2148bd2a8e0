"""One connection to the service: a request, its answer, the next request."""

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

_LOOKED_AT = 1200
"""bytes of a body among which `served` stands: before it come at most an id and two tokens"""
_SERVED = b'"served":"'


@dataclass(slots=True)
class Asked:
    """A request under way."""

    at_s: float
    """intended start, of time.monotonic()"""
    kind: int
    """position in service.loadtest.mix.KINDS"""
    person: int
    measured: bool
    """it starts after the warm-up"""
    sent_s: float = 0.0


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int = 0
    timing: bytes = b""
    """the header Server-Timing"""
    retry_after: bool = False
    served: str = ""
    """how the list came about, by its own word"""


class Owner(Protocol):
    """Whom a connection tells what became of its request."""

    def answered(self, connection: "Connection", asked: Asked, answer: Answer) -> None:
        """The answer is complete; the connection can take another request unless it is closing."""
        ...

    def broken(self, connection: "Connection", asked: Asked | None, reason: str) -> None:
        """The connection is no more; `asked` was not answered."""
        ...


class Connection(asyncio.Protocol):
    """A client's end on the parser that uvicorn uses, without the layers of a client library."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer = Answer()
        self.asked: Asked | None = None

    @property
    def usable(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, asked: Asked, message: bytes) -> None:
        """Sends a request; one at a time."""
        assert self._transport is not None  # noqa: S101  # the owner asked `usable`
        self.asked = asked
        self._transport.write(message)

    def abort(self) -> None:
        """Closes at once, without a word to the owner."""
        self.asked = None
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it stands."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._break("protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: it fell."""
        if self._transport is not None:
            self._break("closed")

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header of the answer."""
        length = len(name)
        if length == 13 and name.lower() == b"server-timing":
            self._answer.timing = value
        elif length == 11 and name.lower() == b"retry-after":
            self._answer.retry_after = True

    def on_body(self, body: bytes) -> None:
        """httptools: a part of the body, of which the first says how the list came about."""
        answer = self._answer
        if not answer.served:
            start = body.find(_SERVED, 0, _LOOKED_AT)
            if start >= 0:
                start += len(_SERVED)
                answer.served = body[start : body.find(b'"', start, start + 40)].decode("ascii", "replace")

    def on_message_complete(self) -> None:
        """httptools: the answer is whole."""
        asked, self.asked = self.asked, None
        answer, self._answer = self._answer, Answer()
        if asked is None:
            self._break("protocol")
            return
        answer.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()
        self._owner.answered(self, asked, answer)

    def _break(self, reason: str) -> None:
        asked = self.asked
        self.abort()
        self._owner.broken(self, asked, reason)
