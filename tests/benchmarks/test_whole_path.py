"""A request from its arrival to its answer: in this process, and over HTTP beside an empty FastAPI route.

The ratio to the empty route is what means the same on every machine; tests/load/paired.py measures it under load.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from models.settings import Settings
from service.app import create_app
from service.ranking.pipeline import Ranking
from service.ranking.rerank import Diversity, RerankSettings
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer

LOAD = Path(__file__).parents[1] / "load"
DEADLINE_S = 60.0


def expected(world: Any) -> dict[str, list[str]]:
    """By viewer, the list that scores, rules and order make of her block, without a store or HTTP."""
    ranking, vocabulary = (
        Ranking(world.tables, world.ranker, RerankSettings(Diversity("company", 5))),
        world.tables.vocabulary,
    )
    lists = {}
    for block in world.blocks:
        viewer = Viewer("", block.viewer)
        passing, _ = ranking.filter(ranking.score(ranking.reader.read(block, viewer), "web", Trace()), viewer, Trace())
        listed = ranking.rerank(passing, "web", 20, viewer, Trace())
        assert listed is not None
        rows = listed.rows.tolist()
        lists[vocabulary.user_id(block.viewer)] = [vocabulary.user_id(row) for row in rows]
    return lists


def shown(body: bytes) -> list[str]:
    return [one["user_id"] for one in json.loads(body)["recommendations"]]


def until_cached(ask: Callable[[], bytes]) -> None:
    """Asks until the list comes from the cache: it is kept behind the answer."""
    deadline = time.monotonic() + DEADLINE_S
    while json.loads(ask())["served"] != "cache":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def target(user_id: str) -> str:
    return f"user_id={quote(user_id, safe='')}&limit=20"


class InProcess:
    """The application without a server: one call is one request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def ask(self, user_id: str, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The body of a list. Raises AssertionError for another status than 200."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        path = "/pymk/recommendations"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": target(user_id).encode(),
            "root_path": "",
            "headers": [(b"host", b"localhost"), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self._app(scope, receive, send)
        assert sent[0]["status"] == 200, sent
        return b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture(scope="module")
def in_process(home: Path) -> Iterator[Callable[..., bytes]]:
    """Asks the application on the loop it lives on."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patched:
        patched.delenv("PYMK_KEYS", raising=False)
        app = create_app(Settings(home=home, redis_timeout_ms=5000))
        living = app.router.lifespan_context(app)
        runner.run(living.__aenter__())
        client = InProcess(app)
        try:
            yield lambda user_id, *headers: runner.run(client.ask(user_id, list(headers)))
        finally:
            runner.run(living.__aexit__(None, None, None))


@pytest.mark.benchmark(group="in process", warmup=True, min_rounds=500)
def test_full_ranking_in_process(benchmark: Any, world: Any, in_process: Callable[..., bytes]) -> None:
    fresh = (b"cache-control", b"no-cache")
    ids = cycle(world.ids())
    benchmark(lambda: in_process(next(ids), fresh))
    for user_id, listed in expected(world).items():
        assert shown(in_process(user_id, fresh)) == listed


@pytest.mark.benchmark(group="in process", warmup=True, min_rounds=500)
def test_cached_answer_in_process(benchmark: Any, world: Any, in_process: Callable[..., bytes]) -> None:
    for user_id in world.ids():
        until_cached(lambda user_id=user_id: in_process(user_id))
    ids = cycle(world.ids())
    answer = benchmark(lambda: in_process(next(ids)))
    assert json.loads(answer)["served"] == "cache"
    for user_id, listed in expected(world).items():
        assert shown(in_process(user_id)) == listed


class Client:
    """One connection, as lean as a client can be: what is measured is the server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises AssertionError for another status than 200."""
        self._socket.sendall(request)
        data = self._socket.recv(65536)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._socket.recv(65536)
        head = data[:end].lower()
        assert head.startswith(b"http/1.1 200"), head
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(data) < end + 4 + length:
            data += self._socket.recv(65536)
        return data[end + 4 :]


def request(path: str, *headers: str) -> bytes:
    return "".join([f"GET {path} HTTP/1.1\r\nHost: x\r\n", *(f"{one}\r\n" for one in headers), "\r\n"]).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def listening(command: list[str], port: int, path: str, log: Path, **settings: str) -> Iterator[Client]:
    """A client of a server that is ready; both end with the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL, env={**kept, **settings})
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                client = Client(port)
                client.ask(request(path))
                break
            except (OSError, AssertionError):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield client
        client.close()
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def empty_route(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    port = free_port()
    command = [sys.executable, str(LOAD / "empty_route.py"), str(port)]
    with listening(command, port, "/", tmp_path_factory.mktemp("empty") / "log") as client:
        yield client


@pytest.fixture(scope="module")
def served(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The service in its own process, with authorisation, metrics and log line."""
    port = free_port()
    command = [sys.executable, "-m", "models.cli", "serve", "--port", str(port)]
    settings = {"PYMK_HOME": str(home), "PYMK_KEYS": "key:read", "PYMK_REDIS_TIMEOUT_MS": "5000"}
    with listening(command, port, "/health/ready", tmp_path_factory.mktemp("served") / "log", **settings) as client:
        yield client


def requests(world: Any, *headers: str) -> dict[str, bytes]:
    key = "Authorization: Bearer key"
    return {one: request(f"/pymk/recommendations?{target(one)}", key, *headers) for one in world.ids()}


@pytest.mark.benchmark(group="over HTTP, one connection", warmup=True, min_rounds=500)
def test_empty_route_over_http(benchmark: Any, empty_route: Client) -> None:
    sampled_viewers = request("/")
    assert benchmark(lambda: empty_route.ask(sampled_viewers)) == b"{}"


@pytest.mark.benchmark(group="over HTTP, one connection", warmup=True, min_rounds=500)
def test_full_ranking_over_http(benchmark: Any, world: Any, served: Client) -> None:
    sampled_viewers = requests(world, "Cache-Control: no-cache")
    turn = cycle(sampled_viewers.values())
    benchmark(lambda: served.ask(next(turn)))
    for user_id, listed in expected(world).items():
        assert shown(served.ask(sampled_viewers[user_id])) == listed


@pytest.mark.benchmark(group="over HTTP, one connection", warmup=True, min_rounds=500)
def test_cached_answer_over_http(benchmark: Any, world: Any, served: Client) -> None:
    sampled_viewers = requests(world)
    for one in sampled_viewers.values():
        until_cached(lambda one=one: served.ask(one))
    turn = cycle(sampled_viewers.values())
    assert json.loads(benchmark(lambda: served.ask(next(turn))))["served"] == "cache"
    for user_id, listed in expected(world).items():
        assert shown(served.ask(sampled_viewers[user_id])) == listed
