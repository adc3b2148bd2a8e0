"""The address of a worker's health and metrics, checked without loading the worker."""

import socket
from errno import EADDRINUSE

from models.errors import PymkError, UsageError


def check_metrics_address(host: str, port: int) -> None:
    """Returns if the address can be listened on. Raises PymkError if the port is taken, else UsageError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise address_error(host, port, error) from error


def address_error(host: str, port: int, error: OSError) -> PymkError:
    """What to say of an address that cannot be listened on."""
    if error.errno == EADDRINUSE:
        return PymkError(f"port {port} of {host} is taken by another process; choose another port")
    return UsageError(f"cannot listen on port {port} of {host}: {error.strerror}")
