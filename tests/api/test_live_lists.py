"""Every list heeds what was acknowledged before it was asked for: cached or new, for both people, done and undone."""

import time
from typing import Any

import anyio
import pytest

from models.errors import CorruptRecordError, StoreUnavailableError
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.user_record import LiveRecord
from models.system.clock import now_us
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

BOTH, NEITHER, OTHER_ALONE = (True, True), (False, False), (False, True)
CID_GUS: dict[str, tuple[list[tuple[str, str, str]], tuple[bool, bool]]] = {
    "impression": ([("impression", "cid", "gus")], BOTH),
    "click": ([("click", "cid", "gus")], BOTH),
    "view": ([("view", "cid", "gus")], BOTH),
    "invite": ([("invite", "cid", "gus")], NEITHER),
    "invite of the other": ([("invite", "gus", "cid")], NEITHER),
    "withdraw": ([("invite", "cid", "gus"), ("withdraw", "cid", "gus")], BOTH),
    "withdraw by the invited": ([("invite", "cid", "gus"), ("withdraw", "gus", "cid")], NEITHER),
    "accept": ([("invite", "cid", "gus"), ("accept", "gus", "cid")], NEITHER),
    "decline": ([("invite", "cid", "gus"), ("decline", "gus", "cid")], NEITHER),
    "connect": ([("connect", "cid", "gus")], NEITHER),
    "disconnect": ([("connect", "cid", "gus"), ("disconnect", "gus", "cid")], NEITHER),
    "dismiss": ([("dismiss", "cid", "gus")], OTHER_ALONE),
    "undismiss": ([("dismiss", "cid", "gus"), ("undismiss", "cid", "gus")], BOTH),
    "block": ([("block", "cid", "gus")], NEITHER),
    "block by the other": ([("block", "gus", "cid")], NEITHER),
    "unblock": ([("block", "cid", "gus"), ("unblock", "cid", "gus")], BOTH),
    "unblock by the blocked": ([("block", "cid", "gus"), ("unblock", "gus", "cid")], NEITHER),
    "unblock of one of two": (
        [("block", "cid", "gus"), ("block", "gus", "cid"), ("unblock", "cid", "gus")],
        NEITHER,
    ),
    "report": ([("report", "cid", "gus")], OTHER_ALONE),
    "report is not undone": ([("report", "cid", "gus"), ("undismiss", "cid", "gus")], OTHER_ALONE),
}


def ids(body: dict[str, Any]) -> list[str]:
    return [person["user_id"] for person in body["recommendations"]]


def mutuals(body: dict[str, Any], user_id: str) -> list[str]:
    (person,) = [one for one in body["recommendations"] if one["user_id"] == user_id]
    return [name for reason in person["reasons"] if "examples" in reason for name in reason["examples"]]


async def seen(service: ApiHarness) -> tuple[bool, bool]:
    """Whether cid sees gus and gus sees cid, which a new list and a cached one must agree on."""
    cached = [await service.recommended("cid"), await service.recommended("gus")]
    new = [await service.recommended("cid", fresh=True), await service.recommended("gus", fresh=True)]
    assert [one["recommendations"] for one in cached] == [one["recommendations"] for one in new]
    return "gus" in ids(new[0]), "cid" in ids(new[1])


@pytest.mark.parametrize("name", CID_GUS)
@pytest.mark.parametrize("asked_before", [True, False], ids=["cached", "new"])
async def test_every_kind_and_its_undoing(service: ApiHarness, name: str, asked_before: bool) -> None:
    events, wanted = CID_GUS[name]
    if asked_before:
        assert await seen(service) == BOTH
    for event in events:
        await service.post(event)
        if asked_before:
            await seen(service)
    assert await seen(service) == wanted


@pytest.mark.parametrize("name", CID_GUS)
async def test_one_request_with_all_of_it_is_the_same(service: ApiHarness, name: str) -> None:
    events, wanted = CID_GUS[name]
    await service.post(*events)
    assert await seen(service) == wanted


