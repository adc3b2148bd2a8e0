"""The service on a real uvicorn server, as `pymk serve` configures it, and clients that write raw bytes."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from fastapi import FastAPI

from models.settings import Settings
from service.server.serve import configuration
from tests.support.api import application
from tests.support.memory_store import MemoryStore
from tests.support.versions import MakeVersion

TIMEOUT_S = 10.0


class HttpAnswer(NamedTuple):
    """What a server answered to one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> tuple[int, str]:
        """The status, and the last part of the type of the problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        return self.status, self.json["type"].removeprefix("urn:pymk:problem:")


@dataclass
class RawClient:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self, *, has_body: bool = True) -> HttpAnswer:
        """The next answer; fails if none comes in time or the connection ends."""
        async with asyncio.timeout(TIMEOUT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)) if has_body else 0)
        return HttpAnswer(int(head[0].split()[1]), headers, body)

    async def ask(self, *lines: str, body: bytes = b"", host: str = "localhost", has_body: bool = True) -> HttpAnswer:
        """Sends a request line and header lines, and a body; returns the answer."""
        own = [lines[0] + " HTTP/1.1", f"Host: {host}", *lines[1:]]
        if body:
            own.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*own, "", ""]).encode("latin-1") + body)
        return await self.answer(has_body=has_body)

    async def ended(self) -> bytes:
        """What still comes until the server ends the connection."""
        async with asyncio.timeout(TIMEOUT_S):
            with suppress(ConnectionError):
                return await self.reader.read()
        return b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


@dataclass
class HttpServer:
    """A server on a free port of the loopback address, in the event loop of the test."""

    port: int
    app: FastAPI
    store: MemoryStore
    server: uvicorn.Server
    closing: AsyncExitStack
    lines: list[dict[str, Any]] = field(default_factory=list)
    """log lines of requests"""

    async def connect(self) -> RawClient:
        client = RawClient(*await asyncio.open_connection("127.0.0.1", self.port))
        self.closing.push_async_callback(client.close)
        return client

    async def ask(self, *lines: str, **options: Any) -> HttpAnswer:
        """The answer to one request on a connection of its own."""
        return await (await self.connect()).ask(*lines, **options)

    def counted(self, name: str) -> float:
        """The value of a series of the metrics; requests of any method."""
        lines = self.app.state.container.metrics.text().decode().splitlines()
        series = [(re.sub(r'method="\w+",', "", line.rpartition(" ")[0]), line.rpartition(" ")[2]) for line in lines]
        return sum(float(value) for of, value in series if of == name)


@asynccontextmanager
async def open_server(
    home: Path, make_version: MakeVersion, *, send_buffer: int = 0, **settings: Any
) -> AsyncIterator[HttpServer]:
    """The service of tests.support.api on a server with these settings; `send_buffer` bytes wait in the kernel."""
    app, store, _ = application(home, make_version, **settings)
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    if send_buffer:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    server = uvicorn.Server(configuration(Settings(home=home, **settings), app))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
                await asyncio.sleep(0.01)
        async with AsyncExitStack() as closing:
            opened = HttpServer(listening.getsockname()[1], app, store, server, closing)

            class Log:
                """Keeps the lines."""

                def info(self, event: str, **facts: Any) -> None:
                    opened.lines.append({"event": event, **facts})

                error = info

            app.state.requests._log = Log()
            yield opened
    finally:
        server.should_exit = True
        await serving
