"""Browsers: which pages may call the service, and which names of this host are answered without keys."""

from collections.abc import Collection
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address

from starlette.types import Message, Send

from service.web.problems import Kind, ProblemError

Headers = list[tuple[bytes, bytes]]

REQUEST_HEADERS = b"Authorization, Cache-Control, Content-Encoding, Content-Type, Prefer, X-Request-Id"
"""what a page of another origin may send"""
RESPONSE_HEADERS = b"RateLimit, RateLimit-Policy, Retry-After, Server-Timing, X-Request-Id"
"""what it may read besides the body"""
_PREFLIGHT_S = b"600"


def one_host(host: bytes | None, version: str) -> None:
    """Returns if a request has the Host that its version of HTTP needs, once. Raises ProblemError 400."""
    if host is None:
        if version != "1.0":
            raise ProblemError(HTTPStatus.BAD_REQUEST, "a request of HTTP/1.1 needs the header Host")
    elif b"," in host:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Host must be given once")


class LocalCallers:
    """Without keys, refuses what a page of another site makes a browser send to this host.

    A foreign page may send simple requests to the loopback address, which then have its Origin; and it may give its own
    name the loopback address (DNS rebinding), which then stands in Host.
    """

    def __init__(self, hosts: Collection[str], origins: Collection[str]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.encode() for origin in origins)
        self._is_local = lru_cache(1024)(self._named)

    def check(self, host: bytes | None, origin: bytes | None) -> None:
        """Returns if Host names this host and Origin is absent, the same or allowed. Raises ProblemError 403."""
        if host is not None and not self._is_local(host):
            raise _foreign("Host is no name of the loopback address; PYMK_ALLOWED_HOSTS names others, PYMK_KEYS asks")
        if origin is not None and origin not in self._origins and origin.partition(b"://")[2] != host:
            raise _foreign("Origin is another site's; PYMK_CORS_ORIGINS names those that may call")

    def _named(self, host: bytes) -> bool:
        name = host.decode("latin-1").lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        name = name.removesuffix(".")
        try:
            return ip_address(name).is_loopback or name in self._hosts
        except ValueError:
            return name == "localhost" or name in self._hosts


def _foreign(detail: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.FORBIDDEN, f"without keys only this host is answered: {detail}", kind=Kind.FOREIGN_ORIGIN
    )


class Cors:
    """The headers of Cross-Origin Resource Sharing for pages of the configured origins."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._is_any = b"*" in self._origins

    def allowed(self, origin: bytes | None) -> Headers:
        """The headers that let a page of this origin read an answer; without an allowed origin only Vary."""
        if origin is None or not (self._is_any or origin in self._origins):
            return [] if self._is_any else [(b"vary", b"Origin")]
        shown = [(b"access-control-expose-headers", RESPONSE_HEADERS)]
        if self._is_any:
            return [(b"access-control-allow-origin", b"*"), *shown]
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), *shown]

    def sending(self, origin: bytes | None, send: Send) -> Send:
        """A `send` that adds these headers to the answer."""
        own = self.allowed(origin)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *own]
            await send(message)

        return with_headers

    @staticmethod
    def preflight(methods: bytes) -> Headers:
        """What the answer to OPTIONS says to a browser that asks before it sends; `allowed` adds the origin."""
        return [
            (b"access-control-allow-methods", methods),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", _PREFLIGHT_S),
        ]
