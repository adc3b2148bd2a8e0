"""POST /pymk/recommendations: what GET answers for each, in few trips, and one's damage is no one else's."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from models.errors import StoreUnavailableError
from tests.support.api import ApiHarness
from tests.support.versions import PEOPLE

pytestmark = pytest.mark.anyio

PATH = "/pymk/recommendations"
EVERYONE = (*PEOPLE, "nobody")


async def batch(
    service: ApiHarness, user_ids: Sequence[str], *, fresh: bool = False, **members: Any
) -> list[dict[str, Any]]:
    headers = {"Cache-Control": "no-cache"} if fresh else {}
    answer = await service.client.post(PATH, json={"user_ids": list(user_ids), **members}, headers=headers)
    assert answer.status_code == 200, answer.text
    await service.parts.cache_writer.flush()
    lists: list[dict[str, Any]] = answer.json()["lists"]
    return lists


def without_request(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "request_id"}


class Trips:
    """Counts the trips of reads, and the keys of each, in front of a store."""

    def __init__(self, service: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[list[str]] = []
        read = service.requests.get_many

        async def counted(keys: Sequence[str]) -> Any:
            self.keys.append(list(keys))
            return await read(keys)

        monkeypatch.setattr(service.requests, "get_many", counted)


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_batch_answers_what_single_requests_answer(service: ApiHarness, fresh: bool) -> None:
    await service.post(("block", "cid", "gus"), ("connect", "dan", "fay"), ("impression", "bea", "eva"))
    await service.put("zoe", company="Bolt")
    await service.put("bea", company="Bolt", genres=["folk"])
    service.flag("eva", discoverable=False)
    people = [*EVERYONE, "zoe", "cid"]
    for context, limit in (("web", 20), ("email", 2), ("web", 1)):
        single = [await service.recommended(user_id, fresh=True, context=context, limit=limit) for user_id in people]
        many = await batch(service, people, fresh=fresh, context=context, limit=limit)
        assert [one["user_id"] for one in many] == people
        for one, alone in zip(many, single, strict=True):
            if one["served"] == "cache":
                one["served"] = "ranked"
            assert without_request(one) == without_request(alone)


async def test_lists_are_ranked_once_and_then_from_the_cache(service: ApiHarness) -> None:
    assert [one["served"] for one in await batch(service, EVERYONE)] == ["ranked"] * 7 + ["cold_start"] * 2
    assert [one["served"] for one in await batch(service, EVERYONE)] == ["cache"] * 7 + ["cold_start"] * 2
    assert (await service.recommended("cid"))["served"] == "cache"


async def test_all_share_the_request_id_and_the_version(service: ApiHarness) -> None:
    answer = await service.client.post(PATH, json={"user_ids": ["ann", "bea"]}, headers={"X-Request-Id": "mail-1"})
    version = service.parts.versions.active.version
    assert [(one["request_id"], one["version"]) for one in answer.json()["lists"]] == [("mail-1", version)] * 2
    assert answer.headers["cache-control"] == "private, no-store"
    stages = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert set(stages) == {"store", "rank", "rules", "encode", "total"}


async def test_records_of_all_are_read_in_one_trip(service: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    people = ["ann", "bea", "cid", "dan", "eva", "fay", "gus"]
    trips = Trips(service, monkeypatch)
    await batch(service, people)
    assert [len(keys) for keys in trips.keys] == [2 * len(people) + 1, len(people)]  # the cache, then the blocks
    trips.keys.clear()
    await batch(service, people)
    assert [len(keys) for keys in trips.keys] == [2 * len(people) + 1]
    trips.keys.clear()
    await batch(service, ["cid"] * 100)
    assert [len(keys) for keys in trips.keys] == [201]


async def test_the_same_person_may_be_named_twice_and_no_one_at_all(service: ApiHarness) -> None:
    first, second = await batch(service, ["cid", "cid"])
    assert first["recommendations"] == second["recommendations"] != []
    assert await batch(service, []) == []


@pytest.mark.parametrize("record", [b"", b"\x01", b"x" * 100])
async def test_a_damaged_record_makes_one_entry_unavailable_and_no_other(service: ApiHarness, record: bytes) -> None:
    whole = await batch(service, EVERYONE, fresh=True)
    service.store.set(service.keys.live("cid"), record)
    lists = await batch(service, EVERYONE, fresh=True)
    assert [one["served"] for one in lists] == ["ranked", "ranked", "unavailable", *["ranked"] * 4, *["cold_start"] * 2]
    for one, before in zip(lists, whole, strict=True):
        if one["user_id"] != "cid":
            assert without_request(one) == without_request(before)
    assert lists[2]["recommendations"] == []
    assert lists[2]["detail"] == "the record of this user does not read back"
    assert lists[2]["version"] == service.parts.versions.active.version
    single = await service.client.get(PATH, params={"user_id": "cid"})
    assert (single.status_code, single.json()["served"]) == (503, "unavailable")


async def test_a_block_holds_for_a_batch_from_its_acknowledgement(service: ApiHarness) -> None:
    await batch(service, ["cid", "gus"])
    await service.post(("block", "cid", "gus"))
    lists = await batch(service, ["cid", "gus"])
    assert "gus" not in {one["user_id"] for one in lists[0]["recommendations"]}
    assert "cid" not in {one["user_id"] for one in lists[1]["recommendations"]}
    service.flag("fay", discoverable=False)
    assert "fay" not in {one["user_id"] for one in (await batch(service, ["cid"]))[0]["recommendations"]}


async def test_every_list_is_counted_and_the_log_line_says_how_each_was_served(service: ApiHarness) -> None:
    service.store.set(service.keys.live("dan"), b"x")
    await service.recommended("cid")
    before = (await service.client.get("/metrics")).text
    with capture_logs() as lines:
        await batch(service, ["cid", "ann", "dan", "cid", "nobody"])
    after = (await service.client.get("/metrics")).text
    counts = [
        {
            served: _value(text, f'pymk_served_total{{served="{served}"}}')
            for served in ("ranked", "cache", "cold_start", "unavailable")
        }
        for text in (before, after)
    ]
    assert {served: counts[1][served] - counts[0][served] for served in counts[0]} == {
        "ranked": 1,
        "cache": 2,
        "cold_start": 1,
        "unavailable": 1,
    }
    (line,) = [one for one in lines if one["event"] == "request"]
    assert line["lists"] == {"cache": 2, "ranked": 1, "cold_start": 1, "unavailable": 1}
    assert (line["route"], line["status"]) == (PATH, 200)
    assert "user" not in line


def _value(text: str, series: str) -> float:
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(series)), 0.0)


async def test_other_requests_run_between_two_lists(service: ApiHarness) -> None:
    """A task that is ready to run gets its turn between every two lists of a batch."""
    turns, is_over = [], False

    async def other() -> None:
        while not is_over:
            turns.append(service.parts.answering)
            await asyncio.sleep(0)

    task = asyncio.get_running_loop().create_task(other())
    await asyncio.sleep(0)
    turns.clear()
    await batch(service, ["cid"] * 100, fresh=True)
    is_over = True
    await task
    assert len(turns) >= 100


async def test_without_the_store_the_batch_is_unavailable(service: ApiHarness) -> None:
    service.requests.is_cut_off = True
    answer = await service.client.post(PATH, json={"user_ids": ["cid", "ann"]})
    assert (answer.status_code, answer.json()["served"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert "/srv" not in answer.text


async def test_lists_that_are_made_are_given_if_the_store_goes_away_for_the_others(
    service: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await batch(service, ["cid"])
    read, trips = service.requests.get_many, 0

    async def first_alone(keys: Sequence[str]) -> Any:
        nonlocal trips
        trips += 1
        if trips > 1:
            raise StoreUnavailableError("gone")
        return await read(keys)

    monkeypatch.setattr(service.requests, "get_many", first_alone)
    answer = await service.client.post(PATH, json={"user_ids": ["ann", "cid"]})
    assert [one["served"] for one in answer.json()["lists"]] == ["unavailable", "cache"]
    trips = 0
    answer = await service.client.post(PATH, json={"user_ids": ["ann", "bea"]})
    assert (answer.status_code, answer.json()["served"]) == (503, "unavailable")


async def test_a_slow_store_costs_a_batch_no_more_than_a_single_list(
    open_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_place(redis_timeout_ms=200) as service:
        read = service.requests.get_many

        async def slow(keys: Sequence[str]) -> Any:
            if any(":ranked:" in key or service.keys.hidden_epoch == key for key in keys):
                return await read(keys)
            return await anyio.sleep(60)

        monkeypatch.setattr(service.requests, "get_many", slow)
        begun = time.monotonic()
        answer = await service.client.post(PATH, json={"user_ids": EVERYONE})
        assert time.monotonic() - begun < 30  # not the minute that one trip takes
        assert [one["served"] for one in answer.json()["lists"]] == ["unavailable"] * 8 + ["cold_start"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ["user_ids"]),
        ({"user_ids": "cid"}, ["user_ids"]),
        ({"user_ids": ["x"] * 101}, ["user_ids"]),
        ({"user_ids": ["cid", 7, "", "a\u0000", "é" * 65]}, ["user_ids.1", "user_ids.2", "user_ids.3", "user_ids.4"]),
        ({"user_ids": ["cid"], "limit": 0}, ["limit"]),
        ({"user_ids": ["cid"], "limit": 101}, ["limit"]),
        ({"user_ids": ["cid"], "limit": True}, ["limit"]),
        ({"user_ids": ["cid"], "limit": "5"}, ["limit"]),
        ({"user_ids": ["cid"], "limit": None, "context": None}, ["limit", "context"]),
        ({"user_ids": ["cid"], "context": "moon"}, ["context"]),
        ({"user_ids": ["cid"], "context": ["web"]}, ["context"]),
        ({"user_ids": ["cid"], "user_id": "cid", "lmit": 5}, ["user_id", "lmit"]),
    ],
)
async def test_wrong_bodies_name_what_is_wrong(service: ApiHarness, body: dict[str, Any], named: list[str]) -> None:
    answer = await service.client.post(PATH, json=body)
    assert answer.status_code == 422
    assert [(one["parameter"], one["in"]) for one in answer.json()["errors"]] == [(name, "body") for name in named]


async def test_an_unknown_member_is_refused_with_the_nearest_name(service: ApiHarness) -> None:
    answer = await service.client.post(PATH, json={"user_ids": ["cid"], "lmit": 5})
    assert answer.json()["detail"] == "lmit: is no member of this body; did you mean limit?"
    for wrong in (b"[]", b"{", b"7"):
        answer = await service.client.post(PATH, content=wrong, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422


async def test_without_a_version_a_batch_is_unavailable(open_place: Any) -> None:
    async with open_place(published=False) as service:
        answer = await service.client.post(PATH, json={"user_ids": ["cid"]})
        assert answer.status_code == 503


async def test_a_batch_is_of_one_version_and_its_stale_lists_of_the_one_before(service: ApiHarness) -> None:
    before = service.parts.versions.active.version
    after = service.publish()
    await service.serving(after)
    for row in range(4):
        service.store.delete([service.keys.block(after, row)])
    lists = await batch(service, PEOPLE)
    served = [(one["served"], one["version"]) for one in lists]
    assert served == [("stale", before)] * 4 + [("ranked", after)] * 3 + [("cold_start", after)]
    single = [await service.recommended(user_id, fresh=True) for user_id in PEOPLE]
    assert [without_request(one) for one in lists] == [without_request(one) for one in single]


async def test_a_key_that_stands_twice_is_a_422(service: ApiHarness) -> None:
    answer = await service.client.post(PATH, content=b'{"user_ids":["ann"],"user_ids":["bea"]}')
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "user_ids")
