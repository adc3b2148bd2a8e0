"""The middleware around every request: its id, admission, its one log line and its counts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from itertools import count
from secrets import token_hex
from time import perf_counter
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import PymkError
from models.settings import Settings
from models.system.logs import RequestLogger, user_hash
from service.metrics import REFUSED, Metrics
from service.web.auth import Access
from service.web.bodies import CLIENT_GONE, Bodies, ClientGoneError, timed_out
from service.web.callers import Cors, LocalCallers, one_host
from service.web.problems import MEDIA_TYPE, ProblemError, of_error, overloaded, too_large
from service.web.record import RECORD, Record
from service.web.route_table import RoutedPath, RouteTable, check_parameters, normal_path

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_WRITTEN = ("/pymk/events", "/pymk/users/")
_UNBOUNDED = ("/health/", "/metrics")
_PRIVATE = (b"cache-control", b"private, no-store")
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})


class Requests:
    """The outermost application: passes requests to the hot route or the others, logs and counts each."""

    def __init__(
        self,
        hot: Mapping[str, ASGIApp],
        others: ASGIApp,
        routes: RouteTable,
        access: Access,
        metrics: Metrics,
        settings: Settings,
        *,
        log_secret: str,
    ) -> None:
        """`hot` names by path the applications that answer GET past the routing of `others`."""
        self._hot = hot
        self._others = others
        self._routes = routes
        self._access = access
        self._metrics = metrics
        self._secret = log_secret
        self._most = settings.max_in_flight
        self._most_writes = settings.max_writes_in_flight
        self._bodies = Bodies(settings.max_body_bytes, settings.max_bodies_bytes, settings.body_timeout_s)
        self._max_body_bytes = settings.max_body_bytes
        self._cors = Cors(settings.cors_origins) if settings.cors_origins else None
        self._local = LocalCallers(settings.allowed_hosts, settings.cors_origins) if access.is_open else None
        self._checks = self._local is not None
        self._max_headers = settings.max_headers
        self._logs_client = settings.log_client
        self._in_flight = 0
        self._writing = 0
        self._prefix = token_hex(6)
        self._numbers = count(1)
        self._log = RequestLogger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request; an error that no handler below answered becomes a 500 and a log entry."""
        given = scope["headers"]
        headers = dict(given)
        if len(headers) != len(given):
            headers = joined(given)
            scope["headers"] = list(headers.items())
        record = Record(self._id(headers.get(b"x-request-id")), headers, scope.get("client"))
        scope[RECORD] = record
        if self._cors is not None:
            send = self._cors.sending(headers.get(b"origin"), send)
        try:
            host = headers.get(b"host")
            if self._checks or host is None or b"," in host or REFUSED in scope:
                self._check(scope, headers, host)
            if len(given) > self._max_headers:
                raise fault_of_connection(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            raw = scope.get("raw_path") or quote(scope["path"]).encode()
            if b"%" in raw or b"?" in raw:
                scope["path"] = normal_path(raw)
            path: str = scope["path"]
            hot = self._hot.get(path)
            if hot is not None and scope["method"] == "GET":
                if self._in_flight - self._writing >= self._most:
                    record.route = path
                    raise self._overload()
                self._in_flight += 1
                self._metrics.in_work(self._in_flight)
                try:
                    await hot(scope, receive, send)
                finally:
                    self._in_flight -= 1
            else:
                await self._other(scope, receive, send, record)
        except ClientGoneError:
            record.status = CLIENT_GONE
        except PymkError as error:
            await answer_problem(of_error(error), record, send)
        except Exception as error:
            self._log.error("request_failed", request_id=record.request_id, route=record.route, exc_info=error)
            record.status = 500
            if not record.facts.pop("begun", False):
                await answer_problem(of_error(error), record, send)
        finally:
            self._account(scope, record)

    def _check(self, scope: Scope, headers: Mapping[bytes, bytes], host: bytes | None) -> None:
        """Refuses what no route answers. Raises ProblemError."""
        if (fault := scope.get(REFUSED)) is not None:
            raise fault_of_connection(fault)
        one_host(host, scope["http_version"])
        if self._local is not None:
            self._local.check(host, headers.get(b"origin"))

    @contextmanager
    def _in_progress(self, path: str) -> Iterator[None]:
        """Counts a request among those in progress. Raises ProblemError 503 if there are too many."""
        if self._in_flight - self._writing >= self._most and not path.startswith(_UNBOUNDED):
            raise self._overload()
        self._in_flight += 1
        self._metrics.in_work(self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    @contextmanager
    def _writing_in_progress(self) -> Iterator[None]:
        """The same for a request that writes: many of them wait for the store's disk, and keep no list out."""
        if self._writing >= self._most_writes:
            raise self._overload()
        self._writing += 1
        self._in_flight += 1
        self._metrics.in_work(self._in_flight)
        try:
            yield
        finally:
            self._writing -= 1
            self._in_flight -= 1

    def close(self) -> None:
        """Ends what it keeps running."""
        self._bodies.close()

    def _overload(self) -> ProblemError:
        self._metrics.degraded.labels("overload").inc()
        return overloaded("too many requests are in progress; try again")

    async def _other(self, scope: Scope, receive: Receive, send: Send, record: Record) -> None:
        """Passes on to the FastAPI application.

        A request with a body takes its place among those in progress only when the body is there, so that bodies that
        stall keep nobody out. Ids in the path stay encoded, so that `/` in an id is no separator.
        """
        path, method = scope["path"], scope["method"]
        found = self._routes.find(path)
        # methods, parameters and the key
        if found is not None:
            record.route = found.path
            if method == "OPTIONS":
                await self._options(found, record, send)
                return
            if method == "HEAD":  # the server sends no body, since it goes by its own scope
                method = "GET"
                scope = {**scope, "method": method}
            operation = found.operations.get(method)
            if operation is None:
                raise not_allowed(scope["method"], found.allow)
            if scope["query_string"]:
                check_parameters(scope["query_string"], operation.parameters)
            if operation.scope is not None:
                await self._access.admit(record, operation.scope)
        # the body
        if self._is_too_large(record.headers.get(b"content-length", b"")):
            raise too_large()
        if found is None or method not in _WITH_BODY or not _has_body(record.headers):
            with self._in_progress(path):
                await self._pass_on(scope, receive, send, record)
            return
        async with self._bodies.read(record.headers, receive) as body:
            messages = iter(({"type": "http.request", "body": body, "more_body": False},))

            async def receive_read() -> Message:
                return next(messages, None) or await receive()

            with self._writing_in_progress() if path.startswith(_WRITTEN) else self._in_progress(path):
                await self._pass_on(scope, receive_read, send, record)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, record: Record) -> None:
        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                record.facts["begun"] = True
                own = [(b"x-request-id", record.request_id.encode()), *record.rate]
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    own.append(_PRIVATE)
                message["headers"] = [*message["headers"], *own]
            await send(message)

        hot = self._hot.get(scope["path"]) if scope["method"] == "GET" else None
        if hot is not None:  # HEAD of the hot route
            await hot(scope, receive, send)
            return
        await self._others(scope, receive, send_recorded)
        record.facts.pop("begun", None)

    async def _options(self, found: RoutedPath, record: Record, send: Send) -> None:
        """Answers which methods a path has; to a browser that asks for a page of another origin, what it may send."""
        record.status = 204
        allow = found.allow.encode()
        headers = [(b"allow", allow), _PRIVATE, (b"x-request-id", record.request_id.encode())]
        if self._cors is not None and b"access-control-request-method" in record.headers:
            headers += self._cors.preflight(allow)
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

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
        if record.key is not None:
            facts["key"] = record.key
        if self._logs_client:
            facts["client"] = record.client
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


def joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name; the values of a repeated one, which are one list (RFC 9110, 5.3), joined in their order."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def not_allowed(method: str, allow: str) -> ProblemError:
    """405 with the methods that the path has."""
    detail = f"{method} is not answered here; {allow} are"
    return ProblemError(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"Allow": allow})


def fault_of_connection(status: int) -> ProblemError:
    """The problem of a request that the server refused before its head was whole; the connection ends."""
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return timed_out("head")
    detail = {
        HTTPStatus.REQUEST_URI_TOO_LONG: "the request line is longer than this service accepts (PYMK_MAX_HEAD_BYTES)",
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the head has more bytes or fields than this service accepts "
        "(PYMK_MAX_HEAD_BYTES, PYMK_MAX_HEADERS)",
    }.get(HTTPStatus(status), "this is no request of HTTP/1.1")
    return ProblemError(HTTPStatus(status), detail, headers={"Connection": "close"})


async def answer_problem(problem: ProblemError, record: Record, send: Send) -> None:
    """Sends a problem document, and notes it in the record."""
    record.refused(problem)
    body = problem.body(record.request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        _PRIVATE,
        (b"x-request-id", record.request_id.encode()),
        *record.rate,
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": "http.response.start", "status": problem.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
