"""The bytes of requests, joined from parts that are made before the first is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from secrets import token_hex
from urllib.parse import quote, urlsplit

import numpy as np
import orjson

from models.errors import UsageError
from models.schema.event_kinds import EventKind
from service.loadtest.workload import KINDS, Kind

UNKNOWN_PREFIX = "loadtest-"
"""of the ids of users that do not exist"""
RECOMMENDATIONS, EVENTS, VERSION = "/pymk/recommendations", "/pymk/events", "/pymk/version"


@dataclass(frozen=True)
class Target:
    """The address of the service, and what all requests have in common."""

    host: str
    port: int
    secure: bool
    prefix: str
    """path above the routes, without a slash at its end"""
    key: str | None
    context: str = "web"
    limit: int = 20

    @classmethod
    def of(cls, url: str, key: str | None, context: str, limit: int) -> "Target":
        """The target of a URL. Raises UsageError if the URL is none of a service."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{url} is not a URL: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"{url} is not the URL of a service, like http://127.0.0.1:8000")
        if parts.username or parts.password:
            raise UsageError("the URL must not hold a password; the key comes from the environment (see --help)")
        secure = parts.scheme == "https"
        fallback = 443 if secure else 80
        return cls(parts.hostname, port or fallback, secure, parts.path.rstrip("/"), key, context, limit)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request beside Host."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


class Messages:
    """Makes the requests of one process; ids of events and of unknown users are unique across processes."""

    def __init__(
        self, target: Target, ids: Sequence[str], event_kinds: Sequence[str], events: int, random: np.random.Generator
    ) -> None:
        host = target.origin.partition("://")[2]
        common = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
        fixed = f" HTTP/1.1\r\nHost: {host}\r\n{common}"
        path = f"{target.prefix}{RECOMMENDATIONS}?limit={target.limit}&context={target.context}&user_id="
        self._start = f"GET {path}".encode()
        self._end = f"{fixed}\r\n".encode()
        self._end_fresh = f"{fixed}Cache-Control: no-cache\r\n\r\n".encode()
        self._post = f"POST {target.prefix}{EVENTS}{fixed}Content-Type: application/json\r\nContent-Length: ".encode()
        self._quoted = [quote(one, safe="").encode() for one in ids]
        self._ids = ids
        self._event_kinds, self._events_each = tuple(event_kinds), events
        self._context = target.context
        self._random = random
        self._token = token_hex(5)
        self._numbers = count()

    def message(self, kind: int, user: int) -> bytes:
        """One request of a kind, a position in KINDS, for the user at a position among the ids."""
        match KINDS[kind]:
            case Kind.CACHED:
                return self._start + self._quoted[user] + self._end
            case Kind.NO_CACHE:
                return self._start + self._quoted[user] + self._end_fresh
            case Kind.COLD:
                return b"%b%b%b-%x%b" % (
                    self._start,
                    UNKNOWN_PREFIX.encode(),
                    self._token.encode(),
                    next(self._numbers),
                    self._end,
                )
            case Kind.EVENT:
                body = orjson.dumps(self._events_of(user))
                return b"%b%d\r\n\r\n%b" % (self._post, len(body), body)

    def _events_of(self, user: int) -> list[dict[str, object]]:
        """Events of one viewer and other users."""
        viewer, others = self._ids[user], self._random.integers(len(self._ids), size=self._events_each).tolist()
        return [
            {
                "kind": self._event_kinds[at % len(self._event_kinds)],
                "user_id": viewer,
                "other_id": self._ids[other if other != user else other - 1],
                "event_id": f"{UNKNOWN_PREFIX}{self._token}-{next(self._numbers):x}",
                "context": self._context,
            }
            for at, other in enumerate(others)
        ]


def parse_event_kinds(text: str) -> tuple[str, ...]:
    """The event kinds of `kind,...`. Raises UsageError for an unknown kind."""
    kinds = tuple(part.strip() for part in text.split(",") if part.strip())
    known = {kind.word for kind in EventKind}
    if not kinds or not set(kinds) <= known:
        raise UsageError(f"--event-kinds is KIND,... of {', '.join(sorted(known))}")
    return kinds
