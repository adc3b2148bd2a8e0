"""`cursor`: pages after pages, whatever happens between them."""

from typing import Any

import pytest

from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

PATH = "/pymk/recommendations"


def ids(body: dict[str, Any]) -> list[str]:
    return [person["user_id"] for person in body["recommendations"]]


async def paged(service: ApiHarness, user_id: str, limit: int, cursor: str = "", **query: Any) -> list[dict[str, Any]]:
    """The pages to the end."""
    found = []
    while True:
        body = await service.recommended(user_id, limit=limit, cursor=cursor, **query)
        found.append(body)
        if "next" not in body:
            return found
        cursor = body["next"]


async def test_pages_are_the_list_and_the_last_has_no_next(service: ApiHarness) -> None:
    whole = await service.recommended("cid", fresh=True)
    assert "next" not in whole
    for limit, sizes in ((1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (100, [3])):
        for fresh in (True, False):
            pages = await paged(service, "cid", limit, fresh=fresh)
            assert [len(page["recommendations"]) for page in pages] == sizes
            assert [one for page in pages for one in ids(page)] == ids(whole)
            for page in pages:
                assert [one["position"] for one in page["recommendations"]] == list(
                    range(1, len(page["recommendations"]) + 1)
                )
            plain = [{**one, "position": 0} for page in pages for one in page["recommendations"]]
            assert plain == [{**one, "position": 0} for one in whole["recommendations"]]


async def test_pages_come_from_the_cache_as_from_the_block(service: ApiHarness) -> None:
    assert [page["served"] for page in await paged(service, "cid", 1)] == ["ranked", "cache", "cache"]
    assert [page["served"] for page in await paged(service, "cid", 1, fresh=True)] == ["ranked"] * 3


@pytest.mark.parametrize("fresh", [True, False])
async def test_who_is_forbidden_between_two_pages_is_on_neither(service: ApiHarness, fresh: bool) -> None:
    first = await service.recommended("cid", limit=1, cursor="", fresh=fresh)
    assert ids(first) == ["gus"]
    await service.post(("block", "fay", "cid"))
    assert ids(await service.recommended("cid", limit=1, cursor=first["next"], fresh=fresh)) == ["eva"]
    service.flag("eva", discoverable=False)
    body = await service.recommended("cid", limit=1, cursor=first["next"], fresh=fresh)
    assert (ids(body), "next" in body) == ([], False)
    await service.post(("unblock", "fay", "cid"))
    assert ids(await service.recommended("cid", limit=5, cursor=first["next"], fresh=fresh)) == ["fay"]


async def test_a_cursor_goes_on_in_another_version_without_repeats(service: ApiHarness) -> None:
    before = await service.recommended("cid", limit=1, cursor="")
    after = service.publish()
    await service.serving(after)
    for _ in range(2):  # ranked, then from the cache
        body = await service.recommended("cid", limit=5, cursor=before["next"])
        assert (body["version"], ids(body)) == (after, ["fay", "eva"])
    service.store.delete([service.keys.block(after, 2)])
    stale = await service.recommended("cid", limit=1, cursor=before["next"], fresh=True)
    assert (stale["served"], stale["version"], ids(stale)) == ("stale", before["version"], ["fay"])
    last = await service.recommended("cid", limit=1, cursor=stale["next"], fresh=True)
    assert (ids(last), "next" in last) == (["eva"], False)


async def test_a_cold_start_is_paged_too(service: ApiHarness) -> None:
    whole = ids(await service.recommended("nobody"))
    pages = await paged(service, "nobody", 2)
    assert {page["served"] for page in pages} == {"cold_start"}
    assert [one for page in pages for one in ids(page)] == whole
    assert len(pages) == -(-len(whole) // 2)


async def test_exclude_and_fields_hold_on_every_page(service: ApiHarness) -> None:
    pages = await paged(service, "cid", 1, exclude="fay", fields="name")
    assert [one for page in pages for one in ids(page)] == ["gus", "eva"]
    assert [page["recommendations"][0]["profile"]["name"] for page in pages] == ["Gus", "Eva"]


async def test_a_context_that_shows_few_ends_there(open_place: Any) -> None:
    async with open_place(context_limits={"email": {"most": 2}}) as service:
        pages = await paged(service, "cid", 1, context="email")
        assert [one for page in pages for one in ids(page)] == ["gus", "fay"]


@pytest.mark.parametrize("given", ["x", "AQAA", "%00", "a" * 6000])
async def test_what_is_no_cursor_is_refused(service: ApiHarness, given: str) -> None:
    answer = await service.client.get(f"{PATH}?user_id=cid&cursor={given}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["parameter"], error["detail"]) == (
        "cursor",
        "is none that this service gave; leave it empty for the first page",
    )


async def test_a_cursor_of_another_viewer_or_context_is_refused(service: ApiHarness) -> None:
    cursor = (await service.recommended("cid", limit=1, cursor=""))["next"]
    for other in ({"user_id": "ann"}, {"user_id": "cid", "context": "email"}):
        answer = await service.client.get(PATH, params={**other, "cursor": cursor})
        assert answer.status_code == 422
        assert "of another viewer or context" in answer.json()["detail"]
    answer = await service.client.get(f"{PATH}?user_id=cid&cursor={cursor}&cursor=")
    assert (answer.status_code, "given once" in answer.json()["detail"]) == (422, True)
    answer = await service.client.get(PATH, params={"user_id": "cid", "limit": 0, "cursor": "x"})
    assert [one["parameter"] for one in answer.json()["errors"]] == ["limit", "cursor"]