async def test_a_refusal_lapses(open_place: Any) -> None:
    async with open_place(forbidden_days=0) as service:
        await service.post(("invite", "cid", "gus"), ("decline", "gus", "cid"))
        assert await seen(service) == BOTH
        await service.post(("connect", "cid", "gus"), ("disconnect", "cid", "gus"))
        assert await seen(service) == BOTH


async def test_what_the_version_knows_is_lifted_too(service: ApiHarness) -> None:
    assert "eva" not in ids(await service.recommended("ann"))
    await service.post(("unblock", "ann", "eva"))
    assert "eva" in ids(await service.recommended("ann"))
    assert "ann" in ids(await service.recommended("eva"))
    await service.post(("block", "eva", "ann"))
    assert "eva" not in ids(await service.recommended("ann"))


async def test_a_connection_of_the_version_is_ended(service: ApiHarness) -> None:
    assert mutuals(await service.recommended("cid"), "eva") == ["dan"]
    await service.post(("disconnect", "dan", "cid"))
    assert mutuals(await service.recommended("cid"), "eva") == []


async def test_a_new_friend_is_a_mutual_connection_at_once(service: ApiHarness) -> None:
    assert mutuals(await service.recommended("cid"), "gus") == []
    await service.post(("connect", "fay", "cid"))
    body = await service.recommended("cid")
    assert mutuals(body, "gus") == ["fay"]
    assert mutuals(body, "eva") == ["fay", "dan"]


async def test_a_viewer_is_told_nothing_by_the_profile_she_had(service: ApiHarness) -> None:
    def shared(body: dict[str, Any]) -> set[str]:
        reasons = [reason for one in body["recommendations"] for reason in one["reasons"]]
        return {reason["value"] for reason in reasons if reason["code"] == "same_attribute"}

    async def both() -> list[set[str]]:
        return [shared(await service.recommended("ann", fresh=fresh)) for fresh in (False, True)]

    await service.post(("unblock", "ann", "eva"))
    assert await both() == [set(), set()]
    await service.put("ann", company="Bolt", genres=["folk"])
    assert await both() == [{"Bolt"}, {"Bolt"}]
    await service.put("ann", company=None)
    assert await both() == [set(), set()]


