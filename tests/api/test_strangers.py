"""Requests that a browser, a proxy or a mistake sends: refused clearly, or answered as meant."""

import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.http.http_server import open_server
from tests.support.versions import MakeVersion

pytestmark = pytest.mark.anyio

LIST = "GET /pymk/recommendations?user_id=cid"
POST = "POST /pymk/events"
JSON = "Content-Type: application/json"
EVENT = b'[{"kind":"dismiss","user_id":"cid","other_id":"gus"}]'
PAGE = "https://evil.example"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def serve(tmp_path: Path, make_version: MakeVersion) -> Callable[..., Any]:
    return partial(open_server, tmp_path, make_version)


# pages of other sites


@pytest.mark.parametrize("line", [POST, LIST, "GET /health/live", "OPTIONS /pymk/events", "DELETE /pymk/users/cid"])
async def test_without_keys_a_page_of_another_site_is_a_403(serve: Any, line: str) -> None:
    async with serve() as server:
        for origin in (PAGE, "null", "http://localhost:3000", "http://127.0.0.1"):
            answer = await server.ask(line, f"Origin: {origin}", "Content-Type: text/plain")
            assert answer.problem == (403, "foreign-origin")
        assert server.store.get("pymk:hidden") is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "0.0.0.0:8000", "[::]:8000", "10.0.0.1", "", "a@b"]
)
async def test_without_keys_a_foreign_host_is_a_403(serve: Any, host: str) -> None:
    async with serve() as server:
        for line in (LIST, POST, "GET /metrics"):
            answer = await server.ask(line, f"Origin: http://{host}", host=host)
            assert answer.problem == (403, "foreign-origin"), "a name that was bound to the loopback address later"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.8.9.1", "[::1]:8000", "localhost."]
)
async def test_without_keys_the_names_of_the_loopback_address_are_answered(serve: Any, host: str) -> None:
    async with serve() as server:
        assert (await server.ask(LIST, host=host)).status == 200
        assert (await server.ask(POST, JSON, f"Origin: http://{host}", host=host, body=EVENT)).status == 202


async def test_a_configured_host_is_answered_without_keys(serve: Any) -> None:
    async with serve(allowed_hosts="people.internal") as server:
        assert (await server.ask(LIST, host="people.internal:8000")).status == 200
        assert (await server.ask(LIST, host="others.internal")).status == 403


async def test_with_keys_host_and_origin_are_free(serve: Any) -> None:
    async with serve(keys="k:read+write") as server:
        answer = await server.ask(LIST, "Authorization: Bearer k", f"Origin: {PAGE}", host="api.example.org")
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("access-control")], "no page may read it"


async def test_a_configured_origin_may_call_and_no_other(serve: Any) -> None:
    async with serve(keys="k:read+write", cors_origins="https://app.example.org") as server:
        mine = "Origin: https://app.example.org"
        asked = await server.ask("OPTIONS /pymk/events", mine, "Access-Control-Request-Method: POST")
        assert (asked.status, asked.body) == (204, b"")
        assert asked.headers["access-control-allow-origin"] == "https://app.example.org"
        assert "Authorization" in asked.headers["access-control-allow-headers"]
        assert "POST" in asked.headers["access-control-allow-methods"]
        for line, status in ((LIST, 401), ("GET /nothing", 404), ("GET /metrics", 200)):
            answer = await server.ask(line, mine)
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "https://app.example.org")
            assert answer.headers["vary"] == "Origin"
            answer = await server.ask(line, f"Origin: {PAGE}")
            assert "access-control-allow-origin" not in answer.headers
    async with serve(cors_origins="https://app.example.org") as server:
        assert (await server.ask("GET /health/live", "Origin: https://app.example.org")).status == 200


