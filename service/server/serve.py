"""`pymk serve`: the socket, the processes that serve it, and how they stop."""

import asyncio
import os
import resource
import signal
import socket
from contextlib import ExitStack
from errno import EADDRINUSE
from ipaddress import ip_address
from secrets import token_hex
from typing import NoReturn, cast

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from models.errors import PymkError, UsageError
from models.settings import Settings
from models.store.connect import open_sync
from service.metrics import SHARED_DIRECTORY
from service.server.connection_limits import ConnectionLimits
from service.server.http_protocol import HttpProtocols
from service.server.metrics_dir import metrics_directory

APPLICATION = "service.app:from_environment"
GRACE_S = 10
"""how long requests in flight may take after the signal to stop"""
KEEP_ALIVE_S = 65
"""how long an idle connection stays open: longer than the minute after which load balancers close theirs"""
_BACKLOG = 2048
_OTHER_FILES = 500
"""files besides connections: those of the version, modules, pipes"""


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serves until SIGTERM or SIGINT, then finishes the requests in flight.

    Keeps the embedded store running while it serves, for its processes. Raises UsageError for an address other than the
    loopback without keys, PymkError if the port is taken or the service cannot start.
    """
    listening = listening_socket(settings, host, port)
    _allow_files(settings.max_connections + settings.redis_connections + _OTHER_FILES)
    with ExitStack() as closing:
        closing.callback(listening.close)
        closing.callback(open_sync(settings).close)
        if settings.log_secret is None:
            os.environ["PYMK_LOG_SECRET"] = token_hex(16)  # one for all processes
        if not settings.keys:
            os.environ["PYMK_ALLOWED_HOSTS"] = ",".join([*settings.allowed_hosts, host])
        config = configuration(settings, APPLICATION, workers=workers)
        server = uvicorn.Server(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _exit)
        shown = f"[{host}]" if ":" in host else host
        structlog.get_logger().info("serving", url=f"http://{shown}:{listening.getsockname()[1]}", workers=workers)
        if workers == 1:
            server.run(sockets=[listening])
            if not server.started:
                raise PymkError("the service did not start; the lines above say why")
            return
        os.environ[SHARED_DIRECTORY] = str(closing.enter_context(metrics_directory()))
        Multiprocess(config, [listening]).run()


def _allow_files(wanted: int) -> None:
    """Lets this process and those that it starts open so many files, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        structlog.get_logger().warning("few_files", allowed=most, wanted=wanted, setting="PYMK_MAX_CONNECTIONS")


def configuration(settings: Settings, application: str | ASGIApp, *, workers: int = 1) -> uvicorn.Config:
    """How uvicorn serves an application, or the one that a name's factory makes, within the limits of the settings."""
    return uvicorn.Config(
        application,
        factory=isinstance(application, str),
        loop="uvloop",
        http=cast("type[asyncio.Protocol]", HttpProtocols(ConnectionLimits.of(settings))),
        ws="none",
        lifespan="on",
        workers=workers,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def _exit(*_: object) -> NoReturn:
    """Handles the signal that uvicorn raises again when it has stopped: a requested stop is no failure."""
    raise SystemExit(0)


def listening_socket(settings: Settings, host: str, port: int) -> socket.socket:
    """A socket that listens on the address.

    Raises UsageError for an address of another host, or one that needs keys if there are none, PymkError if it cannot
    be bound.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(f"--host {host} is no address of this machine: {error.strerror}") from error
    if not settings.keys and not ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise UsageError(
            f"without keys the service answers on the loopback address only, and --host {host} is another: "
            "set PYMK_KEYS=key:read+write,..."
        )
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == EADDRINUSE:
            raise PymkError(f"port {port} of {host} is taken by another process; choose another with --port") from error
        raise PymkError(f"cannot listen on port {port} of {host}: {error.strerror}") from error
    listening.set_inheritable(True)
    return listening
