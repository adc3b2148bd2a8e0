"""A canary over HTTP: a share of the viewers is served from it, whole lists of one version, and nobody else ever is."""

import time
from collections import Counter
from typing import Any

import anyio
import numpy as np
import orjson
import pytest
from structlog.testing import capture_logs

from models.publishing.canary_counts import ERRORS, INVITED, LISTS, POOR, Counts, ShareDraw, total
from models.schema.columns import Flag
from tests.support.api import TIMEOUT_S, ApiHarness

pytestmark = pytest.mark.anyio

PATH = "/pymk/recommendations"


class Tried:
    """A service with a canary for half of the viewers."""

    def __init__(self, service: ApiHarness, version: str, share: float = 0.5) -> None:
        active = service.parts.versions.active
        assert active is not None
        self.service, self.version, self.active = service, version, active.version
        self.draw = ShareDraw(version, share)

    def version_of(self, user_id: str) -> str:
        return self.version if self.draw.has(user_id) else self.active

    def viewers(self) -> tuple[str, str]:
        """One in the share, and one outside, both with a block."""
        people = ("ann", "bea", "cid", "dan", "eva", "fay", "gus")
        return (
            next(one for one in people if self.draw.has(one)),
            next(one for one in people if not self.draw.has(one)),
        )

    async def counts(self) -> Counts:
        """What this process reported."""
        canary = self.service.parts.versions.canary
        assert canary is not None
        self.service.parts.versions._counted_at = 0.0
        await self.service.parts.versions._follow()
        return total(canary.counts.identity, self.service.store.fields(self.service.keys.canary_counts).values())


async def activate(service: ApiHarness, version: str, query: str) -> Any:
    return await service.client.post(f"/admin/versions/{version}/activate?{query}")


