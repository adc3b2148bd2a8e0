"""A viewer's contacts in her lists: of the version and newly joined, until anything keeps them out."""

from typing import Any

import pytest

from models.contacts.record import ContactRecord
from tests.support.api import ApiHarness
from tests.support.contacts import join, match, of, upload

pytestmark = pytest.mark.anyio

REASON = {"code": "contact", "text": "In your contacts"}


def ids(answer: dict[str, Any]) -> list[str]:
    return [entry["user_id"] for entry in answer["recommendations"]]


def contacts(answer: dict[str, Any]) -> list[str]:
    return [one["user_id"] for one in answer["recommendations"] if "contacts" in one["sources"]]


def uploaded(service: ApiHarness, user_id: str) -> frozenset[bytes]:
    """The keyed hashes of somebody's contacts."""
    return ContactRecord.unpack(service.store.get(service.keys.contacts(user_id))).contacts


async def test_contacts_who_are_here_come_first_with_what_the_viewer_knows(service: ApiHarness) -> None:
    await join(service, "ann", "gus")
    await upload(service, "zoe", "gus", "nobody")
    answer = await service.recommended("zoe")
    assert ids(answer)[0] == "gus"
    assert contacts(answer) == ["gus"]
    (first, *others) = answer["recommendations"]
    assert (first["sources"], first["reasons"]) == (["contacts"], [REASON])
    assert [one["position"] for one in answer["recommendations"]] == list(range(1, len(others) + 2))
    assert all(one["score"] <= first["score"] for one in others)
    assert len(set(ids(answer))) == len(ids(answer))


async def test_a_contact_who_joins_is_seen_from_then_on(service: ApiHarness) -> None:
    await upload(service, "cid", "yan")
    for _ in range(2):
        assert contacts(await service.recommended("cid")) == []
    await join(service, "yan")
    await service.put("yan", name="Yan", company="Bolt")
    for fresh, served in ((False, "cache"), (True, "ranked")):
        answer = await service.recommended("cid", fresh=fresh, fields="name,company")
        assert answer["served"] == served
        assert ids(answer)[0] == "yan"
        assert answer["recommendations"][0]["profile"] == {"name": "Yan", "company": "Bolt"}


async def test_three_who_have_each_other_see_each_other(service: ApiHarness) -> None:
    trio = ("xia", "yan", "zoe")
    for user_id in trio:
        await upload(service, user_id, *(one for one in trio if one != user_id), own=True)
    for user_id in trio:
        assert sorted(contacts(await service.recommended(user_id))) == sorted(set(trio) - {user_id})


async def test_nobody_learns_who_has_her_in_the_contacts(service: ApiHarness) -> None:
    await join(service, "gus", "zoe", "ann")
    before = {user_id: await service.recommended(user_id, fresh=True) for user_id in ("gus", "ann", "zoe")}
    await upload(service, "dan", "gus", "ann", "zoe")
    for user_id, answer in before.items():
        after = await service.recommended(user_id, fresh=True)
        assert {**after, "request_id": ""} == {**answer, "request_id": ""}


async def test_contacts_taken_back_are_gone_when_that_is_acknowledged(service: ApiHarness) -> None:
    await join(service, "gus", "yan")
    await upload(service, "cid", "gus", "yan")
    assert sorted(contacts(await service.recommended("cid"))) == ["gus", "yan"]
    held = [service.keys.address_holders(one.hex()) for one in uploaded(service, "cid")]
    assert [service.store.members(key) for key in held] == [{b"cid"}] * 2
    assert (await service.client.put("/pymk/users/cid/contacts", json=[])).status_code == 202
    assert contacts(await service.recommended("cid")) == [], "before the worker has seen it"
    match(service)
    assert contacts(await service.recommended("cid")) == []
    assert service.store.count(held) == 0, "nor does the index name her"


async def test_an_address_taken_back_finds_nobody(service: ApiHarness) -> None:
    await join(service, "gus")
    await upload(service, "cid", "gus")
    await service.client.put("/pymk/users/gus/contacts", json={"own": []})
    match(service)
    assert contacts(await service.recommended("cid")) == []
    await upload(service, "zoe", "gus")
    assert contacts(await service.recommended("zoe")) == []


