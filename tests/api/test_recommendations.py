"""GET /pymk/recommendations: every way a list comes about, every part of the answer, every refusal."""

import re
import time
from typing import Any

import anyio
import numpy as np
import pytest

from models.errors import CorruptRecordError
from models.graph import Graph
from models.schema.relationship import Relationship
from models.version.candidate_block import Block, quantise
from models.version.local_versions import Versions
from service.ranking.cached_list import CachedList, CacheKey
from service.ranking.list_json import NO_ENTRIES
from service.ranking.ranked_list import RankedList
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

PATH = "/pymk/recommendations"


def ids(body: dict[str, Any]) -> list[str]:
    return [person["user_id"] for person in body["recommendations"]]


async def test_the_whole_answer(service: ApiHarness) -> None:
    answer = await service.client.get(PATH, params={"user_id": "cid"}, headers={"X-Request-ID": "abc-1"})
    assert answer.json() == {
        "user_id": "cid",
        "request_id": "abc-1",
        "version": service.parts.versions.active.version,
        "served": "ranked",
        "recommendations": [
            {"user_id": "gus", "score": 0.5, "position": 1, "sources": ["random_walk"], "reasons": []},
            {"user_id": "fay", "score": 0.25, "position": 2, "sources": ["random_walk"], "reasons": []},
            {
                "user_id": "eva",
                "score": 0,
                "position": 3,
                "sources": ["friends_of_friends"],
                "reasons": [
                    {
                        "code": "mutual_connections",
                        "count": 1,
                        "examples": ["dan"],
                        "text": "1 mutual connection",
                    }
                ],
            },
        ],
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-request-id"] == "abc-1"
    stages = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(stages) == ["store", "rank", "rules", "encode", "total"]
    assert sum(float(stages[name]) for name in list(stages)[:-1]) <= float(stages["total"]) + 0.01


async def test_a_list_is_cached_and_no_cache_passes_it_over(service: ApiHarness) -> None:
    first = await service.recommended("cid")
    second = await service.recommended("cid")
    third = await service.recommended("cid", fresh=True)
    assert [body["served"] for body in (first, second, third)] == ["ranked", "cache", "ranked"]
    assert first["recommendations"] == second["recommendations"] == third["recommendations"]
    key = service.keys.ranked(first["version"], 2, "web")
    assert 3590 < (service.store.ttl_s(key) or 0) <= 3600


async def test_each_context_keeps_its_own_list(service: ApiHarness) -> None:
    await service.recommended("cid", context="mobile")
    assert (await service.recommended("cid"))["served"] == "ranked"
    assert (await service.recommended("cid", context="mobile"))["served"] == "cache"


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "cached"])
async def test_limit_and_exclude_cut_the_list(service: ApiHarness, fresh: bool) -> None:
    await service.recommended("cid", limit=1)
    assert ids(await service.recommended("cid", fresh=fresh, limit=2)) == ["gus", "fay"]
    body = await service.recommended("cid", fresh=fresh, exclude="gus,nobody")
    assert ids(body) == ["fay", "eva"]
    assert [person["position"] for person in body["recommendations"]] == [1, 2]
    assert body["recommendations"][1]["reasons"][0]["examples"] == ["dan"]
    assert ids(await service.recommended("cid", fresh=fresh, exclude="gus,fay,eva")) == []


async def test_blocked_and_undiscoverable_people_stay_out(service: ApiHarness) -> None:
    assert ids(await service.recommended("ann")) == ["gus", "fay"], "ann has blocked eva; héloïse is undiscoverable"


async def test_an_unknown_viewer_starts_cold(service: ApiHarness) -> None:
    body = await service.recommended("nobody/at all 🦊")
    assert body["user_id"] == "nobody/at all 🦊"
    assert body["served"] == "cold_start"
    assert set(ids(body)) == {"ann", "bea", "cid", "dan", "eva", "fay", "gus"}
    assert set(ids(body)[:2]) == {"dan", "eva"}, "the best connected first"
    assert all(person["sources"] == ["popular"] for person in body["recommendations"])


