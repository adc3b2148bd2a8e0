"""The primary of a store whose failover Sentinels decide (Redis and Valkey, "High availability with Sentinel").

Each new connection asks them for the primary's address. Sentinels that a partition left behind name a former primary:
the answer of the latest configuration counts, of as many Sentinels as make a majority, if so many answer in time.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.connection
import redis.connection
import redis.exceptions as client
from redis.backoff import NoBackoff
from redis.retry import Retry

SCHEMES = ("redis+sentinel://", "rediss+sentinel://")
PORT = 26379
ANSWER_S = 0.5
"""how long the Sentinels may take for one answer"""
_PARAMETERS = {"sentinel_username", "sentinel_password"}

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/database]; rediss+sentinel for TLS.

    User and password are the store's. Those of the Sentinels are parameters: ?sentinel_username=...&sentinel_password=
    """

    sentinels: tuple[Address, ...]
    service: str
    database: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    is_encrypted: bool = False

    @classmethod
    def parse(cls, url: str) -> "SentinelUrl":
        """The parts of a URL. Raises ValueError."""
        parts = urlsplit(url)
        if not url.startswith(SCHEMES):
            raise ValueError(f"it begins with neither {' nor '.join(SCHEMES)}")
        credentials, _, hosts = parts.netloc.rpartition("@")
        service, _, database = unquote(parts.path).strip("/").partition("/")
        if not service:
            raise ValueError("the name of the service is missing")
        given = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        if given.keys() - _PARAMETERS:
            raise ValueError(f"unknown parameter {min(given.keys() - _PARAMETERS)}")
        username, _, password = credentials.partition(":")
        return cls(
            tuple(address_of(host, PORT) for host in hosts.split(",")),
            service,
            int(database or 0),
            unquote(username) or None,
            unquote(password) or None,
            given.get("sentinel_username"),
            given.get("sentinel_password"),
            url.startswith(SCHEMES[1]),
        )

    def __str__(self) -> str:
        """Without passwords."""
        return f"{','.join(f'{host}:{port}' for host, port in self.sentinels)}/{self.service}"

    @property
    def store_options(self) -> dict[str, Any]:
        """The arguments of a connection to the store beside its address."""
        given = {"username": self.username, "password": self.password, "db": self.database}
        return {name: value for name, value in given.items() if value}

    def sentinel_options(self) -> Iterator[dict[str, Any]]:
        """For each Sentinel, the arguments of its client."""
        for host, port in self.sentinels:
            yield {
                "host": host,
                "port": port,
                "username": self.sentinel_username,
                "password": self.sentinel_password,
                "ssl": self.is_encrypted,
                "protocol": 2,
                "driver_info": None,
                "socket_timeout": ANSWER_S,
                "socket_connect_timeout": ANSWER_S,
                # the default is ten retries with growing pauses
                "retry": Retry(NoBackoff(), 0),
            }


def address_of(text: str, port: int) -> Address:
    """Host and port of `host`, `host:port`, `[ipv6]` or `[ipv6]:port`; `port` if none is given. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path:
        raise ValueError(f"no host in {text!r}")
    return parts.hostname, parts.port or port


def latest(answers: Iterable[Mapping[str, Any]], service: str) -> Address:
    """The address of the primary by the answers of the latest configuration to SENTINEL MASTER.

    Raises a client error if no Sentinel answered, or all of those say that the primary is down.
    """
    known = list(answers)
    if not known:
        raise client.ConnectionError(f"no Sentinel names a primary of {service}")
    epoch = max(int(answer["config-epoch"]) for answer in known)
    for answer in known:
        if int(answer["config-epoch"]) == epoch and not (answer["is_sdown"] or answer["is_odown"]):
            return str(answer["ip"]), int(answer["port"])
    raise client.ConnectionError(f"the Sentinels say that the primary of {service} is down")


def _state(answer: object) -> Mapping[str, Any]:
    """What a Sentinel says of a primary. Raises a client error if it is no such answer."""
    if not isinstance(answer, Mapping):
        raise client.InvalidResponse(f"SENTINEL MASTER answered {answer!r}")
    return answer


class Sentinels:
    """Asked by threads that block."""

    def __init__(self, url: SentinelUrl) -> None:
        self._service = url.service
        self._clients = [redis.Redis(**options) for options in url.sentinel_options()]

    def primary(self) -> Address:
        """The address of the primary. Raises a client error if nobody knows it."""
        return latest(self._answers(), self._service)

    def _answers(self) -> Iterator[Mapping[str, Any]]:
        left = len(self._clients) // 2 + 1
        for sentinel in self._clients:
            try:
                yield _state(sentinel.sentinel_master(self._service))
            except (client.RedisError, OSError):
                # another one may answer, and this one is asked last from now on
                self._clients = [*(one for one in self._clients if one is not sentinel), sentinel]
                continue
            left -= 1
            if not left:
                return

    def close(self) -> None:
        """Closes the connections."""
        for sentinel in self._clients:
            sentinel.close()


class AsyncSentinels:
    """Asked by coroutines of one event loop, all at once."""

    def __init__(self, url: SentinelUrl) -> None:
        self._service = url.service
        self._clients = [redis.asyncio.Redis(**options) for options in url.sentinel_options()]

    async def primary(self) -> Address:
        """The address of the primary. Raises a client error if nobody knows it."""
        asked = {asyncio.ensure_future(self._ask(sentinel)) for sentinel in self._clients}
        waiting, answers = set(asked), list[Mapping[str, Any]]()
        try:
            async with asyncio.timeout(ANSWER_S):
                while waiting and len(answers) <= len(asked) // 2:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    answers += [answer for one in done if (answer := one.result()) is not None]
        except TimeoutError:
            pass  # those that answered decide
        finally:
            for one in waiting:
                one.cancel()
        return latest(answers, self._service)

    async def _ask(self, sentinel: redis.asyncio.Redis) -> Mapping[str, Any] | None:
        try:
            return _state(await sentinel.sentinel_master(self._service))
        except (client.RedisError, OSError):
            return None

    async def aclose(self) -> None:
        """Closes the connections."""
        for sentinel in self._clients:
            await sentinel.aclose()


class _BySentinel(redis.connection.Connection):
    """A connection to the server that the Sentinels call the primary when it is made."""

    sentinels: Sentinels

    def connect(self) -> None:
        """Asks for the address and connects there, unless it is connected."""
        if not self.is_connected:
            self.host, self.port = self.sentinels.primary()
        super().connect()  # type: ignore[no-untyped-call]


class _AsyncBySentinel(redis.asyncio.connection.Connection):
    """As _BySentinel, awaited."""

    sentinels: AsyncSentinels

    async def connect(self) -> None:
        """Asks for the address and connects there, unless it is connected."""
        if not self.is_connected:
            self.host, self.port = await self.sentinels.primary()
        await super().connect()  # type: ignore[no-untyped-call]


def named_by(sentinels: Sentinels | AsyncSentinels, kind: type) -> type:
    """The class of connections of this kind, blocking or awaited, that ask these Sentinels for their address."""
    own = _AsyncBySentinel if isinstance(sentinels, AsyncSentinels) else _BySentinel
    return type(kind.__name__, (own, kind) if kind not in own.__mro__ else (own,), {"sentinels": sentinels})