@pytest.mark.parametrize("other", ["gus", "yan"])
@pytest.mark.parametrize(
    "event", [("block", 0), ("block", 1), ("dismiss", 0), ("report", 0), ("connect", 0), ("invite", 0), ("invite", 1)]
)
async def test_whoever_may_not_be_shown_is_not_shown_as_a_contact(
    service: ApiHarness, other: str, event: tuple[str, int]
) -> None:
    kind, by = event
    await join(service, other)
    await upload(service, "cid", other)
    assert contacts(await service.recommended("cid")) == [other]
    pair = ("cid", other) if by == 0 else (other, "cid")
    await service.post((kind, *pair))
    assert other not in ids(await service.recommended("cid"))


@pytest.mark.parametrize("other", ["gus", "yan"])
@pytest.mark.parametrize("flag", ["discoverable", "active"])
async def test_a_hidden_contact_is_not_shown(service: ApiHarness, other: str, flag: str) -> None:
    await join(service, other)
    await service.put(other, **{flag: False})
    await upload(service, "cid", other)
    assert other not in ids(await service.recommended("cid"))
    await service.put(other, **{flag: True})
    assert contacts(await service.recommended("cid")) == [other]


@pytest.mark.parametrize("other", ["gus", "yan"])
async def test_an_erased_contact_is_gone_at_once_and_from_the_index(service: ApiHarness, other: str) -> None:
    await join(service, other)
    await upload(service, "cid", other)
    await upload(service, other, "cid")
    assert (await service.client.delete(f"/pymk/users/{other}")).status_code == 202
    assert other not in ids(await service.recommended("cid"))
    match(service)
    assert service.store.get(service.keys.contacts(other)) is None
    assert service.store.get(service.keys.contacts_indexed(other)) is None
    await upload(service, "zoe", other)
    assert contacts(await service.recommended("zoe")) == []
    answer = await service.client.put(f"/pymk/users/{other}/contacts", json=of("cid"))
    assert answer.status_code == 404, "an erased user uploads nothing"
    await service.put(other, company="Acme")  # another person of the same id
    await upload(service, other, "cid")
    assert other not in contacts(await service.recommended("cid"))


async def test_contacts_take_half_of_the_first_page_and_are_not_on_the_next(service: ApiHarness) -> None:
    await join(service, "fay", "gus", "xia", "yan")
    await upload(service, "cid", "fay", "gus", "xia", "yan")
    answer = await service.recommended("cid", limit=4)
    assert len(contacts(answer)) == 2
    assert contacts(await service.recommended("cid", limit=1)) == [], "the one place is of who is ranked"
    left = await service.recommended("cid", limit=4, exclude=",".join(contacts(answer)))
    assert set(contacts(left)).isdisjoint(contacts(answer))
    assert len(contacts(left)) == 2
    first = await service.recommended("cid", limit=2, cursor="")
    second = await service.recommended("cid", limit=2, cursor=first["next"])
    assert ids(second)
    assert set(ids(first)).isdisjoint(ids(second))
    assert contacts(second) == []


async def test_contacts_may_take_all_places_but_one_of_somebody_new(open_place: Any) -> None:
    for share, count in ((0.5, 3), (0, 0)):
        async with open_place(contacts_share=share) as service:
            await join(service, "ann", "bea", "dan", "xia", "fay")
            await upload(service, "zoe", "ann", "bea", "dan", "xia", "fay")
            answer = await service.recommended("zoe", limit=4)
            assert (len(contacts(answer)), len(ids(answer))) == (count, 4)


async def test_a_batch_answers_what_one_answers(service: ApiHarness) -> None:
    await join(service, "gus")
    await upload(service, "cid", "gus")
    answer = await service.client.post("/pymk/recommendations", json={"user_ids": ["cid"]})
    (entry,) = answer.json()["lists"]
    assert entry["recommendations"] == (await service.recommended("cid"))["recommendations"]


async def test_a_shared_address_of_a_family_finds_both_and_one_of_a_crowd_finds_nobody(service: ApiHarness) -> None:
    family = of("home")
    for user_id in ("ann", "bea"):
        await service.client.put(f"/pymk/users/{user_id}/contacts", json={"own": family})
    match(service)
    await upload(service, "zoe", "home")
    assert sorted(contacts(await service.recommended("zoe"))) == ["ann", "bea"]
    for number in range(30):
        await service.client.put(f"/pymk/users/user{number}/contacts", json={"own": family})
    match(service)
    await upload(service, "yan", "home")
    assert contacts(await service.recommended("yan")) == []
