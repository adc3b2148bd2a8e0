"""PUT /pymk/users/{user_id}/contacts: what is accepted, what is refused, and what is kept."""

from typing import Any

import pytest

from models.contacts.record import ContactRecord
from tests.support.api import ApiHarness
from tests.support.contacts import hash_of, match, of

pytestmark = pytest.mark.anyio

PATH = "/pymk/users/zoe/contacts"


def kept(service: ApiHarness, user_id: str = "zoe") -> ContactRecord:
    return ContactRecord.unpack(service.store.get(service.keys.contacts(user_id)))


async def test_a_list_is_the_contacts_and_an_object_may_have_own_addresses(service: ApiHarness) -> None:
    answer = await service.client.put(PATH, json=of("ann", "bea"))
    assert (answer.status_code, answer.json()) == (202, {"contacts": 2, "own": 0})
    answer = await service.client.put(PATH, json={"own": of("zoe")})
    assert answer.json() == {"contacts": 2, "own": 1}, "what is absent stays"
    answer = await service.client.put(PATH, json={"contacts": of("cid")})
    assert answer.json() == {"contacts": 1, "own": 1}, "a new list replaces the former one"
    answer = await service.client.put(PATH, json=[])
    assert answer.json() == {"contacts": 0, "own": 1}


@pytest.mark.parametrize(
    ("body", "status", "names"),
    [
        ({"contacts": [hash_of("a"), "bea@example.org"]}, 422, ["contacts.1"]),
        ({"contacts": [hash_of("a")[:-1]]}, 422, ["contacts.0"]),
        ([hash_of("a"), "g" * 64], 422, ["1"]),
        ([hash_of("a"), 7, None], 422, ["1", "2"]),
        ([hash_of("a"), hash_of("b"), hash_of("a").upper()], 422, ["2"]),
        ({"own": ["x"]}, 422, ["own.0"]),
        ({"contacts": "x"}, 422, ["contacts"]),
        ({"people": []}, 422, ["people"]),
        ({}, 422, [""]),
        ("x", 422, [""]),
        (of("a", "b", "c", "d", "e"), 413, ["4"]),
        ({"contacts": of("a", "b", "c", "d", "e")}, 413, ["contacts.4"]),
        ({"contacts": [], "own": of(*map(str, range(21)))}, 413, ["own.20"]),
    ],
)
async def test_a_wrong_entry_is_named_and_nothing_changes(
    open_place: Any, body: Any, status: int, names: list[str]
) -> None:
    async with open_place(contacts_most=4) as service:
        assert (await service.client.put(PATH, json={"contacts": of("ann"), "own": of("zoe")})).status_code == 202
        before = service.store.get(service.keys.contacts("zoe"))
        answer = await service.client.put(PATH, json=body)
        assert answer.status_code == status, answer.text
        assert [fault["parameter"] for fault in answer.json()["errors"]] == names
        assert service.store.get(service.keys.contacts("zoe")) == before


async def test_who_tries_out_more_addresses_than_a_day_allows_has_to_wait(open_place: Any) -> None:
    async with open_place(contacts_daily=3) as service:
        assert (await service.client.put(PATH, json=of("ann", "bea"))).status_code == 202
        assert (await service.client.put(PATH, json=of("bea", "cid"))).status_code == 202
        before = kept(service)
        assert (len(before.contacts), before.tested) == (2, 3)
        answer = await service.client.put(PATH, json=of("dan"))
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 86_400
        assert kept(service) == before, "what was refused changes nothing"
        assert (await service.client.put(PATH, json=[])).status_code == 202, "taking back is always allowed"
        assert (await service.client.put(PATH, json=of("ann"))).status_code == 429, "and does not give the day back"


async def test_who_changes_own_addresses_all_the_time_has_to_wait(open_place: Any) -> None:
    async with open_place(contacts_daily=2) as service:
        for own in ("zoe", "zoe at work"):
            for _ in range(2):
                assert (await service.client.put(PATH, json={"own": of(own)})).status_code == 202
        answer = await service.client.put(PATH, json={"own": of("zoe")})
        assert answer.status_code == 429
        assert "0 are left" in answer.json()["detail"]


async def test_nothing_that_is_kept_can_be_compared_without_the_key(service: ApiHarness) -> None:
    await service.client.put(PATH, json={"contacts": of("ann"), "own": of("zoe")})
    match(service)
    sent = [bytes.fromhex(one)[:8] for one in of("ann", "zoe")]
    files = b"".join(path.read_bytes() for path in service.home.rglob("*") if path.is_file())
    held = repr(vars(service.store)).encode() + files
    for part in (*sent, *(one[:16].encode() for one in of("ann", "zoe")), b"example.org"):
        assert part not in held
        assert repr(part)[2:-1].encode() not in held


async def test_networks_with_other_keys_keep_other_hashes(open_place: Any) -> None:
    found = []
    for key in ("a key", "a key", "another"):
        async with open_place(contacts_key=key) as service:
            await service.client.put(PATH, json=of("ann"))
            found.append(kept(service).contacts)
    assert found[0] == found[1] != found[2]


async def test_contacts_can_be_switched_off(open_place: Any) -> None:
    async with open_place(contacts_most=0) as service:
        assert (await service.client.put(PATH, json=of("ann"))).status_code == 413
        assert (await service.client.put(PATH, json=[])).status_code == 202