# methods


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/pymk/recommendations", "GET, HEAD, OPTIONS, POST"),
        ("/pymk/users/a%2Fb", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/pymk/users/a/why/b", "GET, HEAD, OPTIONS"),
        ("/pymk/events", "OPTIONS, POST"),
        ("/admin/rollback", "OPTIONS, POST"),
        ("/health/live", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_names_the_methods_and_others_are_a_405(serve: Any, path: str, allow: str) -> None:
    async with serve() as server:
        answer = await server.ask(f"OPTIONS {path}")
        assert (answer.status, answer.headers["allow"], answer.body) == (204, allow, b"")
        answer = await server.ask(f"PATCH {path}")
        assert answer.problem == (405, "method-not-allowed")
        assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    "path",
    [
        *("/health/live", "/health/ready", "/metrics", "/", "/openapi.json", "/pymk/version", "/pymk/users/ann"),
        *("/pymk/recommendations?user_id=cid", "/pymk/users/cid/why/gus"),
    ],
)
async def test_head_is_get_without_the_body(serve: Any, path: str) -> None:
    async with serve() as server:
        client = await server.connect()
        for _ in range(2):
            answer = await client.ask(f"HEAD {path}", has_body=False)
            assert answer.status == 200
            assert int(answer.headers["content-length"]) > 0
        assert (await client.ask("GET /health/live")).json == {"status": "ok"}, "no byte of a body was sent"
        assert (await client.ask("HEAD /pymk/events", has_body=False)).status == 405
    assert {line["method"] for line in server.lines} <= {"HEAD", "GET"}


# bodies


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"])
async def test_a_body_that_is_said_to_be_something_else_than_json_is_a_415(serve: Any, kind: str) -> None:
    async with serve() as server:
        for line in (POST, "PUT /pymk/users/cid"):
            answer = await server.ask(line, f"Content-Type: {kind}", body=EVENT)
            assert answer.problem == (415, "unsupported-media-type")
            assert "Content-Type: application/json" in answer.json["detail"]
        assert (await server.ask(POST, "Content-Type: application/json; charset=utf-16", body=EVENT)).status == 415


@pytest.mark.parametrize(
    "kind", [JSON, "Content-Type: application/json; charset=UTF-8", "X: y", "Content-Type: a/a+json"]
)
async def test_json_and_no_type_at_all_are_read_as_json(serve: Any, kind: str) -> None:
    async with serve() as server:
        if "a/a" in kind:
            kind = "Content-Type: application/vnd.pymk.events+json"
        assert (await server.ask(POST, kind, body=EVENT)).json == {"accepted": 1}


async def test_a_gzip_body_is_unpacked(serve: Any) -> None:
    async with serve() as server:
        many = json.dumps([{**json.loads(EVENT)[0], "event_id": str(n)} for n in range(3000)]).encode()
        for packed in (gzip.compress(many), gzip.compress(many[:1000]) + gzip.compress(many[1000:])):
            assert (await server.ask(POST, JSON, "Content-Encoding: gzip", body=packed)).status == 202
        listed = (await server.ask(LIST)).json["recommendations"]
        assert "gus" not in [one["user_id"] for one in listed]


async def test_a_gzip_bomb_is_a_413_and_what_is_no_gzip_a_422(serve: Any) -> None:
    async with serve(max_body_bytes=1 << 20) as server:
        bomb = gzip.compress(b" " * (200 << 20))
        assert len(bomb) < 1 << 20
        assert (await server.ask(POST, JSON, "Content-Encoding: gzip", body=bomb)).problem == (413, "body-too-large")
        for wrong in (EVENT, gzip.compress(EVENT)[:-9], zlib.compress(EVENT)):
            answer = await server.ask(POST, JSON, "Content-Encoding: gzip", body=wrong)
            assert answer.problem == (422, "invalid-request")
        answer = await server.ask(POST, JSON, "Content-Encoding: br", body=EVENT)
        assert answer.problem == (415, "unsupported-media-type")
        assert answer.headers["accept-encoding"] == "gzip"


# heads


async def test_a_repeated_header_is_one_list(serve: Any) -> None:
    async with serve() as server:
        assert (await server.ask(LIST)).json["served"] == "ranked"
        await server.app.state.container.cache_writer.flush()
        assert (await server.ask(LIST)).json["served"] == "cache"
        answer = await server.ask(LIST, "Cache-Control: no-cache", "Cache-Control: max-age=0")
        assert answer.json["served"] == "ranked"
        tag = (await server.ask("GET /")).headers["etag"]
        answer = await server.ask("GET /", 'If-None-Match: "other"', f"If-None-Match: {tag}", has_body=False)
        assert answer.status == 304
    async with serve(keys="a:read,b:read") as server:
        answer = await server.ask(LIST, "Authorization: Bearer a", "Authorization: Bearer b")
        assert answer.problem == (401, "key-refused")


async def test_http_1_1_needs_one_host(serve: Any) -> None:
    async with serve() as server:
        for lines in (b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: localhost\r\nHost: evil\r\n"):
            client = await server.connect()
            await client.send(b"GET /health/live HTTP/1.1\r\n" + lines + b"\r\n")
            assert (await client.answer()).problem == (400, "bad-request")
        client = await server.connect()
        await client.send(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert (await client.answer()).status == 200, "HTTP/1.0 has no Host"


# paths and parameters


@pytest.mark.parametrize(
    "path", ["/pymk/events/", "/pymk/recommendations/?user_id=cid", "/pymk/users/cid/", "/metrics/"]
)
async def test_a_slash_at_the_end_is_a_404_and_redirects_nowhere(serve: Any, path: str) -> None:
    async with serve(keys="k:read+write") as server:
        for method in ("GET", "POST"):
            answer = await server.ask(f"{method} {path}", "Authorization: Bearer k", JSON, host="evil.example")
            assert answer.problem == (404, "not-found")
            assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/pymk/%75sers/ann", "/pymk/users/ann"),
        ("/%70ymk/users/%61nn", "/pymk/users/ann"),
        ("/pymk/users/%63%69%64/%77hy/gus", "/pymk/users/cid/why/gus"),
        ("/pymk/%72ecommendations?user_id=gus", "/pymk/recommendations?user_id=gus"),
        ("/health/%6Cive", "/health/live"),
        ("/pymk/version", "/pymk/%76ersi%6fn"),
    ],
)
async def test_an_encoded_letter_is_that_letter_in_every_path(serve: Any, path: str, same: str) -> None:
    async with serve() as server:
        one, other = [await server.ask(f"GET {which}") for which in (path, same)]
        assert (one.status, other.status) == (200, 200)
        assert {**one.json, "request_id": ""} == {**other.json, "request_id": ""}
        routes = {line["route"] for line in server.lines}
        assert len(routes) <= 1, "counted as one route"


@pytest.mark.parametrize("path", ["/pymk%2Fusers/ann", "/pymk%2Frecommendations?user_id=cid", "/health%2flive"])
async def test_an_encoded_slash_separates_nothing(serve: Any, path: str) -> None:
    async with serve() as server:
        assert (await server.ask(f"GET {path}")).status == 404


async def test_ids_stay_encoded_until_the_route_is_found(serve: Any) -> None:
    async with serve() as server:
        assert (await server.ask("PUT /pymk/users/a%2Fwhy%2Fb", JSON, body=b'{"name":"A"}')).status == 202
        assert (await server.ask("GET /pymk/users/a%2Fwhy%2Fb")).json == {"name": "A"}
        assert (await server.ask("PUT /pymk/users/%2575", JSON, body=b'{"name":"B"}')).status == 202
        assert (await server.ask("GET /pymk/users/%2575")).json == {"name": "B"}, "one round of decoding"
        assert (await server.ask("GET /pymk/users/u")).status == 404


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (LIST + "&lmit=2", "lmit: is no parameter of this route; did you mean limit?"),
        (
            LIST + "&page=2",
            "page: is no parameter of this route; there are context, cursor, exclude, fields, limit, user_id",
        ),
        (LIST + "&Limit=2", "Limit: is no parameter of this route; did you mean limit?"),
        ("GET /pymk/users/cid/why/gus?contxt=web", "contxt: is no parameter of this route; did you mean context?"),
        ("GET /pymk/users/cid/why/gus?context=web&context=email", "context: must be given once"),
        ("GET /pymk/users/cid?limit=2", "limit: is no parameter of this route; there is none"),
        ("POST /pymk/events?dry_run=1", "dry_run: is no parameter of this route; there is none"),
        ("DELETE /pymk/users/cid?really=no", "really: is no parameter of this route; there is none"),
        ("GET /health/live?x", "x: is no parameter of this route; there is none"),
    ],
)
async def test_an_unknown_parameter_is_a_422_that_names_the_nearest(serve: Any, line: str, said: str) -> None:
    async with serve() as server:
        answer = await server.ask(line)
        assert answer.problem == (422, "invalid-request")
        assert answer.json["detail"] == said
        assert answer.json["errors"][0]["in"] == "query"
        assert (await server.ask("GET /pymk/users/cid")).status == 200, "nothing was done"


@pytest.mark.parametrize(
    "at", ["179525160000000000000", 17952516000, "17101123123450", "2026", 2026, "21112026", "2026-11-21x09:00", 1e300]
)
async def test_a_moment_that_may_be_misread_is_refused(serve: Any, at: object) -> None:
    async with serve() as server:
        event = {**json.loads(EVENT)[0], "at": at}
        answer = await server.ask(POST, JSON, body=json.dumps([event]).encode())
        assert answer.problem == (422, "invalid-request")
        assert answer.json["errors"][0]["parameter"] == "0.at"
        answer = await server.ask("PUT /pymk/users/cid", JSON, body=json.dumps({"created_at": at}).encode())
        assert answer.problem == (422, "invalid-request")
        assert answer.json["errors"][0]["parameter"] == "created_at"


async def test_an_unknown_field_of_an_event_is_ignored(serve: Any) -> None:
    async with serve() as server:
        event = {**json.loads(EVENT)[0], "surface": "feed"}
        assert (await server.ask(POST, JSON, body=json.dumps([event]).encode())).json == {"accepted": 1}
