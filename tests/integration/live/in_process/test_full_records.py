"""A live record that is full: what others do finds no room in it, the answer says so, and no block is lost silently."""

import pytest

from models.event_log import reciprocal_update, write_events
from models.event_log.reciprocal_update import recheck_full
from models.live_state.edges import Direction, edge_event
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from tests.support.faults.checks import doctor, warnings
from tests.support.http.live_requests import event, shown
from tests.support.service import ServiceHarness

PATH = "/pymk/events"
REPRESENTATION = {"Prefer": "return=representation"}


def test_what_finds_no_room_in_the_own_record_has_no_effect_and_is_counted(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("MOST_SIGNALS_BYTES", "MOST_BYTES"):
        monkeypatch.setattr(write_events, bound, 10)
    batch = [event("click", "ann", "eva"), event("undismiss", "ann", "eva"), event("dismiss", "ann", "dan")]
    answer = harness.request("POST", PATH, json=batch, headers=REPRESENTATION)
    assert answer.json() == {"accepted": 1, "full": 2, "results": ["full", "full", "accepted"]}
    assert harness.request("POST", PATH, json=batch[2:]).json() == {"accepted": 1}, "no member without one"
    assert 'pymk_events_total{outcome="full"} 2.0' in harness.request("GET", "/metrics").text
    assert "dan" not in shown(harness, "ann")


def test_no_number_of_invitations_takes_the_room_of_a_block(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reciprocal_update, "MOST_OTHERS_BYTES", 2_000)
    assert {"ann", "dan"} <= shown(harness, "ann") | shown(harness, "dan")
    answer = harness.request("POST", PATH, json=[event("invite", f"fan-{number}", "ann") for number in range(200)])
    accepted, full = answer.json()["accepted"], answer.json()["full"]
    assert (answer.status_code, accepted + full) == (202, 200)
    named = LiveRecord.unpack(harness.store.get(harness.keys.live("ann"))).edges
    assert (len(named), full) == (accepted, 200 - len(named)), "the answer counts what is in her record"
    assert full > 50
    answer = harness.request("POST", PATH, json=[event("block", "dan", "ann")])
    assert answer.json() == {"accepted": 1}
    assert "dan" not in shown(harness, "ann")
    assert "ann" not in shown(harness, "dan")


def test_a_block_for_which_there_is_no_room_is_said_until_it_is_in_effect_for_both(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.request("POST", PATH, json=[event("invite", f"fan-{number}", "ann") for number in range(20)])
    assert "dan" in shown(harness, "ann")
    assert "ann" in shown(harness, "dan")
    for bound in ("MOST_OTHERS_BYTES", "MOST_OTHERS_PROTECTING_BYTES"):
        monkeypatch.setattr(reciprocal_update, bound, 400)
    block = [event("click", "eva", "dan"), event("block", "dan", "ann", event_id="1"), event("block", "dan", "eva")]
    answer = harness.request("POST", PATH, json=block, headers=REPRESENTATION)
    assert answer.json() == {"accepted": 2, "full": 1, "results": ["accepted", "full", "accepted"]}
    assert "ann" not in shown(harness, "dan"), "it is in effect for who sent it"
    again = harness.request("POST", PATH, json=block[1:2], headers=REPRESENTATION)
    assert again.json() == {"accepted": 0, "full": 1, "results": ["full"]}
    assert 'pymk_events_total{outcome="full"} 2.0' in harness.request("GET", "/metrics").text
    # the worker finds it in the log, and names the record
    harness.work(1)
    assert harness.store.members(harness.keys.full) == {b"ann"}
    assert any("the live records of 1 users are full" in warning for warning in warnings(harness))
    ok, detail = doctor(harness, repair=False)["full records"]
    assert not ok
    assert detail.startswith("1 have no room for what others do: ann (0 MB); ")
    assert "publish one (pymk nightly)" in detail
    assert "pymk_full_records 1.0" in harness.request("GET", "/metrics").text
    assert recheck_full(harness.store, harness.keys) == 1
    # the next night has it for both
    harness.publish(harness.night(), replayed=True)
    harness.follow()
    assert "dan" not in shown(harness, "ann")
    # there is room again
    monkeypatch.undo()
    assert recheck_full(harness.store, harness.keys) == 0
    assert warnings(harness) == []
    assert doctor(harness, repair=False)["full records"] == (True, "every record has room for what others do")
    again = harness.request("POST", PATH, json=block[1:2], headers=REPRESENTATION)
    assert again.json() == {"accepted": 0, "results": ["duplicate"]}
    edges = LiveRecord.unpack(harness.store.get(harness.keys.live("ann"))).edges
    assert edge_event(Direction.IN, EventKind.BLOCK) in edges["dan"]


def test_the_other_directions_record_alone_does_not_protect_the_blocked(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why a block that is missing in the other's record must not count as accepted."""
    for bound in ("MOST_OTHERS_BYTES", "MOST_OTHERS_PROTECTING_BYTES"):
        monkeypatch.setattr(reciprocal_update, bound, 1)
    assert harness.request("POST", PATH, json=[event("block", "dan", "ann")]).json() == {"accepted": 0, "full": 1}
    assert "ann" not in shown(harness, "dan")
    assert "dan" in shown(harness, "ann")
