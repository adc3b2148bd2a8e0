"""What a real network does to live state, on the real service and store: many at once, much of one, a long past."""

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from models.live_state.user_record import LiveRecord, revision_of
from models.store.keys import shard_of
from tests.support.http.live_requests import event, shown
from tests.support.service import ServiceHarness

PATH = "/pymk/events"


def at_once(harness: ServiceHarness, *requests: tuple[str, str, Any]) -> Counter[int]:
    """The statuses of requests that are sent at the same time."""

    async def send() -> list[int]:
        answers = await asyncio.gather(*(harness.arequest(method, path, json=body) for method, path, body in requests))
        return [answer.status_code for answer in answers]

    return Counter(harness.runner.run(send()))


@pytest.mark.parametrize(
    "batch",
    [
        [("invite", "ann", "dan"), ("accept", "dan", "ann"), ("disconnect", "ann", "dan")],
        [("disconnect", "dan", "ann"), ("connect", "ann", "dan"), ("disconnect", "dan", "ann")],
    ],
)
def test_one_post_ends_as_its_events_one_by_one(harness: ServiceHarness, batch: list[tuple[str, str, str]]) -> None:
    assert "dan" in shown(harness, "ann")
    assert harness.request("POST", PATH, json=[event(*one) for one in batch]).json() == {"accepted": 3}
    why = harness.request("GET", "/pymk/users/ann/why/dan").json()
    assert why["rules"] == ["refused"]
    assert "dan" not in shown(harness, "ann")


def test_a_repeated_unblock_lifts_no_later_block_though_the_store_evicts(harness: ServiceHarness) -> None:
    for body in (event("block", "ann", "dan"), event("unblock", "ann", "dan", event_id="evt-1")):
        harness.request("POST", PATH, json=[body])
    harness.request("POST", PATH, json=[event("block", "ann", "dan")])
    expiring = [key for key in harness.store.scan(harness.settings.namespace) if harness.store.ttl_s(key) is not None]
    harness.store.delete(expiring)  # whatever volatile-lru may evict, at its worst
    answer = harness.request("POST", PATH, json=[event("unblock", "ann", "dan", event_id="evt-1")])
    assert answer.json() == {"accepted": 0}
    assert "dan" not in shown(harness, "ann")


@pytest.mark.parametrize("ahead_h", [-2, 2])
def test_what_is_acknowledged_is_in_effect_whatever_the_clock_of_the_night(
    harness: ServiceHarness, ahead_h: int
) -> None:
    harness.publish(harness.night(ahead_h), replayed=True)
    harness.follow()
    blocked, hidden, gone, *others = sorted(shown(harness, "ann"))
    harness.request("POST", PATH, json=[event("block", "ann", blocked)])
    harness.request("PUT", f"/pymk/users/{quote(hidden, safe='')}", json={"discoverable": False})
    assert shown(harness, "ann") == {gone, *others}
    assert harness.request("DELETE", f"/pymk/users/{quote(gone, safe='')}").status_code == 202
    assert shown(harness, "ann") == set(others)


def test_a_hundred_and_fifty_at_once_are_all_accepted(harness: ServiceHarness) -> None:
    invites = [("POST", PATH, [event("invite", f"fan-{number}", "ann")]) for number in range(150)]
    assert at_once(harness, *invites) == {202: 150}
    record = LiveRecord.unpack(harness.store.get(harness.keys.live("ann")))
    assert {f"fan-{number}" for number in range(150)} <= record.edges.keys()
    impressions = [("POST", PATH, [event("impression", "ann", "dan")])] * 20
    assert at_once(harness, *impressions) == {202: 20}
    record = LiveRecord.unpack(harness.store.get(harness.keys.live("ann")))
    assert record.shown["dan"].times == 20
    hides = [("PUT", f"/pymk/users/fan-{number}", {"discoverable": False}) for number in range(149)]
    assert at_once(harness, *hides, ("PUT", "/pymk/users/dan", {"discoverable": False})) == {202: 150}
    assert "dan" not in shown(harness, "ann")


def test_erasures_of_the_past_cost_a_batch_nothing(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    assert harness.request("DELETE", "/pymk/users/eva").status_code == 202
    past = {f"{number:032x}": b"%d" % number for number in range(1, 100_000)}
    for at in range(0, 100_000, 10_000):
        harness.store.fields_set(harness.keys.erased, dict(list(past.items())[at : at + 10_000]))

    async def all_of_them(key: str) -> Any:
        raise AssertionError(f"{key} is read as a whole")

    monkeypatch.setattr(harness.failing._store, "fields", all_of_them)
    answer = harness.request("POST", PATH, json=[event("block", "ann", "dan"), event("block", "ann", "eva")])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})


