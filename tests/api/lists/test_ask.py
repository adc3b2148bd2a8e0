"""`ask`: the profile column that would help a viewer of whom little is known."""

from typing import Any

import pytest

from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio


async def test_a_stranger_is_asked_for_the_column_that_tells_the_cliques_apart(service: ApiHarness) -> None:
    answer = await service.recommended("zoe")
    assert (answer["served"], answer["ask"]) == ("cold_start", "company")


async def test_who_has_answered_is_not_asked_again(service: ApiHarness) -> None:
    await service.put("zoe", company="Bolt")
    assert "ask" not in await service.recommended("zoe")
    await service.put("zoe", company=None)
    assert (await service.recommended("zoe"))["ask"] == "company"


async def test_an_answer_that_nobody_else_gave_is_an_answer(service: ApiHarness) -> None:
    await service.put("zoe", company="A company of her own")
    answer = await service.recommended("zoe")
    assert answer["served"] == "cold_start"
    assert "ask" not in answer


async def test_a_user_with_friends_enough_is_not_asked(open_place: Any) -> None:
    for below, asked in ((3, False), (4, True)):
        async with open_place(ask_below_friends=below) as service:
            await service.put("fay", company=None)
            for served in ("ranked", "cache"):
                answer = await service.recommended("fay")
                assert ("ask" in answer) == asked, (below, served)


async def test_the_list_of_a_person_in_a_batch_asks_the_same(service: ApiHarness) -> None:
    answer = await service.client.post("/pymk/recommendations", json={"user_ids": ["zoe", "cid"]})
    zoe, cid = answer.json()["lists"]
    assert zoe["ask"] == "company"
    assert "ask" not in cid
