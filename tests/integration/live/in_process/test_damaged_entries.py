"""Damage of one entry, record or profile holds up nobody else, is named by readiness and doctor, and is mended."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from models.event_log.archive.archive import Archive
from models.event_log.event import Entry
from models.live_state.flag_change import FlagChange
from models.schema.columns import Flag
from models.store.keys import shard_of
from models.store.transaction import Append, Commit
from tests.support.faults.checks import doctor, metric, warnings
from tests.support.service import ServiceFactory, ServiceHarness

EVENTS = "/pymk/events"


@pytest.fixture
def harness(services: ServiceFactory) -> Iterator[ServiceHarness]:
    harness = services.start()
    yield harness
    harness.close()


def event(kind: str, user_id: str, other_id: str) -> dict[str, Any]:
    return {"kind": kind, "user_id": user_id, "other_id": other_id}


def listed(harness: ServiceHarness, who: str) -> set[str]:
    answer = harness.request("GET", "/pymk/recommendations", params={"user_id": who})
    assert answer.status_code == 200, answer.text
    return {entry["user_id"] for entry in answer.json()["recommendations"]}


def append_hidden(harness: ServiceHarness, entry: bytes) -> None:
    harness.store.chain_append(harness.keys.hidden_epoch, harness.keys.hidden_log, "x", entry)


class TestHiddenLog:
    @pytest.mark.parametrize(
        "flags", [b'{"NOSUCH":false}', b'{"DISCOVERABLE":true,"NOSUCH":false}', b"7", b'{"DISCOVERABLE":false'], ids=str
    )
    def test_an_entry_that_does_not_read_back_hides_whom_it_names_and_nobody_else(
        self, harness: ServiceHarness, flags: bytes
    ) -> None:
        before = {who: listed(harness, who) for who in ("ann", "bob", "cid")}
        hidden = before["ann"].copy().pop()
        append_hidden(
            harness, b'{"user_id":"%b","flags":%b,"stamp":9000000000000000,"erased":false}' % (hidden.encode(), flags)
        )
        assert hidden not in listed(harness, "ann"), "whom it names counts as hidden"
        for who in {"ann", "bob", "cid"} - {hidden}:
            assert listed(harness, who) >= before[who] - {hidden}, "the others go on"
        assert harness.request("POST", EVENTS, json=[event("block", "ann", "dan")]).status_code == 202
        (warning,) = warnings(harness)
        assert warning.startswith("1 entries of the hidden log do not read back")
        assert metric(harness, 'pymk_unread_entries{record="flag_change"}') == 1
        assert not doctor(harness, repair=False)["hidden log"][0]
        assert doctor(harness, repair=True)["hidden log"][0]
        assert warnings(harness) == []
        assert metric(harness, 'pymk_unread_entries{record="flag_change"}') == 0
        assert hidden not in listed(harness, "ann"), "the event log says nothing of her: so she stays hidden"
        (kept,) = (harness.settings.home / "set-aside").iterdir()
        assert hidden.encode() in kept.read_bytes(), "its bytes are kept"

    def test_a_repair_puts_what_the_event_log_says_in_its_place(self, harness: ServiceHarness) -> None:
        hidden, shown = sorted(listed(harness, "ann"))[:2]
        harness.request("PUT", f"/pymk/users/{hidden}", json={"discoverable": False})
        harness.request("PUT", f"/pymk/users/{shown}", json={"discoverable": False})
        harness.request("PUT", f"/pymk/users/{shown}", json={"discoverable": True})
        harness.work(1)
        # the entry that hid one of them names nobody any more, that of the other cannot be understood
        log = harness.keys.hidden_log
        for position, entry in harness.store.stream_read(log, "0-0", 10):
            change = FlagChange.decode(entry)
            if change.user_id == hidden:
                harness.store.stream_delete(log, [position])
                append_hidden(harness, b'{"user_id": 7}')
            elif change.flags == {Flag.DISCOVERABLE: True}:
                harness.store.stream_delete(log, [position])
                append_hidden(harness, b'{"user_id":"%b","flags":{"NOSUCH":true}' % shown.encode())
        assert shown not in listed(harness, "ann")
        assert len(warnings(harness)) == 1
        assert metric(harness, 'pymk_unread_entries{record="flag_change"}') == 2
        assert doctor(harness, repair=True)["hidden log"][0]
        assert listed(harness, "ann") & {hidden, shown} == {shown}
        assert warnings(harness) == []
        assert doctor(harness, repair=False)["hidden log"] == (True, "every entry reads back")

    def test_a_head_that_cannot_be_read_costs_nobody_a_list(self, harness: ServiceHarness) -> None:
        hidden = listed(harness, "ann").pop()
        harness.request("PUT", f"/pymk/users/{quote(hidden, safe='')}", json={"discoverable": False})
        harness.store.set(harness.keys.hidden_epoch, b"damaged")
        assert hidden not in listed(harness, "ann")
        other = (listed(harness, "ann") - {hidden}).pop()
        harness.request("PUT", f"/pymk/users/{quote(other, safe='')}", json={"discoverable": False})
        assert listed(harness, "ann").isdisjoint({hidden, other})


class TestEventLog:
    @pytest.mark.parametrize(
        "bad",
        [
            b'{"kind":"block","user_id":',
            b'{"kind":"nosuch"}',
            b'{"kind":"profile","user_id":"ann","stamp":5,"columns":7}',
        ],
    )
    def test_an_entry_is_set_aside_and_its_shard_goes_on(self, harness: ServiceHarness, bad: bytes) -> None:
        shard = shard_of("ann")
        harness.store.commit([Commit(appends=[Append(harness.keys.log(shard), bad)])])
        harness.request("POST", EVENTS, json=[event("block", "ann", "dan"), event("block", "bob", "dan")])
        harness.work(2)
        assert {harness.store.stream_length(harness.keys.log(shard_of(who))) for who in ("ann", "bob")} == {0}
        assert harness.worker.log.faults == 0
        archived = [entry.user_id for _, entry in Archive(harness.settings.home).read(shard) if entry is not None]
        assert archived == ["ann"]
        (warning,) = warnings(harness)
        assert warning.startswith("1 entries of the event log do not read back and were set aside")
        assert metric(harness, 'pymk_unread_entries{record="event"}') == 1
        (file,) = (harness.settings.home / "set-aside").iterdir()
        assert file.read_bytes() == bad
        for repair in (False, True):
            ok, detail = doctor(harness, repair=repair)["event log"]
            assert not ok
            assert file.name in detail
        file.unlink()
        assert doctor(harness, repair=True)["event log"][0], "an operator gave it up"
        assert warnings(harness) == []

    def test_a_repair_restores_what_reads_back(self, harness: ServiceHarness) -> None:
        shard, good = shard_of("ann"), b'{"kind":"block","user_id":"ann","other_id":"dan","stamp":9,"at":9}'
        harness.store.commit([Commit(appends=[Append(harness.keys.log(shard), good[:-1])])])
        harness.work(1)
        (file,) = (harness.settings.home / "set-aside").iterdir()
        file.write_bytes(good)  # as another release reads it
        assert doctor(harness, repair=True)["event log"] == (True, "1 entries restored, 0 rebuilt from live records")
        assert not file.exists()
        harness.work(1)
        entries = [entry for _, entry in Archive(harness.settings.home).read(shard) if entry is not None]
        assert [(entry.kind, entry.other_id) for entry in entries] == [("block", "dan")]

    def test_a_repair_rebuilds_from_live_records_what_nobody_reads(self, harness: ServiceHarness) -> None:
        shard = shard_of("ann")
        harness.request("POST", EVENTS, json=[event("block", "ann", "dan")])
        harness.request("PUT", "/pymk/users/ann", json={"company": "Acme"})
        log = harness.keys.log(shard)
        written = harness.store.stream_read(log, "0-0", 10)
        harness.store.stream_delete(log, [position for position, _ in written])
        harness.store.commit([Commit(appends=[Append(log, entry[:-9])]) for _, entry in written])
        harness.work(2)
        assert len(warnings(harness)) == 1
        assert metric(harness, 'pymk_unread_entries{record="event"}') == 2
        assert doctor(harness, repair=True)["event log"] == (True, "0 entries restored, 2 rebuilt from live records")
        harness.work(2)
        archived = [entry for _, entry in Archive(harness.settings.home).read(shard) if entry is not None]
        before = [Entry.decode(entry) for _, entry in written]
        assert [
            (entry.kind, entry.user_id, entry.other_id, entry.columns, entry.timestamp_us) for entry in archived
        ] == [(entry.kind, entry.user_id, entry.other_id, entry.columns, entry.timestamp_us) for entry in before]
        assert warnings(harness) == []
        assert len(list((harness.settings.home / "set-aside").iterdir())) == 2, "their bytes are kept"

    def test_an_erasure_takes_what_was_set_aside_of_the_person(self, harness: ServiceHarness) -> None:
        shard = shard_of("eva")
        for bad in (b'{"kind":"nosuch","user_id":"eva","stamp":5}', b'{"kind":"nosuch","user_id":"evan","stamp":5}'):
            harness.store.commit([Commit(appends=[Append(harness.keys.log(shard), bad)])])
        harness.request("DELETE", "/pymk/users/eva")
        harness.continue_erasures()
        (left,) = (harness.settings.home / "set-aside").iterdir()
        assert b"evan" in left.read_bytes()
        assert len(warnings(harness)) == 1
        assert metric(harness, 'pymk_unread_entries{record="event"}') == 1


class TestErasures:
    @pytest.fixture
    def name(self, harness: ServiceHarness) -> str:
        """The hash of eva, whose erasure was acknowledged and whose record is damaged then."""
        harness.request("DELETE", "/pymk/users/eva")
        harness.work(1)
        (name,) = harness.store.fields(harness.keys.erased)
        harness.store.set(harness.keys.erasure(name), b"{")
        return name

    def test_the_others_are_finished_and_a_repair_finishes_this_one(self, harness: ServiceHarness, name: str) -> None:
        receipt = f"{name}{int(harness.store.fields(harness.keys.erased)[name]):016x}"
        other = harness.request("DELETE", "/pymk/users/dan").json()["receipt"]
        answer = harness.request("GET", f"/pymk/erasures/{receipt}")
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:pymk:problem:record-damaged"
        harness.publish(harness.night(0), replayed=True)
        harness.follow()
        for _ in range(3):
            harness.continue_erasures()
        assert harness.request("GET", f"/pymk/erasures/{other}").json()["waits_for"] != ["log"], "it goes on"
        assert harness.worker.log.faults == 0
        (warning,) = (one for one in warnings(harness) if "erasures" in one)
        assert warning.startswith("1 records of erasures do not read back")
        assert metric(harness, 'pymk_unread_entries{record="erasure"}') == 1
        ok, detail = doctor(harness, repair=False)["erasures"]
        assert not ok
        assert name in detail
        assert doctor(harness, repair=True)["erasures"][0]
        opened = harness.request("GET", f"/pymk/erasures/{receipt}")
        assert (opened.status_code, opened.json()["state"]) == (200, "hidden")
        assert [one for one in warnings(harness) if "erasures" in one] == []
        for _ in range(3):
            harness.continue_erasures()
        assert (
            harness.request("GET", f"/pymk/erasures/{receipt}").json()["waits_for"]
            == (harness.request("GET", f"/pymk/erasures/{other}").json()["waits_for"])
        ), "it is as far as the other one"

    def test_a_repeated_delete_writes_it_anew_with_the_receipt_of_before(
        self, harness: ServiceHarness, name: str
    ) -> None:
        before = f"{name}{int(harness.store.fields(harness.keys.erased)[name]):016x}"
        answer = harness.request("DELETE", "/pymk/users/eva")
        assert answer.status_code == 202
        for receipt in (before, answer.json()["receipt"]):
            assert harness.request("GET", f"/pymk/erasures/{receipt}").json()["state"] == "hidden"
        harness.continue_erasures()
        assert [one for one in warnings(harness) if "erasures" in one] == []


class TestOnePerson:
    """What is stored of ann does not read back."""

    def test_a_live_record(self, harness: ServiceHarness) -> None:
        harness.request("POST", EVENTS, json=[event("block", "ann", "bob"), event("connect", "ann", "cid")])
        before = harness.request("GET", "/pymk/users/ann/why/bob").json()
        packed = harness.store.get(harness.keys.live("ann")) or b""
        harness.store.set(harness.keys.live("ann"), packed[:-1])
        for path in ("/pymk/users/ann", "/pymk/users/ann/why/dan", "/pymk/users/dan/why/ann"):
            answer = harness.request("GET", path)
            assert (path, answer.status_code) == (path, 503)
            assert answer.json()["type"] == "urn:pymk:problem:record-damaged"
        assert answer.json()["parameter"] == "other_id"
        harness.work(2)
        assert harness.worker.refresh.counters.blocks == 1, "who changed with her gets candidates"
        assert len(warnings(harness)) == 1
        assert doctor(harness, repair=True)["live records"][0]
        assert harness.request("GET", "/pymk/users/ann").status_code == 200
        assert harness.request("GET", "/pymk/users/ann/why/bob").json()["rules"] == before["rules"]
        assert "blocked" in before["rules"]
        assert warnings(harness) == []

    def test_a_live_profile(self, harness: ServiceHarness) -> None:
        harness.request("PUT", "/pymk/users/ann", json={"company": "Acme"})
        harness.store.set(harness.keys.live_profile("ann"), b"{")
        answer = harness.request("GET", "/pymk/users/ann")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:pymk:problem:record-damaged")
        listed(harness, "ann")
        (warning,) = warnings(harness)
        assert "records or profiles of 1 users" in warning
        assert metric(harness, "pymk_damaged_records") == 1
        assert doctor(harness, repair=True)["live records"][0]
        assert harness.request("GET", "/pymk/users/ann").json()["company"] == "Acme"
        assert warnings(harness) == []

    def test_a_list_alone_notes_a_profile_that_does_not_read_back(self, harness: ServiceHarness) -> None:
        harness.request("PUT", "/pymk/users/ann", json={"company": "Acme"})
        harness.store.set(harness.keys.live_profile("ann"), b"{")
        listed(harness, "ann")
        assert len(warnings(harness)) == 1
