"""POST /pymk/events: what is taken, what is refused by name, and that nothing of a refused request is written."""

import time
from dataclasses import fields
from typing import Any

import anyio
import pytest

from models.errors import StoreRefusedError, StoreUnavailableError
from models.event_log.event import Entry, Event
from models.live_state.user_record import LiveRecord
from models.store.keys import SHARDS
from models.store.protocol import STREAM_START, StoreInfo
from models.store.transaction import Outcome
from models.system.clock import OLDEST_S, now_us
from service.api.event_parsing import SCHEMA
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

PATH = "/pymk/events"
GOOD = {"kind": "dismiss", "user_id": "cid", "other_id": "gus"}


def logged(service: ApiHarness) -> list[Entry]:
    found = [
        Entry.decode(entry)
        for shard in range(SHARDS)
        for _, entry in service.store.stream_read(service.keys.log(shard), STREAM_START, 100_000)
    ]
    return sorted(found, key=lambda entry: entry.timestamp_us)


async def test_an_event_is_in_the_log_with_all_that_was_said(service: ApiHarness) -> None:
    said = {
        **GOOD,
        "at": "2026-01-02T03:04:05+01:00",
        "event_id": "e 1",
        "request_id": "r-1",
        "context": "web",
        "position": 3,
    }
    answer = await service.client.post(PATH, json=[said])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert answer.headers["cache-control"] == "private, no-store"
    (entry,) = logged(service)
    assert (entry.kind, entry.user_id, entry.other_id) == ("dismiss", "cid", "gus")
    assert (entry.event_id, entry.request_id, entry.context, entry.position) == ("e 1", "r-1", "web", 3)


async def test_nothing_is_a_list_too(service: ApiHarness) -> None:
    answer = await service.client.post(PATH, json=[])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0})


async def test_the_same_event_is_taken_once(service: ApiHarness) -> None:
    same = [{**GOOD, "event_id": "1"}, {**GOOD, "event_id": "1"}, {**GOOD, "event_id": "2"}, GOOD, GOOD]
    assert (await service.client.post(PATH, json=same)).json() == {"accepted": 4}
    assert (await service.client.post(PATH, json=same[:3])).json() == {"accepted": 0}
    assert len(logged(service)) == 4
    metrics = (await service.client.get("/metrics")).text
    assert 'pymk_events_total{outcome="accepted"} 4.0' in metrics
    assert 'pymk_events_total{outcome="duplicate"} 4.0' in metrics


@pytest.mark.parametrize("at", ["2099-01-01", "1970-01-01T00:00:00Z", 4e9, 0, -1.5])
async def test_a_clock_that_is_wrong_is_set_right_and_counted(service: ApiHarness, at: object) -> None:
    assert (await service.client.post(PATH, json=[{**GOOD, "at": at}])).status_code == 202
    (entry,) = logged(service)
    now = now_us()
    assert entry.at is not None
    assert now - OLDEST_S * 1_000_000 - 10_000_000 <= entry.at <= now
    assert 'pymk_events_total{outcome="clamped"} 1.0' in (await service.client.get("/metrics")).text


@pytest.mark.parametrize("at", [1.5, "2026-11-20T10:00:00"])
async def test_a_moment_is_read_in_either_form(service: ApiHarness, at: object) -> None:
    at = now_us() / 1e6 - 60 if at == 1.5 else at
    assert (await service.client.post(PATH, json=[{**GOOD, "at": at}])).status_code == 202


BAD: list[tuple[Any, str]] = [
    ({**GOOD, "kind": "poke"}, "0.kind"),
    ({**GOOD, "kind": 9}, "0.kind"),
    ({**GOOD, "kind": ["dismiss"]}, "0.kind"),
    ({"user_id": "a", "other_id": "b"}, "0.kind"),
    ({"kind": "view", "other_id": "b"}, "0.user_id"),
    ({**GOOD, "user_id": 7}, "0.user_id"),
    ({**GOOD, "user_id": ""}, "0.user_id"),
    ({**GOOD, "user_id": ".."}, "0.user_id"),
    ({**GOOD, "other_id": "a\x00b"}, "0.other_id"),
    ({**GOOD, "other_id": "x" * 129}, "0.other_id"),
    ({**GOOD, "other_id": "é" * 65}, "0.other_id"),
    ({**GOOD, "other_id": "cid"}, "0.other_id"),
    ({**GOOD, "at": "yesterday"}, "0.at"),
    ({**GOOD, "at": True}, "0.at"),
    ({**GOOD, "at": 1.7e10}, "0.at"),
    ({**GOOD, "at": {}}, "0.at"),
    ({**GOOD, "event_id": 5}, "0.event_id"),
    ({**GOOD, "event_id": ""}, "0.event_id"),
    ({**GOOD, "request_id": "x" * 129}, "0.request_id"),
    ({**GOOD, "context": "a b"}, "0.context"),
    ({**GOOD, "position": 0}, "0.position"),
    ({**GOOD, "position": 1.0}, "0.position"),
    ({**GOOD, "position": True}, "0.position"),
    ("dismiss", "0"),
    (None, "0"),
    ([GOOD], "0"),
]


