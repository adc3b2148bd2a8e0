"""`fields`: entries show profile columns as GET /pymk/users/{user_id} does, in one trip more, and only if asked."""

from collections.abc import Sequence
from typing import Any

import pytest

from models.event_log.write_profile import write_erasure
from models.schema.vocabulary import UserId
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

PATH = "/pymk/recommendations"


async def shown(service: ApiHarness, user_id: str, fields: str, **query: Any) -> dict[str, Any]:
    """The profile of every entry by user id."""
    body = await service.recommended(user_id, fields=fields, **query)
    return {entry["user_id"]: entry["profile"] for entry in body["recommendations"]}


async def stored(service: ApiHarness, user_id: str, *columns: str) -> dict[str, Any]:
    """These columns of GET /pymk/users/{user_id}."""
    profile = (await service.client.get(f"/pymk/users/{user_id}")).json()
    return {column: profile[column] for column in columns if column in profile}


async def test_entries_show_the_columns_asked_for(service: ApiHarness) -> None:
    plain = await service.recommended("cid")
    assert all("profile" not in entry for entry in plain["recommendations"])
    body = await service.recommended("cid", fields="name,company")
    profiles = [entry.pop("profile") for entry in body["recommendations"]]
    assert profiles == [{"name": name, "company": "Bolt"} for name in ("Gus", "Fay", "Eva")]
    assert body["recommendations"] == plain["recommendations"]
    assert await shown(service, "cid", "name") == {
        "gus": {"name": "Gus"},
        "fay": {"name": "Fay"},
        "eva": {"name": "Eva"},
    }
    assert await shown(service, "cid", "genres") == {"gus": {}, "fay": {}, "eva": {}}


async def test_what_was_put_since_is_shown_as_the_profile_shows_it(service: ApiHarness) -> None:
    await service.put("gus", name="Gustav", company=None, genres=["jazz", "folk"], created_at=1_700_000_000)
    profiles = await shown(service, "cid", "name,company,genres,created_at")
    assert profiles["gus"] == {
        "name": "Gustav",
        "genres": ["folk", "jazz"],
        "created_at": "2023-11-14T22:13:20Z",
    }
    for user_id, profile in profiles.items():
        assert profile == await stored(service, user_id, "name", "company", "genres", "created_at")


async def test_every_way_to_a_list_shows_them(service: ApiHarness) -> None:
    assert (await service.recommended("cid", fields="name"))["served"] == "ranked"
    assert (await service.recommended("cid", fields="name"))["served"] == "cache"
    assert (await service.recommended("nobody", fields="name"))["served"] == "cold_start"
    for user_id in ("cid", "nobody"):
        for one, profile in (await shown(service, user_id, "name,company")).items():
            assert profile == await stored(service, one, "name", "company")
    after = service.publish()
    await service.serving(after)
    service.store.delete([service.keys.block(after, 2)])
    await service.put("gus", name="Gustav")
    body = await service.recommended("cid", fields="name")
    assert body["served"] == "stale"
    assert {entry["user_id"]: entry["profile"] for entry in body["recommendations"]}["gus"] == {"name": "Gustav"}


async def test_a_batch_shows_them_too(service: ApiHarness) -> None:
    await service.put("gus", name="Gustav")
    body = {"user_ids": ["cid", "ann", "cid"], "fields": ["name", "company", "name"]}
    lists = (await service.client.post(PATH, json=body)).json()["lists"]
    assert [one["user_id"] for one in lists] == body["user_ids"]
    for one in lists:
        alone = await service.recommended(one["user_id"], fields="name,company")
        assert one["recommendations"] == alone["recommendations"]
        assert all(entry["profile"]["name"] for entry in one["recommendations"])