async def until(service: ApiHarness, version: str | None) -> None:
    """Returns once the process serves this canary, None: none."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        canary = service.parts.versions.canary
        if (None if canary is None or canary.served is None else canary.served.version) == version:
            return
        assert time.monotonic() < deadline, "the canary is not followed"
        await anyio.sleep(0.01)


@pytest.fixture
async def tried(service: ApiHarness) -> Tried:
    # half of eight people: both sides have somebody with a block
    while True:
        version = service.make_version(service.home)
        draw = ShareDraw(version, 0.5)
        if len({draw.has(one) for one in ("cid", "dan", "fay", "gus")}) == 2:
            break
    answer = await activate(service, version, "share=50%25")
    assert answer.status_code == 200, answer.text
    return Tried(service, version)


async def test_activate_with_a_share_answers_once_every_process_serves_it(service: ApiHarness) -> None:
    active = service.parts.versions.active
    assert active is not None
    version = service.make_version(service.home)
    answer = await activate(service, version, "share=5%25&note=try")
    body = answer.json()
    assert (body["version"], body["control"], body["share"], body["behind"]) == (version, active.version, 0.05, [])
    for raw in ("share=5%", "share=7"):
        assert (await activate(service, version, raw)).status_code == 200, "as the contract writes it, unencoded"
    listed = {one["version"]: one["state"] for one in (await service.client.get("/admin/versions")).json()["versions"]}
    assert listed == {active.version: "active", version: "canary"}
    report = (await service.client.get("/admin/canary")).json()["report"]
    assert (report["state"], report["canary"]["share"]) == ("running", 0.07)
    assert (await service.client.get("/pymk/version")).json()["version"] == active.version
    (stepped, *_) = (await service.client.get("/admin/audit")).json()["entries"]
    assert stepped["what"] == "canary_stepped"


async def test_what_is_no_share_is_refused(service: ApiHarness) -> None:
    version = service.make_version(service.home)
    for text in ("0", "-3%25", "101%25", "much", "nan"):
        answer = await activate(service, version, f"share={text}")
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "share"), text
    assert (await activate(service, "20200101T000000Z-000000", "share=5%25")).status_code == 404
    assert (await service.client.get("/admin/canary")).json() == {"report": None}
    for route in ("promote", "abort"):
        answer = await service.client.post(f"/admin/canary/{route}")
        assert (answer.status_code, "there is no canary" in answer.text) == (409, True)


async def test_a_share_of_100_percent_is_a_switch(service: ApiHarness) -> None:
    version = service.make_version(service.home)
    answer = await activate(service, version, "share=100%25")
    assert (answer.json()["version"], answer.json()["behind"]) == (version, {})
    await service.serving(version)


async def test_each_viewer_is_served_from_one_side_and_keeps_it(tried: Tried) -> None:
    people = ["ann", "bea", "cid", "dan", "eva", "fay", "gus", *(f"new{number}" for number in range(30))]
    seen: Counter[str] = Counter()
    for _ in range(2):
        for user_id in people:
            version = (await tried.service.recommended(user_id))["version"]
            assert version == tried.version_of(user_id), user_id
            seen[version] += 1
    assert len(seen) == 2
    answer = await tried.service.client.post(PATH, json={"user_ids": people, "fields": ["company"]})
    lists = answer.json()["lists"]
    assert [one["version"] for one in lists] == [tried.version_of(user_id) for user_id in people]
    assert all("profile" in entry for one in lists for entry in one["recommendations"])


async def test_kept_lists_and_events_work_for_both(tried: Tried) -> None:
    for user_id in tried.viewers():
        first = await tried.service.recommended(user_id)
        again = await tried.service.recommended(user_id)
        assert (first["served"], again["served"]) == ("ranked", "cache")
        assert first["version"] == again["version"] == tried.version_of(user_id)
        gone = again["recommendations"][0]["user_id"]
        await tried.service.post(("dismiss", user_id, gone))
        after = await tried.service.recommended(user_id)
        assert (after["served"], after["version"]) == ("cache", tried.version_of(user_id))
        assert gone not in [one["user_id"] for one in after["recommendations"]]


async def test_an_erased_person_is_in_no_list_of_either(tried: Tried) -> None:
    own, other = tried.viewers()
    for user_id in (own, other):
        await tried.service.recommended(user_id)
    lists = [(await tried.service.recommended(user_id))["recommendations"] for user_id in (own, other)]
    erased = min({one["user_id"] for shown in lists for one in shown} - {own, other})
    for user_id in (own, other):
        assert (await tried.service.client.delete(f"/pymk/users/{erased}")).status_code == 202
        listed = [one["user_id"] for one in (await tried.service.recommended(user_id))["recommendations"]]
        assert erased not in listed


async def test_the_canarys_viewer_without_a_block_has_the_active_versions_list(tried: Tried) -> None:
    own, _ = tried.viewers()
    row = tried.service.parts.versions.open[1].tables.vocabulary.row(own)
    tried.service.store.delete([tried.service.keys.block(tried.version, row)])
    answer = await tried.service.recommended(own)
    assert (answer["served"], answer["version"]) == ("stale", tried.active)
    assert (await tried.counts()).sums[1, :, POOR].sum() == 1


async def test_why_is_of_the_viewers_version(tried: Tried) -> None:
    for viewer, other in zip(tried.viewers(), tried.viewers()[::-1], strict=True):
        answer = await tried.service.client.get(f"/pymk/users/{viewer}/why/{other}")
        assert answer.json()["version"] == tried.version_of(viewer)


async def test_lists_failures_and_invitations_are_counted_by_side(tried: Tried) -> None:
    own, other = tried.viewers()
    for _ in range(3):
        await tried.service.recommended(own)
    answer = await tried.service.client.post(PATH, json={"user_ids": [own, other]})
    assert answer.status_code == 200
    await tried.service.post(("invite", own, "héloïse"), ("impression", own, "héloïse"))
    tried.service.requests.is_cut_off = True
    assert (await tried.service.client.get(PATH, params={"user_id": other})).status_code == 503
    tried.service.requests.is_cut_off = False
    sums = (await tried.counts()).sums.sum(axis=1)
    assert sums[:, LISTS].tolist() == [1, 4]
    assert sums[:, ERRORS].tolist() == [1, 0]
    assert sums[:, INVITED].tolist() == [0, 1]


class FaultyScorer:
    """A ranker with a fault that nobody foresaw."""

    def scores(self, *_: object) -> Any:
        raise ZeroDivisionError("of the ranker")


@pytest.mark.parametrize("members", [{}, {"fields": ["company"]}])
async def test_a_fault_of_the_canarys_ranker_in_a_batch_is_its_viewers_alone(
    tried: Tried, members: dict[str, Any]
) -> None:
    own, other = tried.viewers()
    canary = tried.service.parts.versions.canary
    assert canary is not None
    assert canary.served is not None
    canary.served.ranking.scorer = FaultyScorer()  # type: ignore[assignment]
    single = await tried.service.client.get(PATH, params={"user_id": own})
    assert single.status_code == 500
    with capture_logs() as lines:
        answer = await tried.service.client.post(PATH, json={"user_ids": [own, other, own], **members})
    assert answer.status_code == 200
    lists = answer.json()["lists"]
    assert [one["served"] for one in lists] == ["unavailable", "ranked", "unavailable"]
    assert [one["version"] for one in lists] == [tried.version, tried.active, tried.version]
    assert lists[0]["detail"] == single.json()["detail"]
    assert lists[1]["recommendations"]
    (told,) = [one for one in lines if one["event"] == "lists_not_made"]
    assert (told["lists"], repr(told["exc_info"]), told["request_id"]) == (
        2,
        "ZeroDivisionError('of the ranker')",
        lists[0]["request_id"],
    )
    sums = (await tried.counts()).sums.sum(axis=1)
    assert (sums[:, ERRORS].tolist(), sums[:, LISTS].tolist()) == ([0, 3], [1, 0])


async def test_a_batch_of_faults_alone_fails_as_one_list_does_and_is_counted(tried: Tried) -> None:
    own, _ = tried.viewers()
    canary = tried.service.parts.versions.canary
    assert canary is not None
    assert canary.served is not None
    canary.served.ranking.scorer = FaultyScorer()  # type: ignore[assignment]
    answer = await tried.service.client.post(PATH, json={"user_ids": [own, own]})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:pymk:problem:internal-error")
    assert (await tried.counts()).sums.sum(axis=1)[:, ERRORS].tolist() == [0, 2]


async def test_promote_and_abort(tried: Tried) -> None:
    service = tried.service
    own, other = tried.viewers()
    answer = await service.client.post("/admin/canary/abort?note=worse")
    assert answer.json() == {"version": tried.version, "behind": []}
    assert (await service.recommended(own))["version"] == tried.active
    assert (await service.client.get("/admin/canary")).json()["report"]["state"] == "aborted"
    assert (await activate(service, tried.version, "share=50%25")).status_code == 200
    held = service.parts.versions.canary
    answer = await service.client.post("/admin/canary/promote")
    assert (answer.json()["version"], answer.json()["behind"]) == (tried.version, {})
    assert service.parts.versions.canary is None
    assert held is not None
    assert service.parts.versions.active is held.served, "it was open already"
    assert {(await service.recommended(one))["version"] for one in (own, other)} == {tried.version}


async def test_whoever_is_hidden_in_the_canary_alone_is_shown_by_a_put(tried: Tried) -> None:
    """A newer dataset, which the canary is made of, says that somebody is inactive, and they say that they are not."""
    own, _ = tried.viewers()
    hidden, row = ("gus", 6) if own in ("ann", "bea", "cid", "dan") else ("bea", 1)
    canary = tried.service.parts.versions.canary
    assert canary is not None
    assert canary.served is not None
    flags = canary.served.tables.flags.copy()
    flags[row] &= ~np.uint8(Flag.ACTIVE)
    object.__setattr__(canary.served.tables, "flags", flags)
    canary.served.ranking.user_flags.flags = flags

    async def shown() -> list[str]:
        answer = await tried.service.recommended(own, fresh=True)
        assert answer["version"] == tried.version
        return [one["user_id"] for one in answer["recommendations"]]

    assert hidden not in await shown()
    await tried.service.put(hidden, active=True)
    assert hidden in await shown()


async def test_counts_are_small(tried: Tried) -> None:
    await tried.service.recommended(tried.viewers()[0])
    await tried.counts()
    (packed,) = tried.service.store.fields(tried.service.keys.canary_counts).values()
    assert len(packed) < 10_000
    assert orjson.loads(packed)["fault"] is None
