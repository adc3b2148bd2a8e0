"""GET /pymk/users/{user_id}/why/{other_id}: what each stage says of a pair."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from models.version.candidate_block import Block
from models.version.new_user_record import Newcomer, ProfileCodes
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

KEYS = "reader:read+write,operator:admin"


async def why(service: ApiHarness, user_id: str, other_id: str, **query: str) -> dict[str, Any]:
    url = f"/pymk/users/{quote(user_id, safe='')}/why/{quote(other_id, safe='')}"
    answer = await service.client.get(url, params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_somebody_in_the_list(service: ApiHarness) -> None:
    listed = await service.recommended("cid")
    first = listed["recommendations"][0]
    body = await why(service, "cid", first["user_id"])
    assert (body["served"], body["position"], body["rules"]) == ("ranked", 1, [])
    assert body["listed"] == len(listed["recommendations"])
    assert body["version"] == listed["version"]
    assert body["score"]["probability"] == pytest.approx(first["score"], rel=1e-5)
    assert [one["source"] for one in body["sources"] if one["found"]] == ["friends_of_friends"]
    assert first["sources"] == ["random_walk"], "no friend in common may be named"
    assert body["reasons"] == first["reasons"]
    score = body["score"]
    total = sum(one["contribution"] for one in body["features"])
    assert score["starting_point"] + total + score["residual"] == pytest.approx(score["log_odds"])
    assert body["request_id"]


async def test_positions_are_those_of_the_list(service: ApiHarness) -> None:
    for one in (await service.recommended("bea"))["recommendations"]:
        assert (await why(service, "bea", one["user_id"]))["position"] == one["position"]


@pytest.mark.parametrize(
    ("user_id", "other_id", "rules"),
    [
        ("ann", "ann", ["self"]),
        ("ann", "bea", ["connected"]),
        ("ann", "eva", ["blocked"]),
        ("eva", "ann", ["blocked"]),
        ("cid", "héloïse", ["undiscoverable"]),
        ("eva", "héloïse", ["connected", "undiscoverable"]),
    ],
)
async def test_every_rule_that_drops_the_pair(
    service: ApiHarness, user_id: str, other_id: str, rules: list[str]
) -> None:
    body = await why(service, user_id, other_id)
    assert (body["rules"], body["position"]) == (rules, None)


async def test_a_dropped_candidate_is_scored_all_the_same(service: ApiHarness) -> None:
    body = await why(service, "ann", "eva")
    assert body["candidate"] == {"place": 1, "rank": 4, "of": 4}
    assert body["score"] is not None


async def test_who_is_no_candidate_is_told_with_what_can_be_said(service: ApiHarness) -> None:
    body = await why(service, "ann", "bea")
    assert body["candidate"] is body["score"] is None
    assert body["features"] == []
    assert {one["found"] for one in body["sources"]} == {None}
    assert body["mutuals"]["count"] == 2
    assert [one["user_id"] for one in body["mutuals"]["people"]] == ["cid", "dan"]
    assert body["mutuals"]["ties"] == [[0, 1]]
    assert {"column": "company", "value": "Acme"} in body["shared"]
    assert [one["code"] for one in body["reasons"]] == ["mutual_connections", "same_attribute"]


async def test_a_viewer_without_candidates(service: ApiHarness) -> None:
    body = await why(service, "héloïse", "ann")
    assert (body["served"], body["candidate"]) == ("cold_start", None)
    listed = await service.recommended("héloïse")
    positions = {one["user_id"]: one["position"] for one in listed["recommendations"]}
    assert body["position"] == positions["ann"]


async def test_a_newcomer_s_list_is_explained_too(service: ApiHarness) -> None:
    await service.put("zoe/é 🦊", company="Bolt")
    await service.post(("connect", "zoe/é 🦊", "ann"), ("dismiss", "zoe/é 🦊", "gus"))
    listed = await service.recommended("zoe/é 🦊")
    body = await why(service, "zoe/é 🦊", "bea")
    positions = {one["user_id"]: one["position"] for one in listed["recommendations"]}
    assert (body["served"], body["candidate"], body["rules"]) == ("cold_start", None, [])
    assert (body["position"], body["listed"]) == (positions["bea"], len(positions))
    assert body["mutuals"]["people"][0]["user_id"] == "ann"
    assert (await why(service, "zoe/é 🦊", "gus"))["rules"] == ["dismissed"]
    assert (await why(service, "zoe/é 🦊", "eva"))["shared"] == [{"column": "company", "value": "Bolt"}]

    version = service.parts.versions.active
    tables = version.tables
    block = Block.unpack(service.store.get(service.keys.block(version.version, 0)))
    codes = ProfileCodes.of({"company": "Bolt"}, tables)
    record = Newcomer(1, tables.statistics[1], tables.towers.query(1), codes, np.array([0], np.int32), block)
    service.store.set(service.keys.newcomer(version.version, "zoe/é 🦊"), record.pack())
    listed = await service.recommended("zoe/é 🦊")
    assert listed["served"] == "ranked"
    first = listed["recommendations"][0]
    body = await why(service, "zoe/é 🦊", first["user_id"])
    assert (body["served"], body["position"], body["rules"]) == ("ranked", 1, [])
    assert body["score"]["probability"] == pytest.approx(first["score"], rel=1e-5)
    assert body["reasons"] == first["reasons"]


async def test_a_newcomer_is_suggested_to_nobody_yet(service: ApiHarness) -> None:
    await service.put("zoe", company="Acme", active=False)
    await service.post(("connect", "zoe", "bea"), ("block", "zoe", "ann"))
    body = await why(service, "ann", "zoe")
    assert (body["rules"], body["position"]) == (["blocked", "inactive", "newcomer"], None)
    assert body["candidate"] is body["score"] is None
    assert body["shared"] == [{"column": "company", "value": "Acme"}]
    assert [one["user_id"] for one in body["mutuals"]["people"]] == ["bea"]
    assert body["reasons"] == []
    assert (await why(service, "zoe", "zoe"))["rules"] == ["self", "inactive", "newcomer", "viewer_inactive"]


async def test_the_erased_are_nobody(service: ApiHarness) -> None:
    await service.client.delete("/pymk/users/gus")
    answer = await service.client.get("/pymk/users/ann/why/gus")
    assert (answer.status_code, answer.json()["parameter"]) == (404, "other_id")


async def test_what_a_viewer_put_is_what_she_shares(service: ApiHarness) -> None:
    await service.put("cid", company="Bolt")
    assert {"column": "company", "value": "Bolt"} in (await why(service, "cid", "gus"))["shared"]


async def test_an_inactive_viewer_has_no_list(service: ApiHarness) -> None:
    service.flag("cid", active=False)
    body = await why(service, "cid", "eva")
    assert (body["served"], body["position"], body["listed"]) == ("empty", None, 0)
    assert "viewer_inactive" in body["rules"]


async def test_a_block_that_does_not_read_back_counts_as_none(service: ApiHarness) -> None:
    version = service.parts.versions.active
    service.store.set(service.keys.block(version.version, version.tables.vocabulary.row("cid")), b"damaged")
    assert (await why(service, "cid", "eva"))["candidate"] is None


@pytest.mark.parametrize("stranger", ["a/b", "a b", "🦊", "x" * 128, "%2F", "a/why/b", "?#;"])
@pytest.mark.parametrize("parameter", ["user_id", "other_id"])
async def test_strangers_of_any_id_are_a_404_that_names_which(
    service: ApiHarness, stranger: str, parameter: str
) -> None:
    ids = {"user_id": "ann", "other_id": "ann", parameter: stranger}
    answer = await service.client.get(
        f"/pymk/users/{quote(ids['user_id'], safe='')}/why/{quote(ids['other_id'], safe='')}"
    )
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["parameter"] == parameter


@pytest.mark.parametrize("segment", ["%00", "x" * 129, "%FF", "%2E%2E"])
async def test_impossible_ids_are_a_422(service: ApiHarness, segment: str) -> None:
    for path, parameter in ((f"{segment}/why/ann", "user_id"), (f"ann/why/{segment}", "other_id")):
        answer = await service.client.get(f"/pymk/users/{path}")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == parameter


async def test_an_unknown_context_is_a_422(service: ApiHarness) -> None:
    answer = await service.client.get("/pymk/users/ann/why/fay", params={"context": "radio"})
    assert answer.json()["errors"][0]["parameter"] == "context"
    assert (await why(service, "ann", "fay", context="email"))["context"] == "email"


async def test_only_the_scope_admin_may_ask(open_place: Callable[..., Any]) -> None:
    async with open_place(keys=KEYS) as service:
        statuses = {}
        for key in ("", "reader", "operator"):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            statuses[key] = (await service.client.get("/pymk/users/ann/why/fay", headers=headers)).status_code
        assert statuses == {"": 401, "reader": 403, "operator": 200}


async def test_without_a_version_it_is_a_503(open_place: Callable[..., Any]) -> None:
    async with open_place(published=False) as service:
        assert (await service.client.get("/pymk/users/ann/why/fay")).status_code == 503
