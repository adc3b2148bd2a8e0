"""Arms in lists: who gets which, from when on, and that no cached list is another arm's."""

import time
from typing import Any

import anyio
import orjson
import pytest

from models.experiments import registry
from models.experiments.assignment import held_out
from models.experiments.experiment import Experiment
from tests.support.api import ApiHarness
from tests.support.experiments.arms import two_arms
from tests.support.versions import PEOPLE

pytestmark = pytest.mark.anyio

VIEWERS = PEOPLE[1:7]
"""each with a list of three people or more"""
SHORT = {"context_limits": {"web": [1, 0.0]}}


async def follow(service: ApiHarness) -> None:
    """Returns once the service knows the experiments of the store."""
    wanted = registry.read(service.store, keys=service.keys)
    deadline = time.monotonic() + 5
    while service.parts.experiments.arms.registry != wanted:
        assert time.monotonic() < deadline
        await anyio.sleep(0.02)


async def start(service: ApiHarness, experiment: Experiment, *versions: str) -> None:
    registry.start(service.store, experiment, keys=service.keys, versions=versions)
    await follow(service)


async def stop(service: ApiHarness, name: str = "short") -> None:
    registry.stop(service.store, name, keys=service.keys)
    await follow(service)


def scores(answer: dict[str, Any]) -> list[float]:
    return [one["score"] for one in answer["recommendations"]]


def ids(answer: dict[str, Any]) -> list[str]:
    return [one["user_id"] for one in answer["recommendations"]]


async def test_without_an_experiment_no_answer_speaks_of_arms(service: ApiHarness) -> None:
    assert "arms" not in await service.recommended("bea")
    answer = await service.client.get("/admin/experiments")
    assert answer.json() == {"experiments": []}


async def test_each_viewer_gets_the_list_of_their_arm_and_all_the_former_one_afterwards(service: ApiHarness) -> None:
    before = {viewer: await service.recommended(viewer) for viewer in VIEWERS}
    await start(service, two_arms(**SHORT))
    seen = set()
    for viewer in VIEWERS:
        for fresh in (False, True, False):
            answer = await service.recommended(viewer, fresh=fresh)
            (arm,) = answer["arms"].values()
            seen.add(arm)
            assert ids(answer) == ids(before[viewer])[: 1 if arm == "treatment" else None], (viewer, fresh)
    assert seen == {"control", "treatment"}
    await stop(service)
    for viewer in VIEWERS:
        answer = await service.recommended(viewer)
        assert answer["served"] == "cache"
        assert "arms" not in answer
        assert ids(answer) == ids(before[viewer])


async def test_lists_for_many_are_those_for_one(service: ApiHarness) -> None:
    await start(service, two_arms(**SHORT))
    answer = await service.client.post("/pymk/recommendations", json={"user_ids": list(VIEWERS)})
    lists = answer.json()["lists"]
    assert [one["user_id"] for one in lists] == list(VIEWERS)
    for one in lists:
        single = await service.recommended(one["user_id"])
        assert (one["arms"], ids(one)) == (single["arms"], ids(single))


async def test_an_arm_may_blend_the_heads_of_outcomes_otherwise(service: ApiHarness) -> None:
    before = {viewer: await service.recommended(viewer) for viewer in VIEWERS}
    await start(service, two_arms(outcome_blend={"accepted": 2.0}))
    seen = set()
    for viewer in VIEWERS:
        answers = [await service.recommended(viewer, fresh=fresh) for fresh in (False, False, True, False)]
        (arm,) = answers[0]["arms"].values()
        seen.add(arm)
        assert [one["served"] for one in answers[1:]] == ["cache", "ranked", "cache"]
        if arm == "control":
            assert answers[0]["served"] == "cache"
            assert all(scores(one) == scores(before[viewer]) for one in answers)
            continue
        assert answers[0]["served"] == "ranked", "what the night's powers scored is no list of this arm"
        expected = sorted((round(0.9 - score, 4) for score in scores(before[viewer])), reverse=True)
        assert all([round(score, 4) for score in scores(one)] == expected for one in answers)
    assert seen == {"control", "treatment"}
    await stop(service)
    for viewer in VIEWERS:
        assert scores(await service.recommended(viewer)) == scores(before[viewer])


async def test_a_blend_of_the_installation_is_of_every_list_but_those_of_other_arms(open_place: Any) -> None:
    async with open_place(outcome_blend="accepted:2") as service:
        own = {viewer: scores(await service.recommended(viewer)) for viewer in VIEWERS}
        assert own["bea"] == sorted(own["bea"], reverse=True)
        await start(service, two_arms(fatigue_factor=0.5))
        assert {viewer: scores(await service.recommended(viewer)) for viewer in VIEWERS} == own


async def test_newcomers_are_in_an_arm_too(service: ApiHarness) -> None:
    await start(service, two_arms(**SHORT))
    answer = await service.recommended("nobody")
    assert answer["served"] == "cold_start"
    assert len(ids(answer)) == 1 if answer["arms"]["short"] == "treatment" else len(ids(answer)) > 1


