"""A TCP address that can be moved from one server to another while old connections stay where they are."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import redis

from tests.support.stores import free_port


class Forwarder:
    """Listens on `port` of the loopback and forwards each new connection to the port that `target` names then."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.connections = 0
        """accepted so far"""
        self._loop = asyncio.new_event_loop()
        self._listening: asyncio.Server | None = None

    async def listen(self) -> None:
        """Accepts connections; at the first time on a free port."""
        self._listening = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Closes the port; connections stay open."""
        assert self._listening is not None
        self._listening.close()

    def run(self, step: Coroutine[Any, Any, None]) -> None:
        """Runs one of the above in the thread of the forwarder."""
        asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ends = [writer]
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(upstream_writer)
            await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))
        except OSError:  # nobody listens there
            pass
        finally:
            for one in ends:
                one.transport.abort()

    @contextmanager
    def running(self) -> Iterator["Forwarder"]:
        """Runs in a thread of its own as long as the context."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            self.run(self.listen())
            yield self
        finally:
            self.run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    async def _end(self) -> None:
        await self.refuse()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)  # aborted connections are closed in the next round of the loop


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    writer.close()


@dataclass
class Pair:
    """A primary, its replica, and the address that clients use."""

    old: redis.Redis
    new: redis.Redis
    new_port: int
    address: Forwarder

    def demote(self) -> None:
        """Makes the primary a replica of nobody that answers: it keeps what it has."""
        self.old.replicaof("127.0.0.1", free_port())

    def promote(self) -> None:
        """Makes the replica a primary."""
        self.new.replicaof("NO", "ONE")

    def move(self) -> None:
        """Has new connections reach the other server."""
        self.address.target = self.new_port
