"""The bytes of requests, put together from parts made before the first is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from secrets import token_hex
from urllib.parse import quote, urlsplit

import numpy as np
import orjson

from models.errors import UsageError
from models.schema.event_kinds import EventKind
from service.loadtest.mix import KINDS, Kind

STRANGER = "loadtest-"
"""what the ids of people begin with who exist nowhere"""
RECOMMENDATIONS, EVENTS, VERSION = "/pymk/recommendations", "/pymk/events", "/pymk/version"


@dataclass(frozen=True)
class Target:
    """Where the service is, and what all requests have in common."""

    host: str
    port: int
    secure: bool
    prefix: str
    """path that the routes stand below, without a slash at its end"""
    key: str | None
    context: str = "web"
    limit: int = 20

    @classmethod
    def of(cls, url: str, key: str | None, context: str, limit: int) -> "Target":
        """The target of an address. Raises UsageError where it is none."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{url} is no address: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"{url} is no address of a service; it looks like http://127.0.0.1:8000")
        if parts.username or parts.password:
            raise UsageError("put no password into the address; the key comes from the environment (see --help)")
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
        """What every request carries beside its host."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


class Messages:
    """Makes requests of one process; ids of events and of strangers never come twice, whichever process made them."""

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
        self._event_kinds, self._events = tuple(event_kinds), events
        self._context = target.context
        self._random = random
        self._token = token_hex(5)
        self._numbers = count()

    def message(self, kind: int, person: int) -> bytes:
        """One request of a kind, a position in KINDS, for the person at a position among the ids."""
        match KINDS[kind]:
            case Kind.CACHED:
                return self._start + self._quoted[person] + self._end
            case Kind.NO_CACHE:
                return self._start + self._quoted[person] + self._end_fresh
            case Kind.COLD:
                return b"%b%b%b-%x%b" % (
                    self._start,
                    STRANGER.encode(),
                    self._token.encode(),
                    next(self._numbers),
                    self._end,
                )
            case Kind.EVENT:
                body = orjson.dumps(self._batch(person))
                return b"%b%d\r\n\r\n%b" % (self._post, len(body), body)

    def _batch(self, person: int) -> list[dict[str, object]]:
        """Events of one viewer and other people."""
        viewer, others = self._ids[person], self._random.integers(len(self._ids), size=self._events).tolist()
        return [
            {
                "kind": self._event_kinds[at % len(self._event_kinds)],
                "user_id": viewer,
                "other_id": self._ids[other if other != person else other - 1],
                "event_id": f"{STRANGER}{self._token}-{next(self._numbers):x}",
                "context": self._context,
            }
            for at, other in enumerate(others)
        ]


def checked_kinds(text: str) -> tuple[str, ...]:
    """The event kinds of `kind,...`. Raises UsageError for one that does not exist."""
    kinds = tuple(part.strip() for part in text.split(",") if part.strip())
    known = {kind.word for kind in EventKind}
    if not kinds or not set(kinds) <= known:
        raise UsageError(f"--event-kinds is KIND,... of {', '.join(sorted(known))}")
    return kinds
