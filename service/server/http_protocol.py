"""HTTP connections within limits: of bytes and fields of a head, of time, of connections."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.metrics import METRICS, REFUSED
from service.server.coalesced_writes import CoalescingTransport
from service.server.connection_limits import ConnectionLimits, Watch

_STEP = 8 << 10
"""bytes that are parsed before the limits are looked at; uvloop reads up to 256 KB at once, 50,000 fields of a head"""
_BODY_GRACE_S = 1.0
"""the application times a body, too, and answers; the connection is ended only if that was too late"""
_FULL = (
    b'{"type":"urn:pymk:problem:overloaded","title":"Service Unavailable","status":503,'
    b'"detail":"too many connections are open; try again"}'
)
_FULL_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
    b"retry-after: 1\r\nconnection: close\r\n\r\n%b" % (len(_FULL), _FULL)
)


class _RefusedError(Exception):
    """Stops the parser in the middle of a chunk."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a CoalescingTransport, with limits.

    A head that breaks a limit goes to the application too, with the status to answer under the key REFUSED of its
    scope, so that it is answered, logged and counted like any other.
    """

    def __init__(self, limits: ConnectionLimits, watch: Watch, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._most_head_bytes = limits.head_bytes
        self._watch = watch
        self.since: float | None = None
        self._seen: tuple[object, ...] = ()
        self._head_bytes = 0
        """bytes of a head that came in several pieces"""
        self._is_large = False
        """whether the piece that is being parsed is larger than a head may be"""
        self._overhead = 0
        """bytes received since a body's last content, in the piece that had it or later"""
        self._refused = self._lingers = False

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", CoalescingTransport(transport, self._linger)))
        if len(self.connections) > self._limits.connections:
            self._watch.count("limit")
            if not self._watch.make_room(self):
                self._refused = self._lingers = True
                self.transport.write(_FULL_ANSWER)
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._count_head(0)
        super().connection_lost(exc)
        cast("CoalescingTransport", self.transport).release()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keeps the connection of a client that has asked and sends no more, until it is answered."""
        last = self.pipeline[0][0] if self.pipeline else self.cycle
        if last is None or last.response_complete or self._in_head or self._in_body:
            return None
        last.keep_alive = False
        return True

    def _linger(self) -> bool:
        """Whether the connection, instead of ending, stays open for a client that still sends what nobody reads."""
        if self._lingers or not (self._refused or self._in_body):
            return False
        self._refused = self._lingers = True
        return True

    # what is received

    def data_received(self, data: bytes) -> None:
        if self._refused or self._overhead > self._most_head_bytes:
            self._take_slowly()
            if self._refused:
                return
        if len(data) > _STEP:
            self._receive_in_steps(data)
            return
        self._unset_keepalive_if_required()
        self._is_large = len(data) > self._most_head_bytes  # only if that is less than a step
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # none is offered: the request is answered as it is
        except httptools.HttpParserError:
            if self._in_body and not self._give_up_body():
                return
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope:
            if cycle.more_body:
                self._check_body(len(data))
        elif self._in_head:
            self._check_head(self._head_bytes + len(data) if self._head_bytes else 1 + self._size())

    def _receive_in_steps(self, data: bytes) -> None:
        for at in range(0, len(data), _STEP):
            self.data_received(data[at : at + _STEP])
            if self._refused:
                return

    def _take_slowly(self) -> None:
        """Pauses a client that sends what nobody reads: at full speed it would take all the time of the process."""
        if (self._refused or self.cycle.response_complete) and not self.flow.read_paused:
            self.flow.pause_reading()
            self._watch.resume_later(self)

    def on_headers_complete(self) -> None:
        if self._is_large or self._head_bytes or self.pipeline:
            self._check_whole_head()
        super().on_headers_complete()
        self.headers = []  # trailers come after the head was passed on, and are no part of it

    def on_body(self, body: bytes) -> None:
        if not self.cycle.response_complete:
            self._overhead = 0
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Notes the end of a body that was answered before it, too, unlike uvicorn."""
        cycle = self.cycle
        cycle.more_body = False
        self._overhead = 0
        cycle.message_event.set()

    @property
    def _in_head(self) -> bool:
        """Whether a head began and is not whole."""
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    @property
    def _in_body(self) -> bool:
        """Whether a body began and is not whole."""
        return self.cycle is not None and self.cycle.scope is self.scope and self.cycle.more_body

    def _check_head(self, size: int) -> None:
        """Refuses a head that is not whole and has `size` bytes, if it or all such heads together are too large."""
        self._count_head(size)
        if size > self._limits.head_bytes or len(self.headers) > self._limits.headers:
            self._refuse(self._too_large())
        elif self._watch.heads_bytes > self._limits.heads_bytes:
            self._watch.count("heads")
            self.abandon()

    def _check_whole_head(self) -> None:
        """Refuses a head that came in several pieces or with others. Raises _RefusedError."""
        if self._size() > self._limits.head_bytes:
            self._refuse(self._too_large())
        elif len(self.pipeline) >= self._limits.pipelined:
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            self._count_head(0)
            return
        raise _RefusedError

    def _check_body(self, received: int) -> None:
        """Closes a connection that sends chunk headers or trailers without end."""
        self._overhead += received
        if self.cycle.response_complete:
            return
        if self._overhead > self._limits.head_bytes or len(self.headers) > self._limits.headers:
            self._watch.count("trailers")
            self.abandon()

    def _size(self) -> int:
        """The bytes of the head so far."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _count_head(self, size: int) -> None:
        self._watch.heads_bytes += size - self._head_bytes
        self._head_bytes = size

    def _give_up_body(self) -> bool:
        """Tells the request whose body is broken that nothing follows; returns whether it was the one in progress."""
        if self.pipeline:
            self.abandon()
            return False
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return True

    def _too_large(self) -> HTTPStatus:
        if not self.headers or len(self.url) > self._limits.head_bytes:
            return HTTPStatus.REQUEST_URI_TOO_LONG
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE

    def _refuse(self, status: HTTPStatus) -> None:
        """Has the application answer with a problem of this status, after the requests before it; then it ends."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._count_head(0)
        if not self._in_head:
            super().on_message_begin()  # the fault came before a head began
        scope = cast("dict[str, Any]", self.scope)
        scope |= {"headers": [], "path": "", "raw_path": b"", "query_string": b"", REFUSED: status}
        scope.setdefault("method", "-")
        before = self.cycle
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self.cycle.more_body = False
        if before is None or before.response_complete or before.disconnected:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    # what a Watch sees

    @property
    def waits_s(self) -> float | None:
        if self._lingers:
            return self._limits.linger_s
        if self._in_body:
            return self._limits.body_s + _BODY_GRACE_S
        if self._in_head:
            return self._limits.head_s
        if self.cycle is not None and not self.cycle.response_complete:
            return self._limits.body_s if self.flow.write_paused else None
        return self._limits.head_s if self.timeout_keep_alive_task is None else None

    @property
    def is_waiting(self) -> bool:
        if self._refused or self.transport.is_closing():
            return self._lingers and not self.transport.is_closing()
        return self._in_head or self._in_body or self.cycle is None or self.cycle.response_complete

    def look(self, now: float) -> None:
        """Notes since when it is as it is."""
        seen = (self.cycle, self._in_head, self._in_body, self.flow.write_paused, self._lingers)
        if seen != self._seen:
            self._seen, self.since = seen, now

    def expire(self) -> None:
        if self._in_head:
            self._watch.count("head")
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            return
        if not self._lingers:
            self._watch.count("body" if self._in_body else "answer" if self.flow.write_paused else "silent")
        self.abandon()

    def resume(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def abandon(self) -> None:
        self._refused = self._lingers = True
        self.transport.abort()


class HttpProtocols:
    """Makes the HttpProtocol of each connection of one server, all under one Watch."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._watch: Watch | None = None

    def __call__(self, **given: Any) -> HttpProtocol:
        """uvicorn calls this like the class of a protocol."""
        if self._watch is None:
            self._watch = Watch(self._limits, given["server_state"].connections, given["app_state"].get(METRICS))
        return HttpProtocol(self._limits, self._watch, **given)