async def test_a_viewer_without_a_block_starts_cold_and_is_queued(service: ApiHarness) -> None:
    body = await service.recommended("héloïse")
    assert body["served"] == "cold_start"
    assert set(ids(body)) == {"ann", "bea", "cid", "dan"}
    assert service.store.queue_take(service.keys.refresh, 1e12, 1, 10) == ["héloïse".encode()]


async def test_an_inactive_viewer_gets_nobody(service: ApiHarness) -> None:
    service.flag("cid", active=False)
    body = await service.recommended("cid")
    assert (body["served"], body["recommendations"]) == ("empty", [])


async def test_a_missing_block_is_served_from_the_version_before(service: ApiHarness) -> None:
    before = service.parts.versions.active.version
    version = service.publish()
    await service.serving(version)
    service.store.delete([service.keys.block(version, 2)])
    body = await service.recommended("cid")
    assert (body["served"], body["version"]) == ("stale", before)
    assert ids(body) == ["gus", "fay", "eva"]
    assert service.store.queue_length(service.keys.refresh) == 1
    service.store.delete([service.keys.block(before, 2)])
    body = await service.recommended("cid")
    assert (body["served"], body["version"]) == ("cold_start", version)


async def test_a_stale_list_leaves_out_whom_the_active_version_forbids(service: ApiHarness) -> None:
    version = service.publish()
    await service.serving(version)
    service.store.delete([service.keys.block(version, 2)])
    tables = service.parts.versions.active.tables
    flags = tables.flags.copy()
    flags[3], flags[6] = 3, 6  # dan hides his connections, gus is undiscoverable
    object.__setattr__(tables, "flags", flags)
    service.parts.versions.active.ranking.user_flags.flags = flags
    body = await service.recommended("cid")
    assert (body["served"], ids(body)) == ("stale", ["fay", "eva"])
    assert body["recommendations"][1]["reasons"] == []


async def test_a_stale_list_counts_nobody_whom_the_active_version_forbids_the_viewer(service: ApiHarness) -> None:
    version = service.publish()
    await service.serving(version)
    service.store.delete([service.keys.block(version, 2)])
    before = {entry["user_id"]: entry["reasons"] for entry in (await service.recommended("cid"))["recommendations"]}
    assert before["eva"][0]["examples"] == ["dan"]
    blocked = Graph.from_directed(8, [2, 3], [3, 2])  # cid and dan, who were friends, have blocked each other
    tables = service.parts.versions.active.tables
    object.__setattr__(tables, "forbidden", blocked)
    object.__setattr__(tables, "forbidden_kinds", np.array([Relationship.BLOCKED_BY_VIEWER] * 2, np.uint8))
    after = {entry["user_id"]: entry["reasons"] for entry in (await service.recommended("cid"))["recommendations"]}
    assert all(reason["code"] != "mutual_connections" for reason in after["eva"])


@pytest.mark.parametrize("damaged", [b"", b"\x01", b"x" * 100])
async def test_damaged_records_are_passed_over_and_counted(service: ApiHarness, damaged: bytes) -> None:
    version = service.parts.versions.active.version
    service.store.set(service.keys.ranked(version, 2, "web"), damaged)
    assert (await service.recommended("cid"))["served"] == "ranked"
    service.store.set(service.keys.block(version, 2), damaged)
    service.store.delete([service.keys.ranked(version, 2, "web")])
    assert (await service.recommended("cid"))["served"] == "cold_start"
    metrics = (await service.client.get("/metrics")).text
    assert 'pymk_degraded_total{reason="corrupt_list"} 1.0' in metrics
    assert 'pymk_degraded_total{reason="corrupt_block"} 1.0' in metrics