async def test_a_list_is_not_cached_while_candidates_are_made_anew(
    service: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of a block from before the change may be written after the worker took such lists away."""
    await service.post(("connect", "cid", "fay"))
    assert [(await service.recommended("cid"))["served"] for _ in range(2)] == ["ranked", "ranked"]
    monkeypatch.setattr(service.parts.answering, "_clock", lambda: now_us() + 6_000_000)
    assert [(await service.recommended("cid"))["served"] for _ in range(2)] == ["ranked", "cache"]


async def test_an_older_at_never_undoes_a_later_block(service: ApiHarness) -> None:
    await service.post(("block", "cid", "gus"))
    await service.post({"kind": "unblock", "user_id": "gus", "other_id": "cid", "at": "2026-01-01T00:00:00Z"})
    await service.post({"kind": "connect", "user_id": "cid", "other_id": "gus", "at": 0})
    assert await seen(service) == NEITHER


# --- the first bugs of a shipped open-source network -----------------------------------------------------------------


async def test_already_followed(service: ApiHarness) -> None:
    await seen(service)
    await service.post(("connect", "gus", "cid"))
    assert await seen(service) == NEITHER


async def test_request_already_pending(service: ApiHarness) -> None:
    await seen(service)
    await service.post(("invite", "gus", "cid"))
    assert await seen(service) == NEITHER


async def test_silenced(service: ApiHarness) -> None:
    await seen(service)
    await service.put("gus", discoverable=False)
    assert await seen(service) == (False, True), "who is not suggested is served all the same"


async def test_blocked_by_the_other_side(service: ApiHarness) -> None:
    await seen(service)
    await service.post(("block", "gus", "cid"))
    assert await seen(service) == NEITHER


async def test_opted_out_and_back(service: ApiHarness) -> None:
    for value in (False, True, False):
        await service.put("gus", discoverable=value)
        assert await seen(service) == (value, True)


async def test_dismissed_and_shown_again(service: ApiHarness) -> None:
    await service.post(("dismiss", "cid", "gus"))
    for event in ("impression", "click", "view"):
        await service.post((event, "cid", "gus"))
        assert await seen(service) == OTHER_ALONE


async def test_deactivated(service: ApiHarness) -> None:
    await seen(service)
    await service.put("gus", active=False)
    assert "gus" not in ids(await service.recommended("cid"))
    body = await service.recommended("gus")
    assert (body["served"], body["recommendations"]) == ("empty", [])
    await service.put("gus", active=True)
    assert await seen(service) == BOTH


@pytest.mark.parametrize("flag", ["connections_visible", "active"])
async def test_a_hidden_relation_betrayed_by_a_mutual(service: ApiHarness, flag: str) -> None:
    assert mutuals(await service.recommended("cid"), "eva") == ["dan"]
    await service.put("dan", **{flag: False})
    for fresh in (False, True):
        body = await service.recommended("cid", fresh=fresh)
        (eva,) = [one for one in body["recommendations"] if one["user_id"] == "eva"]
        assert (eva["reasons"], eva["sources"]) == ([], ["random_walk"])
    await service.put("dan", **{flag: True})
    assert mutuals(await service.recommended("cid"), "eva") == ["dan"]


@pytest.mark.parametrize("event", [("block", "cid", "dan"), ("block", "dan", "cid")])
async def test_a_blocked_friend_is_neither_named_nor_counted(service: ApiHarness, event: tuple[str, str, str]) -> None:
    assert mutuals(await service.recommended("cid"), "eva") == ["dan"]
    await service.post(event)
    for fresh in (False, True):
        assert mutuals(await service.recommended("cid", fresh=fresh), "eva") == []


async def test_a_list_cached_from_before_the_block(service: ApiHarness) -> None:
    assert "gus" in ids(await service.recommended("cid"))
    await service.post(("block", "cid", "gus"))
    body = await service.recommended("cid")
    assert (body["served"], ids(body)) == ("cache", ["fay", "eva"])
    assert [person["position"] for person in body["recommendations"]] == [1, 2]


# --- other ways to a list --------------------------------------------------------------------------------------------


async def test_cold_lists_heed_it_too(service: ApiHarness) -> None:
    newcomer = "new/one ☃"
    before = ids(await service.recommended(newcomer))
    await service.post(("block", newcomer, "dan"), ("connect", "eva", newcomer), ("dismiss", newcomer, "fay"))
    service.flag("gus", discoverable=False)
    assert set(before) - set(ids(await service.recommended(newcomer))) == {"dan", "eva", "fay", "gus"}
    await service.post(("dismiss", "héloïse", "ann"))
    assert "ann" not in ids(await service.recommended("héloïse"))


async def test_stale_lists_heed_it_too(service: ApiHarness) -> None:
    version = service.publish()
    await service.serving(version)
    service.store.delete([service.keys.block(version, 2)])
    await service.post(("block", "gus", "cid"), ("dismiss", "cid", "fay"), ("block", "dan", "cid"))
    body = await service.recommended("cid")
    assert (body["served"], ids(body), mutuals(body, "eva")) == ("stale", ["eva"], [])


async def test_a_version_whose_cut_is_later_knows_it_all(service: ApiHarness) -> None:
    await service.post(("dismiss", "cid", "gus"))
    service.flag("fay", discoverable=False)
    assert ids(await service.recommended("cid")) == ["eva"]
    record = LiveRecord.unpack(service.store.get(service.keys.live("cid")))
    version = service.publish(live_cut=record.last + 10_000_000)
    await service.serving(version)
    assert ids(await service.recommended("cid")) == ["gus", "fay", "eva"], "the tables of that version say otherwise"


@pytest.mark.parametrize("user_id", ["a/b c", "🦊", "x" * 128, "%2F?#&=+"])
async def test_ids_of_every_kind(service: ApiHarness, user_id: str) -> None:
    await service.post(("block", user_id, "dan"), ("dismiss", "dan", user_id))
    assert "dan" not in ids(await service.recommended(user_id))
    assert user_id in LiveRecord.unpack(service.store.get(service.keys.live("dan"))).edges


async def test_the_erased_are_nowhere_at_once(service: ApiHarness) -> None:
    assert mutuals(await service.recommended("cid"), "eva") == ["dan"]
    await seen(service)
    for person in ("gus", "dan"):
        await write_erasure(service.requests, service.keys, person)
    for fresh in (False, True):
        body = await service.recommended("cid", fresh=fresh)
        assert ids(body) == ["fay", "eva"]
        assert mutuals(body, "eva") == []
        gone = await service.recommended("gus", fresh=fresh)
        assert (gone["served"], gone["recommendations"]) == ("empty", [])
    metrics = (await service.client.get("/metrics")).text
    assert 'pymk_drops_total{rule="erased"}' in metrics


async def test_events_of_the_erased_do_nothing(service: ApiHarness) -> None:
    await write_erasure(service.requests, service.keys, "gus")
    answer = await service.client.post(
        "/pymk/events",
        json=[
            {"kind": "block", "user_id": "gus", "other_id": "cid"},
            {"kind": "block", "user_id": "bea", "other_id": "gus"},
            {"kind": "dismiss", "user_id": "cid", "other_id": "fay"},
        ],
    )
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert service.store.get(service.keys.live("bea")) is None
    assert 'pymk_events_total{outcome="gone"} 2.0' in (await service.client.get("/metrics")).text


async def test_who_comes_back_is_another_person(service: ApiHarness) -> None:
    await write_erasure(service.requests, service.keys, "cid")
    await write_profile(service.requests, service.keys, "cid", {"name": "Cid"})
    body = await service.recommended("cid")
    assert body["served"] == "cold_start"
    assert {"ann", "bea", "dan"} <= set(ids(body)), "the friends of the erased are not hers"
    assert all(not person["reasons"] for person in body["recommendations"])


async def test_a_record_that_does_not_read_back_is_no_list(service: ApiHarness) -> None:
    await service.post(("block", "cid", "gus"))
    key = service.keys.live("cid")
    damaged = service.store.get(key)[:-1] + b"x"
    service.store.set(key, damaged)
    with pytest.raises(CorruptRecordError):
        LiveRecord.unpack(damaged)
    answer = await service.client.get("/pymk/recommendations", params={"user_id": "cid"})
    assert (answer.status_code, answer.json()["served"]) == (503, "unavailable")


async def test_a_store_that_lost_its_hidden_set_is_believed(service: ApiHarness) -> None:
    service.flag("gus", discoverable=False)
    assert "gus" not in ids(await service.recommended("cid"))
    service.store.delete([service.keys.hidden_log, service.keys.hidden_epoch])
    assert "gus" in ids(await service.recommended("cid"))
    service.store.delete([service.keys.ranked(service.parts.versions.active.version, 2, "web")])
    service.flag("fay", discoverable=False)
    assert ids(await service.recommended("cid")) == ["gus", "eva"]


async def test_a_store_that_does_not_say_who_is_hidden_costs_everybody_one_wait(service: ApiHarness) -> None:
    read, reads = service.requests.stream_read, []

    async def hangs(*_: Any) -> None:
        reads.append(time.monotonic())
        await anyio.sleep(0.2)
        raise StoreUnavailableError("The store in memory does not answer in time.")

    async def ask() -> None:
        answer = await service.client.get("/pymk/recommendations", params={"user_id": "cid"})
        answers.append((answer.status_code, answer.json()["served"], time.monotonic() - begun))

    answers: list[tuple[int, str, float]] = []
    service.requests.stream_read = hangs
    service.flag("gus", discoverable=False)
    begun = time.monotonic()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    assert {answer[:2] for answer in answers} == {(503, "unavailable")}
    assert len(reads) <= 2, "one for all, and perhaps that of the background"
    assert max(seconds for _, _, seconds in answers) < 2, "one after the other would take 4 s"
    service.requests.stream_read = read
    assert "gus" not in ids(await service.recommended("cid"))