async def test_a_held_out_person_stays_where_the_control_has_them(service: ApiHarness) -> None:
    """Three impressions make the treatment tire of whoever is first, unless that person is held out."""
    before = {viewer: ids(await service.recommended(viewer)) for viewer in VIEWERS}
    await service.post(*[("impression", viewer, before[viewer][0]) for viewer in VIEWERS for _ in range(3)])
    experiment = two_arms(holdout=0.4, salt="u", fatigue_factor=0.5, control={"fatigue_factor": 1.0})
    await start(service, experiment)
    held = {one for one, is_held in zip(PEOPLE, held_out(experiment, PEOPLE), strict=True) if is_held}
    moved = set()
    for viewer in VIEWERS:
        first, *others = before[viewer]
        for fresh in (True, False, False):
            answer = await service.recommended(viewer, fresh=fresh)
            stays = answer["arms"]["short"] == "control" or first in held or held.issuperset(others)
            assert (ids(answer)[0] == first) == stays, (viewer, fresh)
            assert all(ids(answer).index(one) == before[viewer].index(one) for one in before[viewer] if one in held)
            moved.add((answer["arms"]["short"], stays))
    assert moved == {("control", True), ("treatment", True), ("treatment", False)}


@pytest.mark.parametrize("drawn", [{"exploration_temperature": 5.0}, {"exploration_uniform_share": 1.0}])
async def test_a_holdout_holds_where_lists_are_drawn_for_everybody(open_place: Any, drawn: dict[str, float]) -> None:
    async with open_place() as service:
        plain = {viewer: ids(await service.recommended(viewer)) for viewer in VIEWERS}
    async with open_place(exploration_fixed=0, **drawn) as service:
        assert {viewer: ids(await service.recommended(viewer)) for viewer in VIEWERS} != plain
        experiment = two_arms(holdout=0.4, salt="u", fatigue_factor=0.5)
        await start(service, experiment)
        arms = set()
        for viewer in VIEWERS:
            for fresh in (False, True):
                answer = await service.recommended(viewer, fresh=fresh)
                arms |= set(answer["arms"].values())
                assert ids(answer) == plain[viewer], "the control too: its arms differ in the treatment alone"
        assert arms == {"control", "treatment"}
        await stop(service)
        assert {viewer: ids(await service.recommended(viewer)) for viewer in VIEWERS} != plain


async def test_an_arm_may_be_of_the_version_before(service: ApiHarness) -> None:
    first = service.parts.versions.active
    assert first is not None
    second = service.publish()
    await service.serving(second)
    await start(service, two_arms(version=first.version), second, first.version)
    for viewer in VIEWERS:
        answer = await service.recommended(viewer)
        assert answer["version"] == (first.version if answer["arms"]["short"] == "treatment" else second)
        assert answer["served"] in {"ranked", "cache"}
    third = service.publish()
    await service.serving(third)
    assert {(await service.recommended(viewer))["version"] for viewer in VIEWERS} == {third}


async def test_two_experiments_at_once(service: ApiHarness) -> None:
    await start(service, two_arms(**SHORT))
    await start(service, two_arms("tired", salt="t", fatigue_factor=0.5))
    for viewer in VIEWERS:
        answer = await service.recommended(viewer)
        assert set(answer["arms"]) == {"short", "tired"}
        assert (len(ids(answer)) == 1) == (answer["arms"]["short"] == "treatment")


async def test_why_is_of_the_list_of_the_arm(service: ApiHarness) -> None:
    await start(service, two_arms(**SHORT))
    for viewer in VIEWERS:
        answer = await service.recommended(viewer)
        other = ids(answer)[0]
        why = (await service.client.get(f"/pymk/users/{viewer}/why/{other}")).json()
        assert (why["position"], why["listed"]) == (1, len(ids(answer)))


async def test_administrators_see_every_experiment(service: ApiHarness) -> None:
    await start(service, two_arms(holdout=0.25, **SHORT))
    await stop(service)
    await start(service, two_arms("tired", fatigue_factor=0.5))
    latest, first = (await service.client.get("/admin/experiments")).json()["experiments"]
    assert (latest["name"], latest["state"], latest["stopped_at"]) == ("tired", "running", None)
    assert (first["name"], first["state"], first["holdout"]) == ("short", "stopped", 0.25)
    assert latest["arms"][1] == {"name": "treatment", "share": 0.5, "settings": {"fatigue_factor": 0.5}}
    assert latest["arms"][0]["settings"] == {}


async def test_a_damaged_record_changes_nothing_and_is_counted(service: ApiHarness) -> None:
    await start(service, two_arms(**SHORT))
    service.store.set(service.keys.experiments, orjson.dumps({"runs": [{"experiment": 3}]}))
    await anyio.sleep(1.2)
    assert "arms" in await service.recommended("bea")
    assert 'reason="experiments_not_read"' in service.parts.metrics.text().decode()


async def test_a_store_that_is_away_stops_no_experiment(service: ApiHarness) -> None:
    await start(service, two_arms(**SHORT))
    service.requests.is_cut_off = True
    await anyio.sleep(1.2)
    service.requests.is_cut_off = False
    assert "arms" in await service.recommended("bea")
