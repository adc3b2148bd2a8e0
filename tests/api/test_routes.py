"""The routes beside the hot one: profiles, the version, administration, health, and who may call them."""

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import anyio
import pytest
import structlog
from fastapi import Request
from structlog.testing import capture_logs

from models.publishing import serving_processes
from models.publishing.approvals.approval import hold
from models.version.local_versions import Versions
from service.state.version_watcher import ServedVersions
from tests.support.api import ApiHarness
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

KEYS = "reader:read,operator:admin,both:read+admin"


async def test_a_profile_is_what_was_stored(service: ApiHarness) -> None:
    answer = await service.client.get("/pymk/users/ann")
    assert answer.json() == {"name": "Ann", "company": "Acme"}
    assert answer.headers["cache-control"] == "private, no-store"
    assert (await service.client.get("/pymk/users/" + quote("héloïse"))).json() == {}


@pytest.mark.parametrize("user_id", ["a/b", "a b", "🦊", "x" * 128, "%2F", "a/why/b", "a?b", "a;b"])
async def test_an_unknown_user_of_any_id_is_a_404(service: ApiHarness, user_id: str) -> None:
    answer = await service.client.get("/pymk/users/" + quote(user_id, safe=""))
    assert answer.status_code == 404
    assert answer.json()["detail"] == "no user of this id is known"