async def test_another_viewers_block_is_not_served(service: ApiHarness) -> None:
    version = service.parts.versions.active.version
    record = service.store.get(service.keys.block(version, 0))
    assert Block.unpack(record).viewer == 0
    service.store.set(service.keys.block(version, 2), record)
    assert (await service.recommended("cid"))["served"] == "cold_start"


async def test_people_beyond_the_version_are_not_looked_up(service: ApiHarness) -> None:
    version = service.parts.versions.active.version
    block, list_key = service.keys.block(version, 2), service.keys.ranked(version, 2, "web")
    rows = np.array([1, 8], np.uint32)
    beyond = Block.unpack(service.store.get(service.keys.block(version, 2)))
    beyond = quantise(2, rows, np.ones(2, np.uint8), np.zeros((len(beyond.codes), 2), np.float32))
    cached = CachedList(
        RankedList(2, rows, np.ones(2, np.float32), np.ones(2, np.uint8)), CacheKey(), (), (), NO_ENTRIES
    )
    service.store.set(list_key, cached.pack(2))
    assert (await service.recommended("cid"))["served"] == "ranked"
    service.store.delete([list_key])
    service.store.set(block, beyond.pack())
    assert (await service.recommended("cid"))["served"] == "cold_start"
    metrics = (await service.client.get("/metrics")).text
    assert 'pymk_degraded_total{reason="corrupt_list"} 1.0' in metrics
    assert 'pymk_degraded_total{reason="corrupt_block"} 1.0' in metrics


async def test_a_block_that_the_ranker_cannot_read_counts_as_none(
    service: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise CorruptRecordError("features number 9 where the ranker reads 8")

    monkeypatch.setattr(service.parts.versions.active.ranking.scorer, "scores", refused)
    assert (await service.recommended("cid"))["served"] == "cold_start"
    assert 'pymk_degraded_total{reason="corrupt_block"} 1.0' in (await service.client.get("/metrics")).text


async def test_an_absent_store_is_named(service: ApiHarness) -> None:
    service.requests.is_cut_off = True
    answer = await service.client.get(PATH, params={"user_id": "cid"}, headers={"X-Request-ID": "r1"})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    body = answer.json()
    assert (body["served"], body["request_id"], body["status"]) == ("unavailable", "r1", 503)
    assert "does not answer" in body["detail"]


async def test_a_store_that_is_slow_with_each_answer_costs_a_request_twice_the_longest_wait(open_place: Any) -> None:
    async with open_place(redis_timeout_ms=200) as service:
        await service.put("cid", company="Acme")
        service.flag("gus", discoverable=False)
        service.store.delete([service.keys.block(service.parts.versions.active.version, 2)])
        trips: list[str] = []

        def slowly(name: str) -> Any:
            read = getattr(service.requests, name)

            async def slow(*arguments: Any) -> Any:
                trips.append(name)
                await anyio.sleep(0.15)
                return await read(*arguments)

            return slow

        for name in ("get", "get_many", "stream_read"):
            setattr(service.requests, name, slowly(name))
        begun = time.monotonic()
        answer = await service.client.get(PATH, params={"user_id": "cid"})
        seconds = time.monotonic() - begun
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["served"] == "unavailable"
    assert seconds < 0.55, "three trips and more would take 0.6 s and more"
    assert len(trips) >= 2


async def test_without_a_version_nothing_is_served(open_place: Any) -> None:
    async with open_place(published=False) as service:
        answer = await service.client.get(PATH, params={"user_id": "cid"})
        assert answer.status_code == 503
        assert answer.json()["served"] == "unavailable"
        await service.serving(service.publish())
        assert (await service.recommended("cid"))["served"] == "ranked"


async def test_too_many_requests_are_told_to_come_back(open_place: Any) -> None:
    async with open_place(max_in_flight=1) as service:
        held = anyio.Event()

        async def waits(keys: Any) -> list[bytes | None]:
            await held.wait()
            return [None] * len(keys)

        service.requests.get_many = waits
        async with anyio.create_task_group() as group:
            group.start_soon(service.recommended, "cid")
            await anyio.sleep(0.01)
            answer = await service.client.get(PATH, params={"user_id": "cid"})
            live = await service.client.get("/health/live")
            metrics = (await service.client.get("/metrics")).text
            held.set()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["served"] == "unavailable"
        assert live.status_code == 200
        assert 'pymk_requests_total{method="GET",route="/pymk/recommendations",status="503"} 1.0' in metrics
        assert 'pymk_degraded_total{reason="overload"} 1.0' in metrics


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", ["user_id"]),
        ("user_id=", ["user_id"]),
        ("user_id=..", ["user_id"]),
        ("user_id=a%00", ["user_id"]),
        ("user_id=%FF", ["user_id"]),
        ("user_id=a&user_id=b", ["user_id"]),
        ("user_id=" + "a" * 129, ["user_id"]),
        ("user_id=a&limit=0", ["limit"]),
        ("user_id=a&limit=101", ["limit"]),
        ("user_id=a&limit=-1", ["limit"]),
        ("user_id=a&limit=2.5", ["limit"]),
        ("user_id=a&limit=%D9%A1", ["limit"]),
        ("user_id=a&limit=", ["limit"]),
        ("user_id=a&context=radio", ["context"]),
        ("user_id=a&exclude=" + ",".join(map(str, range(101))), ["exclude"]),
        ("user_id=a&exclude=b%0A", ["exclude"]),
        ("limit=x&context=y", ["user_id", "limit", "context"]),
    ],
)
async def test_bad_parameters_are_named(service: ApiHarness, query: str, parameters: list[str]) -> None:
    answer = await service.client.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert [error["parameter"] for error in body["errors"]] == parameters
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]


