"""Limits of rate by key, scope and address, and what a log line says of the caller."""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from models.errors import StoreUnavailableError
from tests.support.http.http_server import open_server
from tests.support.versions import MakeVersion

pytestmark = pytest.mark.anyio

LIST = "GET /pymk/recommendations?user_id=cid"
A, B = "Authorization: Bearer a", "Authorization: Bearer b"
KEYS = "a:read+write,b:read+write"


@pytest.fixture
def serve(tmp_path: Path, make_version: MakeVersion) -> Callable[..., Any]:
    return partial(open_server, tmp_path, make_version)


async def test_nothing_is_limited_by_default(serve: Any) -> None:
    async with serve(keys=KEYS) as server:
        answer = await server.ask(LIST, A)
        assert answer.status == 200
        assert "ratelimit" not in answer.headers


@pytest.mark.parametrize("shared", [False, True])
async def test_a_key_has_a_bucket_in_each_scope(serve: Any, shared: bool) -> None:
    async with serve(keys=KEYS, rate_limits="read:0.1:3,write:0.1:1", rate_shared=shared) as server:
        client = await server.connect()
        answers = [await client.ask(line, A) for line in (LIST, "GET /pymk/version", LIST.replace("GET", "GET"))]
        assert [answer.status for answer in answers] == [200] * 3
        assert [answer.headers["ratelimit"] for answer in answers] == [
            f'"read";r={left};t={full}' for left, full in ((2, 10), (1, 20), (0, 30))
        ]
        assert answers[0].headers["ratelimit-policy"] == '"read";q=3;w=30'
        for line in (LIST, "GET /pymk/version", "HEAD /pymk/version"):
            refused = await client.ask(line, A, has_body=not line.startswith("HEAD"))
            assert refused.status == 429
            assert refused.headers["retry-after"] == "10"
            assert refused.headers["ratelimit"] == '"read";r=0;t=30'
            if refused.body:
                assert refused.problem == (429, "rate-limited")
        assert (await client.ask("PUT /pymk/users/cid", A, body=b'{"name":"C"}')).status == 202, "another scope"
        assert (await client.ask(LIST, B)).status == 200, "another key"
        assert (await client.ask("GET /health/ready", A)).status == 200
        assert (await client.ask(LIST, "Authorization: Bearer c")).status == 401


async def test_a_refused_body_is_not_read(serve: Any) -> None:
    async with serve(keys=KEYS, rate_limits="write:0.1:1") as server:
        assert (await server.ask("POST /pymk/events", A, body=b"[]")).status == 202
        for line, status in ((A, 429), ("Authorization: Bearer c", 401)):
            client = await server.connect()
            await client.send(
                f"POST /pymk/events HTTP/1.1\r\nHost: h\r\n{line}\r\nContent-Length: 9000\r\n\r\n".encode()
            )
            assert (await client.answer()).status == status


@pytest.mark.parametrize("settings", [{}, {"keys": KEYS, "rate_by": "address"}])
async def test_without_keys_or_by_setting_an_address_has_a_bucket(serve: Any, settings: dict[str, str]) -> None:
    async with serve(rate_limits="read:0.1:2", trusted_proxies="127.0.0.1", **settings) as server:
        assert [(await server.ask(LIST, key)).status for key in (A, B, A)] == [200, 200, 429]
        assert (await server.ask(LIST, A, "X-Forwarded-For: 192.0.2.1")).status == 200, "another client of the proxy"
    async with serve(rate_limits="read:0.1:1", **settings) as server:
        answers = [await server.ask(LIST, A, f"X-Forwarded-For: 192.0.2.{n}") for n in range(2)]
        assert [answer.status for answer in answers] == [200, 429], "no proxy is trusted, so the header is a claim"


async def test_shared_buckets_are_in_the_store_and_expire(serve: Any) -> None:
    async with serve(keys=KEYS, rate_limits="read:0.1:1", rate_shared=True) as server:
        assert [(await server.ask(LIST, A)).status for _ in range(2)] == [200, 429]
        name = sha256(b"a").hexdigest()[:8]
        assert 10 <= server.store.ttl_s(f"pymk:rate:read:{name}") <= 12
        assert (await server.ask("GET /pymk/version", B)).status == 200
    async with serve(keys=KEYS, rate_limits="write:1:1", rate_shared=True) as server:
        assert (await server.ask(LIST, A)).status == 200
        assert list(server.store.scan("pymk:rate:")) == [], "a list that is not limited costs no trip"


async def test_without_the_store_each_process_counts_for_itself(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(keys=KEYS, rate_limits="read:0.1:1", rate_shared=True) as server:

        async def away(*_: Any) -> float:
            raise StoreUnavailableError("The store does not answer in time.")

        monkeypatch.setattr(server.app.state.container.stores.requests, "token_take", away, raising=False)
        assert [(await server.ask("GET /pymk/version", A)).status for _ in range(2)] == [200, 429]
        assert server.counted('pymk_degraded_total{reason="rate_limit"}') == 2


async def test_the_log_names_the_key_and_by_setting_the_address(serve: Any) -> None:
    async with serve(keys=KEYS) as server:
        await server.ask(LIST, A)
        await server.ask("GET /pymk/users/cid", B)
        await server.ask(LIST)
        assert [line.get("key") for line in server.lines] == [
            sha256(b"a").hexdigest()[:8],
            sha256(b"b").hexdigest()[:8],
            None,
        ]
        assert not any("client" in line for line in server.lines)
    async with serve(log_client=True, trusted_proxies="127.0.0.1") as server:
        await server.ask(LIST)
        await server.ask("GET /pymk/users/cid", "X-Forwarded-For: 192.0.2.7")
        assert [line["client"] for line in server.lines] == ["127.0.0.1", "192.0.2.7"]
