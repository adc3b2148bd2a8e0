"""What a PUT or a DELETE does to everybody's lists, those that the store keeps included, when its answer is there."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.versions import PEOPLE

pytestmark = pytest.mark.anyio


def path(user_id: str) -> str:
    return "/pymk/users/" + quote(user_id, safe="")


async def put(place: Any, user_id: str, **columns: Any) -> None:
    assert (await place.client.put(path(user_id), json=columns)).status_code == 202


async def lists(place: Any) -> dict[str, dict[str, Any]]:
    """By viewer the list, which is kept from then on."""
    return {viewer: await place.recommended(viewer) for viewer in PEOPLE}


def named(answer: dict[str, Any]) -> set[str]:
    return {one["user_id"] for one in answer["recommendations"]}


def mutual(answer: dict[str, Any], user_id: str) -> tuple[int, set[str]]:
    """How many mutual connections are told of somebody in a list, and which."""
    (one,) = [one for one in answer["recommendations"] if one["user_id"] == user_id]
    told = [reason for reason in one["reasons"] if reason["code"] == "mutual_connections"]
    return (told[0]["count"], set(told[0]["examples"])) if told else (0, set())


@pytest.mark.parametrize("flag", ["discoverable", "active"])
async def test_who_hides_is_in_no_list_from_then_on_and_comes_back(place: Any, flag: str) -> None:
    before = await lists(place)
    assert sum("fay" in named(answer) for answer in before.values()) > 2
    await put(place, "fay", **{flag: False})
    hidden = await lists(place)
    assert not any("fay" in named(answer) for answer in hidden.values())
    assert hidden["fay"]["served"] == ("empty" if flag == "active" else hidden["fay"]["served"])
    await put(place, "fay", **{flag: None})
    after = {viewer: await place.recommended(viewer, fresh=True) for viewer in PEOPLE}
    assert {viewer: named(one) for viewer, one in after.items()} == {
        viewer: named(one) for viewer, one in before.items()
    }


async def test_a_connection_that_hides_is_neither_named_nor_counted(place: Any) -> None:
    """dan is the one whom ann and eva share, and eva and fay are among those dan's friends see."""
    before = await lists(place)
    assert mutual(before["bea"], "eva") == (1, {"dan"})
    await put(place, "dan", connections_visible=False)
    for fresh in (False, True):
        answer = await place.recommended("bea", fresh=fresh)
        assert mutual(answer, "eva") == (0, set()), fresh
    assert "dan" not in str([one["reasons"] for one in (await place.recommended("cid"))["recommendations"]])
    await put(place, "dan", connections_visible=True)
    assert mutual(await place.recommended("bea", fresh=True), "eva") == (1, {"dan"})


async def test_who_is_erased_is_in_no_list_no_example_and_no_count(place: Any) -> None:
    before = await lists(place)
    assert mutual(before["bea"], "eva") == (1, {"dan"})
    assert (await place.client.delete(path("dan"))).status_code == 202
    for fresh in (False, True):
        after = {viewer: await place.recommended(viewer, fresh=fresh) for viewer in PEOPLE}
        assert not any("dan" in str(answer["recommendations"]) for answer in after.values())
        assert mutual(after["bea"], "eva") == (0, set())
        assert (after["dan"]["served"], after["dan"]["recommendations"]) == ("empty", [])


async def test_who_comes_back_is_nobody_s_connection(place: Any) -> None:
    await lists(place)
    await place.client.delete(path("dan"))
    await put(place, "dan", name="Another")
    assert (await place.client.get(path("dan"))).json() == {"name": "Another"}
    after = await lists(place)
    assert not any("dan" in str(answer["recommendations"]) for answer in after.values())
    answer = after["dan"]
    assert answer["served"] in {"cold_start", "ranked"}
    assert not any(
        reason["code"] == "mutual_connections" for one in answer["recommendations"] for reason in one["reasons"]
    )
