"""A worker's health and metrics over HTTP: /health/live, /health/ready and /metrics."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
import structlog
from prometheus_client import make_wsgi_app

from service.worker.address import address_error
from service.worker.metrics import WorkerMetrics
from service.worker.worker import Worker

TIMEOUT_S = 5.0
"""how long a connection may take to send its request"""

Start = Callable[..., Any]
Answer = tuple[HTTPStatus, dict[str, Any]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = TIMEOUT_S

    def log_message(self, *_: Any) -> None:
        """No line for a request: they come every few seconds."""


@contextmanager
def answering(worker: Worker, host: str, port: int) -> Iterator[int]:
    """Answers in a thread as long as the context; yields the port, a free one for port 0.

    Raises PymkError if the port is taken, UsageError for an address of another machine.
    """
    try:
        kind = _ServerV6 if ":" in host else _Server
        server = make_server(host, port, application(worker), server_class=kind, handler_class=_Handler)
    except OSError as error:
        raise address_error(host, port, error) from error
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    structlog.get_logger().info("metrics_served", url=f"http://{host}:{server.server_port}/metrics")
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def application(worker: Worker) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """The WSGI application of the three routes."""
    metrics = make_wsgi_app(WorkerMetrics(worker).registry)
    health = {"/health/live": live, "/health/ready": ready}

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        if path != "/metrics" and path not in health:
            return _send(start, method, HTTPStatus.NOT_FOUND, {"detail": "/health/live, /health/ready and /metrics"})
        if method not in ("GET", "HEAD"):
            return _send(
                start, method, HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "GET or HEAD"}, ("Allow", "GET, HEAD")
            )
        if path == "/metrics":
            return metrics(environ, start) if method == "GET" else _send(start, method, HTTPStatus.OK, {})
        return _send(start, method, *health[path](worker))

    return answer


def live(worker: Worker) -> Answer:
    """Whether every part of the worker runs: restart it if one does not."""
    ended = sorted(thread.name for thread in worker.threads if not thread.is_alive())
    if ended:
        return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unavailable", "ended": ended}
    return HTTPStatus.OK, {"status": "ok"}


def ready(worker: Worker) -> Answer:
    """Whether the worker works: the store answers, a version is followed, and no part waits."""
    status, body = live(worker)
    fault = worker.contact.fault()
    if status is not HTTPStatus.OK or fault is not None or not worker.serves:
        detail = fault or ("no version is followed yet" if not worker.serves else "a part has ended")
        return HTTPStatus.SERVICE_UNAVAILABLE, {**body, "status": "unavailable", "detail": detail}
    return HTTPStatus.OK, {"status": "ready", "version": worker.serves}


def _send(
    start: Start, method: str, status: HTTPStatus, body: dict[str, Any], *headers: tuple[str, str]
) -> Iterable[bytes]:
    content = orjson.dumps(body)
    start(
        f"{status.value} {status.phrase}",
        [("Content-Type", "application/json"), ("Content-Length", str(len(content))), *headers],
    )
    return [] if method == "HEAD" else [content]