async def test_a_context_of_the_settings_is_known(open_place: Any) -> None:
    async with open_place(contexts="feed,sidebar") as service:
        assert (await service.recommended("cid", context="feed"))["served"] == "ranked"


async def test_only_get_and_post_are_answered(service: ApiHarness) -> None:
    answer = await service.client.put(PATH, params={"user_id": "cid"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")


@pytest.mark.parametrize("given", ["a b", "x" * 129, 'q"', ""])
async def test_a_request_id_that_is_not_sane_is_replaced(service: ApiHarness, given: str) -> None:
    answer = await service.client.get(PATH, params={"user_id": "cid"}, headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", answer.json()["request_id"])


async def test_lists_are_counted_by_outcome_stage_and_rule(service: ApiHarness) -> None:
    await service.recommended("ann")
    await service.recommended("ann")
    metrics = (await service.client.get("/metrics")).text
    assert 'pymk_served_total{served="ranked"} 1.0' in metrics
    assert 'pymk_served_total{served="cache"} 1.0' in metrics
    assert 'pymk_drops_total{rule="blocked"} 1.0' in metrics
    assert 'pymk_drops_total{rule="undiscoverable"} 1.0' in metrics
    assert 'pymk_stage_seconds_count{stage="rank"} 1.0' in metrics
    assert 'pymk_requests_total{method="GET",route="/pymk/recommendations",status="200"} 2.0' in metrics


async def test_a_request_keeps_its_version_through_a_switch(service: ApiHarness) -> None:
    before = service.parts.versions.active.version
    held, begun = anyio.Event(), anyio.Event()
    get_many = service.requests.get_many

    async def waits(keys: list[str]) -> list[bytes | None]:
        if any(":b:" in key for key in keys):
            begun.set()
            await held.wait()
        return await get_many(keys)

    service.requests.get_many = waits
    found: list[dict[str, Any]] = []

    async def ask() -> None:
        found.append(await service.recommended("cid", fresh=True))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await begun.wait()
        after = service.publish()
        await service.serving(after)
        held.set()
    assert found[0]["version"] == before
    assert (await service.recommended("cid"))["version"] == after
    assert Versions(service.home).ids() == [after, before]
