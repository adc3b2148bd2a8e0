"""What a PUT or a DELETE does to everybody's lists, those that the store keeps included, when its answer is there."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import ApiHarness
from tests.support.versions import PEOPLE

pytestmark = pytest.mark.anyio


def path(user_id: str) -> str:
    return "/pymk/users/" + quote(user_id, safe="")


async def put(service: ApiHarness, user_id: str, **columns: Any) -> None:
    assert (await service.client.put(path(user_id), json=columns)).status_code == 202


async def lists(service: ApiHarness) -> dict[str, dict[str, Any]]:
    """By viewer the list, which is kept from then on."""
    return {viewer: await service.recommended(viewer) for viewer in PEOPLE}


def named(answer: dict[str, Any]) -> set[str]:
    return {one["user_id"] for one in answer["recommendations"]}


def mutual(answer: dict[str, Any], user_id: str) -> tuple[int, set[str]]:
    """How many mutual connections are told of somebody in a list, and which."""
    (one,) = [one for one in answer["recommendations"] if one["user_id"] == user_id]
    told = [reason for reason in one["reasons"] if reason["code"] == "mutual_connections"]
    return (told[0]["count"], set(told[0]["examples"])) if told else (0, set())


@pytest.mark.parametrize("flag", ["discoverable", "active"])
async def test_who_hides_is_in_no_list_from_then_on_and_comes_back(service: ApiHarness, flag: str) -> None:
    before = await lists(service)
    assert sum("fay" in named(answer) for answer in before.values()) > 2
    await put(service, "fay", **{flag: False})
    hidden = await lists(service)
    assert not any("fay" in named(answer) for answer in hidden.values())
    assert hidden["fay"]["served"] == ("empty" if flag == "active" else hidden["fay"]["served"])
    await put(service, "fay", **{flag: None})
    after = {viewer: await service.recommended(viewer, fresh=True) for viewer in PEOPLE}
    assert {viewer: named(one) for viewer, one in after.items()} == {
        viewer: named(one) for viewer, one in before.items()
    }


async def test_a_connection_that_hides_is_neither_named_nor_counted(service: ApiHarness) -> None:
    """dan is the one whom ann and eva share, and eva and fay are among those dan's friends see."""
    before = await lists(service)
    assert mutual(before["bea"], "eva") == (1, {"dan"})
    await put(service, "dan", connections_visible=False)
    for fresh in (False, True):
        answer = await service.recommended("bea", fresh=fresh)
        assert mutual(answer, "eva") == (0, set()), fresh
    assert "dan" not in str([one["reasons"] for one in (await service.recommended("cid"))["recommendations"]])
    await put(service, "dan", connections_visible=True)
    assert mutual(await service.recommended("bea", fresh=True), "eva") == (1, {"dan"})


async def test_who_is_erased_is_in_no_list_no_example_and_no_count(service: ApiHarness) -> None:
    before = await lists(service)
    assert mutual(before["bea"], "eva") == (1, {"dan"})
    assert (await service.client.delete(path("dan"))).status_code == 202
    for fresh in (False, True):
        after = {viewer: await service.recommended(viewer, fresh=fresh) for viewer in PEOPLE}
        assert not any("dan" in str(answer["recommendations"]) for answer in after.values())
        assert mutual(after["bea"], "eva") == (0, set())
        assert (after["dan"]["served"], after["dan"]["recommendations"]) == ("empty", [])


async def test_who_comes_back_is_nobody_s_connection(service: ApiHarness) -> None:
    await lists(service)
    await service.client.delete(path("dan"))
    await put(service, "dan", name="Another")
    assert (await service.client.get(path("dan"))).json() == {"name": "Another"}
    after = await lists(service)
    assert not any("dan" in str(answer["recommendations"]) for answer in after.values())
    answer = after["dan"]
    assert answer["served"] in {"cold_start", "ranked"}
    assert not any(
        reason["code"] == "mutual_connections" for one in answer["recommendations"] for reason in one["reasons"]
    )