async def test_they_cost_one_trip_and_none_without_fields(service: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.recommended("cid")
    read, trips = service.requests.get_many, []

    async def counted(keys: Sequence[str]) -> Any:
        trips.append(list(keys))
        return await read(keys)

    monkeypatch.setattr(service.requests, "get_many", counted)
    await service.recommended("cid")
    assert len(trips) == 1
    trips.clear()
    await service.recommended("cid", fields="name")
    assert len(trips) == 2
    assert trips[1] == [*map(service.keys.live_profile, ("gus", "fay", "eva")), service.keys.hidden_epoch]
    trips.clear()
    await service.client.post(PATH, json={"user_ids": ["cid"] * 100, "fields": ["name"]})
    assert len(trips) == 2
    assert len(trips[1]) == 4


async def test_a_damaged_profile_is_shown_empty_and_counted(service: ApiHarness) -> None:
    service.store.set(service.keys.live_profile("gus"), b"{")
    profiles = await shown(service, "cid", "name")
    assert profiles == {"gus": {}, "fay": {"name": "Fay"}, "eva": {"name": "Eva"}}
    assert 'pymk_degraded_total{reason="corrupt_profile"} 1.0' in (await service.client.get("/metrics")).text


async def test_who_is_erased_between_list_and_profile_is_shown_without_one(
    service: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, trips = service.requests.get_many, 0

    async def erased_in_between(keys: Sequence[str]) -> Any:
        nonlocal trips
        trips += 1
        if service.keys.live_profile("gus") in keys and trips == 3:
            await write_erasure(service.requests, service.keys, UserId("gus"))
        return await read(keys)

    monkeypatch.setattr(service.requests, "get_many", erased_in_between)
    assert (await shown(service, "cid", "name"))["gus"] == {}
    monkeypatch.undo()
    assert "gus" not in await shown(service, "cid", "name")


@pytest.mark.parametrize("column", ["discoverable", "active", "connections_visible"])
async def test_what_a_person_hides_is_never_shown(service: ApiHarness, column: str) -> None:
    await service.put("gus", connections_visible=False)
    answer = await service.client.get(PATH, params={"user_id": "cid", "fields": f"name,{column}"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error == {
        "parameter": "fields",
        "in": "query",
        "detail": f"{column} is not shown in lists: it says what a person chose to hide",
    }


async def test_an_unknown_column_is_refused_with_the_nearest_name(service: ApiHarness) -> None:
    answer = await service.client.get(PATH, params={"user_id": "cid", "fields": "nam,company,zzz"})
    assert answer.status_code == 422
    assert [one["detail"] for one in answer.json()["errors"]] == [
        "nam is no column of the active version; did you mean name?",
        "zzz is no column of the active version; there are company, created_at, genres, name, schools",
    ]
    answer = await service.client.post(PATH, json={"user_ids": ["cid"], "fields": ["nam"]})
    assert answer.json()["errors"] == [
        {"parameter": "fields", "in": "body", "detail": "nam is no column of the active version; did you mean name?"}
    ]


@pytest.mark.parametrize("given", ["", ",", "%ff"])
async def test_fields_that_name_nothing_are_refused(service: ApiHarness, given: str) -> None:
    answer = await service.client.get(f"{PATH}?user_id=cid&fields={given}")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "fields")
    for wrong in ("name", [7], None, {"name": True}):
        answer = await service.client.post(PATH, json={"user_ids": ["cid"], "fields": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "fields")


async def test_without_the_store_there_are_no_profiles_and_no_list(
    service: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.recommended("cid")
    read = service.requests.get_many

    async def cut(keys: Sequence[str]) -> Any:
        if service.keys.live_profile("gus") in keys:
            service.requests.is_cut_off = True
        return await read(keys)

    monkeypatch.setattr(service.requests, "get_many", cut)
    for sent in (
        {"method": "GET", "url": PATH, "params": {"user_id": "cid", "fields": "name"}},
        {"method": "POST", "url": PATH, "json": {"user_ids": ["cid"], "fields": ["name"]}},
    ):
        service.requests.is_cut_off = False
        answer = await service.client.request(**sent)
        assert (answer.status_code, answer.json()["served"]) == (503, "unavailable")