@pytest.mark.parametrize(("bad", "field"), BAD)
async def test_a_bad_entry_is_named_and_nothing_is_written(service: ApiHarness, bad: object, field: str) -> None:
    body = [bad]
    for index in (0, 2):
        answer = await service.client.post(PATH, json=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert [one["parameter"] for one in problem["errors"]] == [field.replace("0", str(index), 1)]
        assert field.replace("0", str(index), 1) in problem["detail"]
        body = [GOOD, GOOD, bad]
    assert logged(service) == []
    assert service.store.get(service.keys.live("cid")) is None


async def test_every_fault_is_named_but_not_without_end(service: ApiHarness) -> None:
    answer = await service.client.post(PATH, json=[{"kind": "no"}, GOOD, {**GOOD, "at": "x"}])
    assert [one["parameter"] for one in answer.json()["errors"]] == ["0.kind", "0.user_id", "0.other_id", "2.at"]
    answer = await service.client.post(PATH, json=[{}] * 10_000)
    assert len(answer.json()["errors"]) == 20


@pytest.mark.parametrize(
    "body",
    [
        *[
            b"",
            b"{",
            b"null",
            b'{"kind":"view"}',
            b'"events"',
            b"\xff\xfe",
            b"[" * 5000 + b"]" * 5000,
            b"[NaN]",
            b"[1e400]",
        ],
        b'[{"kind":"view","kind":"block","user_id":"cid","other_id":"gus"}]',
        b'[{"kind":"view","user_id":"cid","other_id":"gus","event_id":"\\ud83d"}]',
        b'[{"kind":"view","user_id":"cid","other_id":"gus","event_id":"\\u0000"}]',
    ],
)
async def test_what_is_no_list_is_a_422(service: ApiHarness, body: bytes) -> None:
    answer = await service.client.post(PATH, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_deep_json_inside_an_entry_is_harmless(service: ApiHarness) -> None:
    deep = b"[" * 900 + b"]" * 900
    body = b'[{"kind":"view","user_id":"a","other_id":"b","event_id":' + deep + b"}]"
    assert (await service.client.post(PATH, content=body)).status_code == 422


async def test_ten_thousand_are_taken_and_one_more_is_refused(service: ApiHarness) -> None:
    many = [{"kind": "impression", "user_id": f"u{at % 50}", "other_id": f"o{at}"} for at in range(10_001)]
    answer = await service.client.post(PATH, json=many)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "10000")
    assert logged(service) == []
    assert (await service.client.post(PATH, json=many[:-1])).json() == {"accepted": 10_000}
    assert len(logged(service)) == 10_000


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_a_413(open_place: Any, chunked: bool) -> None:
    async with open_place(max_body_bytes=1024) as service:
        body = b"[" + b" " * 2000 + b"]"

        async def pieces() -> Any:
            for at in range(0, len(body), 100):
                yield body[at : at + 100]

        answer = await service.client.post(PATH, content=pieces() if chunked else body)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


@pytest.mark.parametrize("error", [StoreRefusedError("full"), StoreUnavailableError("away")])
async def test_a_store_that_does_not_write_is_a_503_and_never_a_202(service: ApiHarness, error: Exception) -> None:
    async def refuses(*_: Any) -> list[Outcome]:
        raise error

    service.requests.commit = refuses
    answer = await service.client.post(PATH, json=[GOOD])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_the_scope_write_is_needed(open_place: Any) -> None:
    async with open_place(keys="reader:read,writer:write") as service:
        statuses = [
            (await service.client.post(PATH, json=[GOOD], headers={"Authorization": f"Bearer {key}"})).status_code
            for key in ("nobody", "reader", "writer")
        ]
        assert statuses == [401, 403, 202]


async def test_writers_at_once_lose_nothing(service: ApiHarness) -> None:
    async def writes(number: int) -> None:
        for at in range(10):
            answer = await service.client.post(
                PATH, json=[{**GOOD, "kind": "impression", "other_id": f"o{number}-{at}"}]
            )
            assert answer.status_code == 202

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(writes, number)
    assert len(LiveRecord.unpack(service.store.get(service.keys.live("cid"))).shown) == 80
    timestamps_us = [entry.timestamp_us for entry in logged(service)]
    assert len(set(timestamps_us)) == 80


async def test_impressions_tire_and_an_action_rests(open_place: Any) -> None:
    async with open_place(fatigue_factor=0.4, fatigue_limit=3) as service:

        async def scores() -> dict[str, float]:
            kept, new = await service.recommended("cid"), await service.recommended("cid", fresh=True)
            assert kept["recommendations"] == new["recommendations"]
            assert [one["position"] for one in new["recommendations"]] == [1, 2, 3]
            return {one["user_id"]: one["score"] for one in new["recommendations"]}

        assert list((await scores()).items()) == [("gus", 0.5), ("fay", 0.25), ("eva", 0)]
        await service.post(("impression", "cid", "gus"))
        assert list(await scores()) == ["fay", "gus", "eva"]
        assert (await scores())["gus"] == pytest.approx(0.2)
        await service.post(("click", "cid", "gus"))
        assert (await scores())["gus"] == 0.5
        await service.post(*[("impression", "cid", "gus")] * 3)
        assert list(await scores()) == ["fay", "eva", "gus"], "out, and yet the list is not shortened"
        assert 'pymk_moved_total{rule="fatigue"}' in (await service.client.get("/metrics")).text


async def test_readiness_warns_of_a_store_that_forgets_or_fills(open_place: Any) -> None:
    async with open_place(redis_url="redis://elsewhere") as service:
        for info, words in (
            (StoreInfo(10, None, "noeviction", True), []),
            (StoreInfo(79, 100, "noeviction", True), []),
            (StoreInfo(80, 100, "noeviction", True), ["80% full"]),
            (StoreInfo(10, None, "noeviction", False), ["does not persist"]),
        ):

            async def said(info: StoreInfo = info) -> StoreInfo:
                return info

            service.requests.info = said
            answer = await service.client.get("/health/ready")
            assert answer.status_code == 200
            assert [any(word in one for one in answer.json()["warnings"]) for word in words] == [True] * len(words)
            assert len(answer.json()["warnings"]) == len(words)


async def test_readiness_warns_of_events_that_no_worker_processes(
    service: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def warned() -> list[str]:
        answer = await service.client.get("/health/ready")
        assert answer.status_code == 200
        warnings: list[str] = answer.json()["warnings"]
        return warnings

    assert await warned() == [], "nothing waits"
    await service.post(("connect", "ann", "fay"))
    assert await warned() == [], "it may be processed in a moment"
    monkeypatch.setattr("service.api.health.ALONE_S", 0.0)
    (warning,) = await warned()
    assert warning.startswith("no worker is live: start pymk worker; the oldest entry of the event log has waited")
    service.store.fields_set(service.keys.workers, {"worker-1": b"0"})
    service.store.set(service.keys.process("worker-1"), b"", 60)
    assert await warned() == [], "a worker has begun"
    monkeypatch.setattr("service.api.health.BEHIND_S", 0.0)
    service.store.queue_add(service.keys.refresh, [b"ann"], time.time() - 5)
    assert [one.partition(";")[0] for one in await warned()] == ["the workers are behind"] * 2
    text = (await service.client.get("/metrics")).text
    assert "pymk_live_workers 1.0" in text
    assert [float(line.split()[1]) > 0 for line in text.splitlines() if line.startswith("pymk_oldest_")] == [True] * 2


def test_the_schema_has_the_fields_of_an_event() -> None:
    assert list(SCHEMA["items"]["properties"]) == [field.name for field in fields(Event)]
    assert SCHEMA["items"]["required"] == ["kind", "user_id", "other_id"]


async def test_a_key_that_stands_twice_in_a_large_body_is_found(service: ApiHarness) -> None:
    entries = [f'{{"kind":"view","user_id":"u{at}","other_id":"cid"}}' for at in range(2000)]
    entries[1500] = '{"kind":"view","user_id":"ann","other_id":"cid","kind":"block"}'
    answer = await service.client.post(PATH, content=f"[{','.join(entries)}]".encode())
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "kind")
    assert logged(service) == []
