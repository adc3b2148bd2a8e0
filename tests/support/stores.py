"""Stores for tests: servers on this machine, and doubles that fail when a test says so."""

import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

from models.errors import StoreUnavailableError
from models.store import error_mapping
from models.store.embedded.binary import server_binary
from models.store.protocol import AsyncStore, SyncStore
from models.store.transaction import Outcome
from tests.support.clock import wait_for
from tests.support.memory_store import AsyncMemoryStore, MemoryStore


class AwaitedStore:
    """All operations of a SyncStore, awaited; those that AsyncStore has go through `awaited` if it is given."""

    def __init__(self, store: SyncStore, awaited: AsyncStore | None = None) -> None:
        self._store, self._awaited = store, awaited

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if hasattr(self._awaited, name):
            return getattr(self._awaited, name)  # type: ignore[no-any-return]

        async def call(*arguments: Any) -> Any:
            return getattr(self._store, name)(*arguments)

        return call

    async def scan(self, prefix: str) -> AsyncIterator[str]:
        for key in self._store.scan(prefix):
            yield key

    async def members_scan(self, key: str) -> AsyncIterator[bytes]:
        for member in self._store.members_scan(key):
            yield member

    async def aclose(self) -> None:
        if self._awaited is not None:
            await self._awaited.aclose()
        self._store.close()


class DisconnectableStore(AsyncMemoryStore):
    """A store in memory whose reads fail while `is_cut_off`."""

    ADDRESS = error_mapping.StoreAddress("The store at /srv/pymk/store")

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.is_cut_off = False

    async def get(self, key: str) -> bytes | None:
        self._check()
        return await super().get(key)

    async def get_many(self, keys: Any) -> list[bytes | None]:
        self._check()
        return await super().get_many(keys)

    async def ping(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.is_cut_off:
            raise self.ADDRESS.failure(TimeoutError())


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class KillableStore:
    """A blocking store whose client is killed in an operation."""

    def __init__(self, store: SyncStore, left: int | None = None, *, is_done: bool = False) -> None:
        self._store = store
        self.left = left
        """operations before the one that kills; None: none does"""
        self.is_done = is_done
        """whether the store still carries out that operation"""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if self.left is None:
                return method(*arguments, **named)
            self.left -= 1
            if self.left < -1 or (self.left < 0 and not self.is_done):
                raise Killed
            answer = method(*arguments, **named)
            if self.left < 0:
                raise Killed
            return answer

        return call


class FailingCommits:
    """An awaited store one of whose commits fails."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self.left: int | None = None
        """commits before the one that fails; None: none fails"""
        self.is_done = False
        """whether that commit is carried out, and only its answer lost"""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, commits: Sequence[Any], wait_s: float | None = None) -> list[Outcome]:
        if self.left is None or not commits:
            return await self._store.commit(commits, wait_s)
        self.left -= 1
        if self.left >= 0:
            return await self._store.commit(commits, wait_s)
        self.left = None
        if self.is_done:
            await self._store.commit(commits, wait_s)
        raise StoreUnavailableError("The connection is lost.")


class ReplacedOperations:
    """A blocking store some of whose operations are replaced, by name."""

    def __init__(self, store: SyncStore, **replaced: Callable[..., Any]) -> None:
        self._store = store
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(self._store, name)


def free_port() -> int:
    """Returns a TCP port of this machine that nothing listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Returns different TCP ports of this machine that nothing listens on."""
    with ExitStack() as probes:
        ports = []
        for _ in range(count):
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


@contextmanager
def running_server(directory: Path, *options: str) -> Iterator[int]:
    """The port of a store server that runs as long as the context."""
    port = free_port()
    process = subprocess.Popen(
        [server_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options],
        cwd=directory,
        stdout=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(port=port) as client:
            wait_for(lambda: answers(client), timeout_s=10, interval_s=0.02)
        yield port
    finally:
        process.kill()
        process.wait()


def join_cluster(nodes: Sequence[tuple[Any, int, int]]) -> None:
    """Makes a cluster of two servers, given as redis.Redis, port and cluster port, each with half of the slots."""
    for epoch, ((node, _, _), slots) in enumerate(zip(nodes, ((0, 8191), (8192, 16383)), strict=True), start=1):
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
        node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
    (first, _, _), (_, port, cluster_port) = nodes
    first.execute_command("CLUSTER", "MEET", "127.0.0.1", port, cluster_port)
    for node, _, _ in nodes:
        wait_for(partial(has_state_ok, node), timeout_s=10, interval_s=0.02)


def has_state_ok(node: Any) -> bool:
    """Whether a node of a cluster, a redis.Redis, serves all slots."""
    return b"cluster_state:ok" in node.execute_command("CLUSTER", "INFO")


def answers(client: redis.Redis) -> bool:
    """Whether a server answers."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


class DyingStore:
    """All operations of a SyncStore, until it goes away: `left` operations after one that `begins` says starts it."""

    def __init__(self, store: SyncStore, left: int, begins: Callable[[str, tuple[Any, ...]], bool]) -> None:
        self._store, self._left, self._begins = store, left, begins
        self.has_begun = self.is_away = False

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)

        def called(*arguments: Any, **named: Any) -> Any:
            self.is_away = self.is_away or (self.has_begun and self._left <= 0)
            if self.is_away:
                raise StoreUnavailableError("the store does not answer")
            self._left -= self.has_begun
            self.has_begun = self.has_begun or self._begins(name, arguments)
            return operation(*arguments, **named)

        return called
