"""The middleware around every request: its id, admission, its one log line and its counts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from secrets import token_hex
from time import perf_counter
from urllib.parse import quote

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.system.logs import user_hash
from service.metrics import Metrics
from service.web.problems import (
    MEDIA_TYPE,
    ProblemError,
    of_error,
    too_large,
    unavailable,
)

RECORD = "pymk.record"
"""key of the Record in the scope of a request"""

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_USERS = "/pymk/users/"
_UNBOUNDED = ("/health/", "/metrics")
_PRIVATE = (b"cache-control", b"private, no-store")
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})


@dataclass(slots=True)
class Record:
    """The record of one request, for its log line and its counts."""

    request_id: str
    headers: Mapping[bytes, bytes]
    started: float = field(default_factory=perf_counter)
    route: str = "none"
    """path of the route, with placeholders: user ids must not get into logs"""
    status: int = 500
    user_id: str | None = None
    facts: dict[str, object] = field(default_factory=dict)

    def refused(self, problem: ProblemError) -> None:
        """Records that the answer is a problem: its status, and the error that the log alone shows."""
        self.status = problem.status.value
        if problem.logged is not None:
            self.facts["error"] = problem.logged


class Requests:
    """The outermost application: passes requests to the hot route or the others, logs and counts each."""

    def __init__(
        self,
        hot: Mapping[str, ASGIApp],
        others: ASGIApp,
        metrics: Metrics,
        *,
        log_secret: str,
        max_in_flight: int,
        max_body_bytes: int,
    ) -> None:
        self._hot = hot
        self._others = others
        self._metrics = metrics
        self._secret = log_secret
        self._most = max_in_flight
        self._max_body_bytes = max_body_bytes
        self._in_flight = 0
        self._prefix = token_hex(6)
        self._numbers = count(1)
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request; an error that no handler below answered becomes a 500 and a log entry."""
        # the record of the request
        headers = dict(scope["headers"])
        record = Record(self._id(headers.get(b"x-request-id")), headers)
        scope[RECORD] = record
        path: str = scope["path"]
        # admission
        if self._in_flight >= self._most and not path.startswith(_UNBOUNDED):
            self._metrics.degraded.labels("overload").inc()
            if path in self._hot:  # the others' routes are found by routing
                record.route = path
            problem = unavailable("too many requests are in progress; try again", served="unavailable")
            await answer_problem(problem, record, send)
            self._account(scope, record)
            return
        # the answer
        self._in_flight += 1
        self._metrics.in_work(self._in_flight)
        try:
            hot = self._hot.get(path)
            if hot is not None:
                await hot(scope, receive, send)
            else:
                await self._other(scope, receive, send, record)
        except Exception as error:
            self._log.error("request_failed", request_id=record.request_id, route=record.route, exc_info=error)
            record.status = 500
            if not record.facts.pop("begun", False):
                await answer_problem(of_error(error), record, send)
        finally:
            self._in_flight -= 1
            self._account(scope, record)

    async def _other(self, scope: Scope, receive: Receive, send: Send, record: Record) -> None:
        """Passes on to the FastAPI application; ids in a path stay encoded, so that `/` in an id is no separator."""
        if scope["path"].startswith(_USERS):
            raw: bytes | None = scope.get("raw_path")
            scope["path"] = raw.split(b"?")[0].decode("ascii", "replace") if raw else quote(scope["path"])
        if self._is_too_large(record.headers.get(b"content-length", b"")):
            await answer_problem(too_large(), record, send)
            return

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                record.facts["begun"] = True
                own = [(b"x-request-id", record.request_id.encode())]
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    own.append(_PRIVATE)
                message["headers"] = [*message["headers"], *own]
            await send(message)

        await self._others(scope, receive, send_recorded)
        record.facts.pop("begun", None)

    def _is_too_large(self, length: bytes) -> bool:
        return length.isdigit() and int(length) > self._max_body_bytes

    def _account(self, scope: Scope, record: Record) -> None:
        """Counts and logs a request that was answered."""
        seconds = perf_counter() - record.started
        route = record.route
        if route == "none" and (matched := scope.get("route")) is not None:
            route = matched.path
        self._metrics.in_work(self._in_flight)
        self._metrics.answered(route, record.status, seconds, scope["method"])
        if route in _QUIET:
            return
        facts = record.facts
        if record.user_id is not None:
            facts["user"] = user_hash(record.user_id, self._secret)
        self._log.info(
            "request",
            request_id=record.request_id,
            method=scope["method"],
            route=route,
            status=record.status,
            ms=round(seconds * 1000, 3),
            **facts,
        )

    def _id(self, given: bytes | None) -> str:
        """The caller's request id if it is sane, else a new one: a prefix of this process and a number."""
        if given is not None and _SANE_ID.fullmatch(given):
            return given.decode()
        return f"{self._prefix}-{next(self._numbers):x}"


async def answer_problem(problem: ProblemError, record: Record, send: Send) -> None:
    """Sends a problem document, and notes it in the record."""
    record.refused(problem)
    body = problem.body(record.request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        _PRIVATE,
        (b"x-request-id", record.request_id.encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": "http.response.start", "status": problem.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