@pytest.mark.parametrize("segment", ["%00", "x" * 129, "%FF", "%2E%2E"])
async def test_an_impossible_id_is_a_422(service: ApiHarness, segment: str) -> None:
    answer = await service.client.get(f"/pymk/users/{segment}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "user_id"


async def test_the_version_says_what_it_is_made_of(service: ApiHarness) -> None:
    body = (await service.client.get("/pymk/version")).json()
    assert body["version"] == service.parts.versions.active.version
    assert (body["users"], body["connections"], body["forced"]) == (8, 13, False)
    assert body["published_at"]
    assert body["activated_at"]


async def test_a_version_that_was_switched_from_while_it_was_opened_is_not_served(open_place: Any) -> None:
    async with open_place() as service:
        following, slow = service.parts.versions, service.parts.versions._opener
        first, opened = following.active.version, []

        class Opener:
            """Lets the pointer move on while the first version is being opened."""

            def open(self, version: str) -> Any:
                opened.append(version)
                if len(opened) == 1:
                    opened.append(service.publish())
                return slow.open(version)

            def __getattr__(self, name: str) -> Any:
                return getattr(slow, name)

        served = ServedVersions(service.requests, service.keys, Opener(), service.parts.metrics, "late")
        await served._follow()
        assert opened[:3] == [first, served.active.version, served.active.version]
        assert served.active.version != first


async def test_versions_are_listed_switched_and_rolled_back(service: ApiHarness) -> None:
    first = service.parts.versions.active.version
    second = service.publish()
    await service.serving(second)
    listed = (await service.client.get("/admin/versions")).json()["versions"]
    assert [(one["version"], one["active"], one["previous"]) for one in listed] == [
        (second, True, False),
        (first, False, True),
    ]
    body = (await service.client.post("/admin/rollback", params={"note": "odd lists"})).json()
    assert (body["version"], body["behind"]) == (first, {})
    (entry,) = (await service.client.get("/admin/audit", params={"limit": 1})).json()["entries"]
    assert (entry["what"], entry["version"], entry["note"]) == ("rolled_back", first, "odd lists")
    assert service.parts.versions.active.version == first, "answered once it is served"
    body = (await service.client.post(f"/admin/versions/{second}/activate")).json()
    assert (body["version"], body["behind"]) == (second, {})
    assert (await service.client.get("/pymk/version")).json()["version"] == second


async def test_a_version_that_waits_is_approved_or_rejected_once(service: ApiHarness) -> None:
    first = service.parts.versions.active.version
    second, third = service.make_version(service.home), service.make_version(service.home)
    for version in (second, third):
        assert hold(service.store, Versions(service.home), version, keys=service.keys)
    states = {one["version"]: one["state"] for one in (await service.client.get("/admin/versions")).json()["versions"]}
    assert states == {first: "active", second: "waiting", third: "waiting"}
    assert (await service.client.post(f"/admin/versions/{second}/activate")).status_code == 409

    body = (await service.client.post(f"/admin/versions/{third}/reject", params={"note": "too few"})).json()
    assert body == {"version": third, "state": "rejected"}
    assert not (service.home / "versions" / third).exists()
    answer = await service.client.post(f"/admin/versions/{third}/approve")
    assert (answer.status_code, "was rejected already" in answer.json()["detail"]) == (409, True)
    body = (await service.client.post(f"/admin/versions/{second}/approve", params={"note": "fine"})).json()
    assert (body["version"], body["behind"]) == (second, {})
    assert service.parts.versions.active.version == second
    assert (await service.client.post(f"/admin/versions/{second}/approve")).status_code == 409
    assert (await service.client.post("/admin/versions/20200101T000000Z-000000/reject")).status_code == 404

    entries = (await service.client.get("/admin/audit")).json()["entries"]
    told = [(entry["what"], entry["version"], entry["note"]) for entry in entries][:3]
    assert told == [("approved", second, "fine"), ("published", second, "fine"), ("rejected", third, "too few")]
    assert all(entry["who"] for entry in entries)
    assert len((await service.client.get("/admin/audit", params={"limit": 1})).json()["entries"]) == 1


async def test_with_a_share_an_approved_version_is_the_canary(open_place: Any) -> None:
    async with open_place(canary=True, canary_steps="10,100") as service:
        first, second = service.parts.versions.active.version, service.make_version(service.home)
        assert hold(service.store, Versions(service.home), second, keys=service.keys)
        body = (await service.client.post(f"/admin/versions/{second}/approve", params={"note": "fine"})).json()
        assert (body["version"], body["behind"]) == (first, {})
        assert (body["canary"]["version"], body["canary"]["control"], body["canary"]["share"]) == (second, first, 0.1)
        assert body["canary"]["behind"] == []
        listed = (await service.client.get("/admin/versions")).json()["versions"]
        assert {one["version"]: one["state"] for one in listed} == {first: "active", second: "canary"}
        assert (await service.client.post(f"/admin/versions/{second}/approve")).status_code == 409


async def test_the_latest_report_on_drift_is_answered(service: ApiHarness) -> None:
    body = (await service.client.get("/admin/drift")).json()
    assert (body["version"], body["retrain"], body["checks"]) == (None, False, [])
    check = {"name": "gone_town", "group": "columns", "value": 1.0, "threshold": 1.0, "verdict": "alarm"}
    kept = {
        "version": service.parts.versions.active.version,
        "at": "2026-03-01T00:00:00Z",
        "retrain": True,
        "checks": [{**check, "sentence": "column town is gone"}],
        "note": None,
    }
    service.store.set(service.keys.drift, json.dumps(kept).encode())
    assert (await service.client.get("/admin/drift")).json() == kept


async def test_a_process_that_does_not_follow_is_named(service: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_processes.wait_until_served, "__kwdefaults__", {"wait_s": 0.3})
    first = service.parts.versions.active.version
    service.store.set(service.keys.process("elsewhere"), first.encode(), 60)
    second = service.publish()
    body = (await service.client.post(f"/admin/versions/{second}/activate")).json()
    assert body["behind"] == {"elsewhere": first}


async def test_what_cannot_be_switched_to_is_refused(service: ApiHarness) -> None:
    assert (await service.client.post("/admin/rollback")).status_code == 409
    answer = await service.client.post("/admin/versions/20200101T000000Z-000000/activate")
    assert answer.status_code == 404
    answer = await service.client.post("/admin/versions/latest/activate")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "version"


async def test_a_damaged_version_is_not_taken_up(service: ApiHarness) -> None:
    first = service.parts.versions.active.version
    second = service.publish()
    await service.serving(second)
    third = service.make_version(service.home)
    pointer = service.store.get(service.keys.active).replace(second.encode(), third.encode())
    (service.home / "versions" / third / "tables" / "flags.npy").write_bytes(b"damaged")
    service.store.set(service.keys.active, pointer)
    with anyio.fail_after(5):
        while service.parts.versions.fault is None:  # noqa: ASYNC110  # the follower polls, too
            await anyio.sleep(0.01)
    assert service.parts.versions.active.version == second != first
    ready = await service.client.get("/health/ready")
    assert ready.status_code == 200
    assert "a later one is not" in ready.json()["parts"]["version"]["detail"]


async def test_ready_names_each_part(open_place: Any) -> None:
    async with open_place(published=False) as service:
        answer = await service.client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        parts = answer.json()["parts"]
        assert (parts["store"]["ok"], parts["version"]["ok"]) == (True, False)
        assert (await service.client.get("/pymk/version")).status_code == 503
        service.requests.is_cut_off = True
        assert (await service.client.get("/health/ready")).json()["parts"]["store"]["ok"] is False
        assert (await service.client.get("/health/live")).json() == {"status": "ok"}


async def test_what_is_not_there_is_a_problem_too(service: ApiHarness) -> None:
    answer = await service.client.get("/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    answer = await service.client.put("/pymk/version")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_large_body_is_refused(open_place: Any) -> None:
    async with open_place(max_body_bytes=1024) as service:

        @service.app.post("/length")
        async def length(request: Request) -> int:
            return len(await request.body())

        assert (await service.client.post("/length", content=b"x" * 1024)).json() == 1024

        async def pieces() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            yield b"x" * 1000

        for content in (b"x" * 1025, pieces()):
            answer = await service.client.post("/length", content=content)
            assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
            assert "PYMK_MAX_BODY_BYTES" in answer.json()["detail"]


async def test_a_fault_of_the_service_is_a_500_without_its_words(service: ApiHarness) -> None:
    object.__setattr__(service.parts.versions.active.tables, "profile_offsets", None)
    answer = await service.client.get("/pymk/users/ann")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "NoneType" not in answer.text
    service.parts.versions.active.ranking.user_flags.flags = None
    answer = await service.client.get("/pymk/recommendations?user_id=ann")
    assert answer.status_code == 500
    assert "NoneType" not in answer.text


ROUTES = [
    ("GET", "/pymk/recommendations?user_id=cid", "reader"),
    ("POST", "/pymk/recommendations", "reader"),
    ("GET", "/pymk/users/cid", "reader"),
    ("GET", "/pymk/version", "reader"),
    ("GET", "/admin/versions", "operator"),
    ("GET", "/admin/experiments", "operator"),
    ("GET", "/admin/drift", "operator"),
    ("GET", "/admin/audit", "operator"),
    ("GET", "/admin/nights", "operator"),
    ("POST", "/admin/versions/20200101T000000Z-000000/approve", "operator"),
    ("POST", "/admin/versions/20200101T000000Z-000000/reject", "operator"),
    ("POST", "/admin/versions/20200101T000000Z-000000/activate", "operator"),
    ("POST", "/admin/rollback", "operator"),
]


@pytest.mark.parametrize(("method", "path", "key"), ROUTES)
async def test_keys_and_scopes(open_place: Any, method: str, path: str, key: str) -> None:
    async with open_place(keys=KEYS) as service:
        other = {"reader": "operator", "operator": "reader"}[key]

        async def status(authorization: str | None) -> int:
            headers = {"Authorization": authorization} if authorization is not None else {}
            answer = await service.client.request(method, path, headers=headers)
            if answer.status_code in {401, 403}:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"].startswith("Bearer ")
            return int(answer.status_code)

        for wrong in (None, "", "Bearer", "Bearer nobody", f"Basic {key}", key, f"Bearer {key}x"):
            assert await status(wrong) == 401, wrong
        assert await status(f"Bearer {other}") == 403
        assert await status(f"Bearer {key}") not in {401, 403}
        assert await status("bearer both") not in {401, 403}


async def test_health_and_metrics_ask_for_no_key(open_place: Any) -> None:
    async with open_place(keys=KEYS) as service:
        for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json"):
            assert (await service.client.get(path)).status_code == 200


@pytest.fixture
def lines(service: ApiHarness) -> list[dict[str, Any]]:
    """The log lines of the requests that are made meanwhile."""
    lines: list[dict[str, Any]] = []
    service.app.state.requests._log = structlog.wrap_logger(
        structlog.PrintLogger(io.StringIO()), processors=[lambda _, name, line: lines.append(line) or ""]
    )
    return lines


@pytest.mark.parametrize(
    "path",
    ["/pymk/recommendations?user_id=cid", "/pymk/users/cid", "/pymk/users/cid/why/gus"],
)
async def test_where_the_store_is_stands_in_the_log_and_in_no_answer(
    service: ApiHarness, lines: list[dict[str, Any]], path: str
) -> None:
    service.requests.is_cut_off = True
    answer = await service.client.get(path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["detail"] == "The store does not answer in time."
    assert "/srv/pymk" not in answer.text
    (line,) = lines
    assert line["status"] == 503
    assert line["error"] == "The store at /srv/pymk/store does not answer in time."


async def test_readiness_does_not_say_where_the_store_is_and_the_log_does(service: ApiHarness) -> None:
    service.requests.is_cut_off = True
    with capture_logs() as lines:
        answer = await service.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"]["store"] == {"ok": False, "detail": "The store does not answer in time."}
    assert "/srv/pymk" not in answer.text
    assert [line["error"] for line in lines if line["event"] == "store_not_ready"] == [
        "The store at /srv/pymk/store does not answer in time."
    ]


async def test_the_log_has_one_line_a_request_and_no_id(service: ApiHarness, lines: list[dict[str, Any]]) -> None:
    await service.recommended("cid")
    await service.client.get("/pymk/users/cid")
    await service.client.get("/health/live")
    assert [line["route"] for line in lines] == ["/pymk/recommendations", "/pymk/users/{user_id}"]
    assert lines[0]["served"] == "ranked"
    assert lines[0]["user"] == lines[1]["user"]
    assert "cid" not in str(lines)


async def test_a_switch_goes_on_while_administrators_wait_for_the_store(service: ApiHarness) -> None:
    answered = threading.Event()

    def members(key: str) -> frozenset[bytes]:
        if threading.current_thread() is not threading.main_thread():
            answered.wait(30)
        return MemoryStore.members(service.store, key)

    service.store.members = members
    many = [asyncio.ensure_future(service.client.get("/admin/versions")) for _ in range(40)]
    await anyio.sleep(0.1)
    try:
        await service.serving(service.publish())
    finally:
        answered.set()
    assert {(await one).status_code for one in many} == {200}