def test_results_say_what_became_of_each_event(harness: ServiceHarness) -> None:
    harness.request("DELETE", "/pymk/users/eva")
    batch = [
        event("block", "ann", "dan", event_id="1"),
        event("block", "ann", "dan", event_id="1"),
        event("click", "ann", "eva"),
        event("click", "ann", "dan", at=7_000_000_000),
    ]
    answer = harness.request("POST", PATH, json=batch, headers={"Prefer": "respond-async, return=representation"})
    assert answer.json() == {"accepted": 2, "results": ["accepted", "duplicate", "gone", "clamped"]}
    assert answer.headers["preference-applied"] == "return=representation"


def test_a_person_with_many_ties_has_the_same_lists_read_bit_by_bit(harness: ServiceHarness) -> None:
    """A large record is resolved once as a whole, and after that only what is added, also after it was merged."""
    fans = [event("connect", f"fan-{number:05}", "ann") for number in range(6_000)]
    for at in range(0, len(fans), 3_000):
        assert harness.request("POST", PATH, json=fans[at : at + 3_000], timeout=60).status_code == 202
    before = shown(harness, "ann")
    assert "dan" in before
    assert "ann" in harness.parts.live_sync.state.large
    tails, read = [], harness.failing._store.tail

    async def tail(key: str, start: int, prefix_bytes: int) -> tuple[bytes, bytes]:
        answer = await read(key, start, prefix_bytes)
        tails.append(len(answer[1]))
        return answer

    def resolve(*_: Any) -> Any:
        raise AssertionError("the whole record is resolved again")

    harness.failing._store.tail = tail  # type: ignore[method-assign]
    harness.parts.live_sync.state.resolve = resolve  # type: ignore[method-assign]
    harness.request("POST", PATH, json=[event("block", "dan", "ann")])
    assert shown(harness, "ann") == before - {"dan"}
    for added in (event("unblock", "dan", "ann"), event("dismiss", "ann", "dan")):
        more = [event("impression", "ann", f"fan-{number % 800:05}") for number in range(4_000)]
        assert harness.request("POST", PATH, json=more, timeout=60).status_code == 202
        shown(harness, "ann")
        harness.request("POST", PATH, json=[added])  # the process that merges does not wait for those that follow
        revision = revision_of(harness.store.get(harness.keys.live("ann")))
        harness.merge_records()
        assert revision_of(harness.store.get(harness.keys.live("ann"))) != revision
        assert ("dan" in shown(harness, "ann")) == (added["kind"] == "unblock")
        assert shown(harness, "ann") == shown(harness, "ann")
    assert tails[0] < 100
    assert tails[-1] < 100


def test_a_damaged_record_is_its_owners_trouble_alone_is_named_and_repaired(harness: ServiceHarness) -> None:
    harness.request("POST", PATH, json=[event("block", "bob", "ann"), event("dismiss", "ann", "dan")])
    packed = harness.store.get(harness.keys.live("ann")) or b""
    harness.store.set(harness.keys.live("ann"), packed[:-1])
    answer = harness.request("POST", PATH, json=[event("block", "ann", "bob"), event("block", "cid", "ann")])
    assert answer.json() == {"accepted": 2}, "a batch that names her is accepted as a whole"
    lists = {who: harness.request("GET", "/pymk/recommendations", params={"user_id": who}) for who in ("ann", "cid")}
    assert {who: answer.status_code for who, answer in lists.items()} == {"ann": 503, "cid": 200}
    harness.work(1)
    assert harness.store.stream_length(harness.keys.log(shard_of("ann"))) == 0, "the log goes on"
    harness.runner.run(harness.parts.live_sync.refresh())
    ready = harness.request("GET", "/health/ready").json()
    assert any("of 1 users do not read back" in warning for warning in ready["warnings"])
    assert "pymk_damaged_records 1.0" in harness.request("GET", "/metrics").text
    from models.event_log.repair import damaged_people, repair

    assert damaged_people(harness.store, harness.keys) == ["ann"]
    repair(harness.store, harness.keys, harness.settings.home, ["ann"])
    assert shown(harness, "ann").isdisjoint({"bob", "dan", "cid"})
    harness.runner.run(harness.parts.live_sync.refresh())
    assert harness.request("GET", "/health/ready").json()["warnings"] == []
