"""Which server is behind the address of a store, and that it is a primary.

A failover leaves connections open to a server that was demoted, or that nobody writes to any more. It still answers
reads, without what was acknowledged elsewhere since. So every connection asks its server for role and identity before
its first command, and every CHECK_S a further connection through the address asks again. If the server changed, all
connections made before are closed at their next use.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import redis.asyncio.connection
import redis.connection
import redis.exceptions as client

CHECK_S = 1.0
"""how often the address is asked for its server while the store is used"""
QUESTION = ("INFO", "server", "replication")


class NotPrimaryError(client.ConnectionError):
    """The server behind the address is a replica."""


class Primary:
    """The server that the connections of one client go to. Threads may share it."""

    def __init__(self) -> None:
        self.generation = 0
        """changes if the server does: connections of an earlier generation must not be used"""
        self.on_change: Callable[[], None] = lambda: None
        """called after `generation` changed"""
        self._server: str | None = None
        self._lock = threading.Lock()

    @property
    def is_identified(self) -> bool:
        """Whether the server said who it is; if not, another one in its place goes unnoticed."""
        return bool(self._server)

    def take(self, facts: Mapping[str, Any] | None) -> int:
        """Notes the answer to QUESTION, None if the store does not permit it; returns the generation of the server.

        Raises NotPrimaryError if the server is a replica.
        """
        facts = facts or {}
        if facts.get("role", "master") != "master":
            self.lost()
            upstream = f"{facts.get('master_host')}:{facts.get('master_port')}"
            raise NotPrimaryError(f"the server behind this address is a replica of {upstream}")
        server = str(facts.get("run_id", ""))
        with self._lock:
            changed = self._server not in (None, server)
            self._server = server
            self.generation += changed
            generation = self.generation
        if changed:
            self.on_change()
        return generation

    def lost(self) -> None:
        """Gives up the server: an answer shows that it is no primary any more. Repeated without a connection in between
        it does nothing."""
        with self._lock:
            if self._server is None:
                return
            self._server = None
            self.generation += 1
        self.on_change()


class _Verified(redis.connection.AbstractConnection):
    """A connection whose server is a primary, and the one that later connections found too."""

    primary: Primary
    _generation = -1

    def connect(self) -> None:
        """Connects unless it is connected to the current server. Called before each use of a pooled connection."""
        if self.is_connected:
            if self._generation == self.primary.generation:
                return
            self.disconnect()  # type: ignore[no-untyped-call]
        self._generation = -1
        super().connect()  # type: ignore[no-untyped-call]
        try:
            self.send_command(*QUESTION, check_health=False)  # type: ignore[no-untyped-call]
            try:
                answer: bytes | None = self.read_response()
            except client.ResponseError:
                answer = None
            generation = self.primary.take(facts_of(answer))
        except BaseException:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise
        self._generation = generation


class _AsyncVerified(redis.asyncio.connection.AbstractConnection):
    """As _Verified, awaited."""

    primary: Primary
    _generation = -1

    async def connect(self) -> None:
        """Connects unless it is connected to the current server. Called before each use of a pooled connection."""
        if self.is_connected:
            if self._generation == self.primary.generation:
                return
            await self.disconnect(nowait=True)
        self._generation = -1  # if the handshake is cancelled, the connection is not used again
        await super().connect()  # type: ignore[no-untyped-call]
        try:
            await self.send_command(*QUESTION, check_health=False)
            try:
                answer: bytes | None = await self.read_response()
            except client.ResponseError:
                answer = None
            generation = self.primary.take(facts_of(answer))
        except BaseException:
            await self.disconnect(nowait=True)
            raise
        self._generation = generation


def facts_of(answer: object) -> dict[str, str] | None:
    """The fields of an answer to INFO; None if it is none."""
    if not isinstance(answer, bytes):
        return None
    lines = (line.partition(":") for line in answer.decode(errors="replace").splitlines())
    return {name: value for name, _, value in lines}


def verified(kind: type, primary: Primary) -> type:
    """The class of connections of this kind, blocking or awaited, that verify their server."""
    is_awaited = issubclass(kind, redis.asyncio.connection.AbstractConnection)
    return type(kind.__name__, (_AsyncVerified if is_awaited else _Verified, kind), {"primary": primary})
