"""People who joined since the night have the last place of a first page, each in turn."""

from typing import Any

import numpy as np
import pytest

from models.candidate_refresh.newcomer_suggestions import MOST_A_DAY, SUGGESTED_TO, NewcomerSuggestions
from models.live_state.edges import NEWCOMER
from models.live_state.user_record import LiveRecord
from models.version.candidate_block import Block
from models.version.new_user_record import OUTSIDE, Newcomer, ProfileCodes
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

NOTHING = np.zeros(0, np.float32)


def record(rows: list[int], friends: int = 0) -> bytes:
    """The record of a newcomer with these candidates."""
    count = len(rows)
    codes = np.zeros((2, count), np.uint8)
    flat = np.zeros(2, np.float32)
    block = Block(OUTSIDE, np.array(rows, np.uint32), np.ones(count, np.uint8), codes, flat, flat)
    none = np.zeros(0, np.int32)
    profile = ProfileCodes(np.full(1, -1, np.int32), none)
    return Newcomer(1, NOTHING, NOTHING, profile, np.arange(friends, dtype=np.int32), block).pack()


def suggest(service: ApiHarness, **newcomers: list[int]) -> int:
    """Suggests people to those at these rows, as the worker does."""
    active = service.parts.versions.active
    assert active is not None
    suggestions = NewcomerSuggestions(service.store, service.keys)
    return suggestions.suggest({name: record(rows) for name, rows in newcomers.items()}, active)


def ids(answer: dict[str, Any]) -> list[str]:
    return [entry["user_id"] for entry in answer["recommendations"]]


async def test_a_newcomer_has_the_last_place_of_those_who_are_her_first_candidates(service: ApiHarness) -> None:
    before = ids(await service.recommended("cid", limit=20))
    assert suggest(service, zoe=[2, 5]) == 2
    answer = await service.recommended("cid", limit=20)
    assert ids(answer) == [*before, "zoe"]
    *others, last = answer["recommendations"]
    assert (last["sources"], last["reasons"], last["position"]) == (["newcomers"], [], len(before) + 1)
    assert last["score"] <= min(one["score"] for one in others)
    assert "zoe" not in ids(await service.recommended("ann", limit=20))
    assert "zoe" not in ids(await service.recommended("cid", limit=10)), "a short list has no place to spare"
    first = await service.recommended("cid", limit=20, exclude="zoe")
    assert "zoe" not in ids(first)


async def test_a_newcomer_erased_while_her_candidates_are_made_is_noted_nowhere(service: ApiHarness) -> None:
    await service.put("zoe", company="Acme")
    assert (await service.client.delete("/pymk/users/zoe")).status_code == 202
    assert suggest(service, zoe=[2, 5]) == 0
    await service.put("zoe", company="Acme")
    assert suggest(service, zoe=[2, 5]) == 2


async def test_several_newcomers_take_turns(open_place: Any) -> None:
    async with open_place(newcomers_share=0.1) as service:
        suggest(service, xia=[2], yan=[2], zoe=[2])
        answer = await service.recommended("cid", limit=20)
        assert len([one for one in answer["recommendations"] if one["sources"] == ["newcomers"]]) == 2


@pytest.mark.parametrize("event", ["block", "dismiss", "connect", "invite", "report"])
async def test_a_newcomer_who_may_not_be_shown_is_not(service: ApiHarness, event: str) -> None:
    suggest(service, zoe=[2])
    assert "zoe" in ids(await service.recommended("cid", limit=20))
    await service.post((event, "cid", "zoe"))
    assert "zoe" not in ids(await service.recommended("cid", limit=20))


async def test_a_newcomer_who_hides_or_leaves_is_gone(service: ApiHarness) -> None:
    suggest(service, zoe=[2])
    await service.put("zoe", discoverable=False)
    assert "zoe" not in ids(await service.recommended("cid", limit=20))
    await service.put("zoe", discoverable=True)
    assert "zoe" in ids(await service.recommended("cid", limit=20))
    await service.client.delete("/pymk/users/zoe")
    assert "zoe" not in ids(await service.recommended("cid", limit=20))


async def test_nobody_is_given_more_newcomers_a_day_than_places_can_show(service: ApiHarness) -> None:
    active = service.parts.versions.active
    assert active is not None
    suggestions = NewcomerSuggestions(service.store, service.keys)
    people = {f"new{number}": record([0, 1, 2]) for number in range(3 * MOST_A_DAY)}
    assert suggestions.suggest(people, active) == 3 * MOST_A_DAY
    packed = service.store.get(service.keys.live("cid"))
    noted = [one for one, events in LiveRecord.unpack(packed).edges.items() if NEWCOMER in events]
    assert len(noted) == MOST_A_DAY <= SUGGESTED_TO
    assert suggestions.suggest(people, active) == 0, "once, until she has made a friend"


async def test_without_places_nobody_is_shown(open_place: Any) -> None:
    async with open_place(newcomers_share=0) as service:
        suggest(service, zoe=[2])
        assert "zoe" not in ids(await service.recommended("cid", limit=20))
