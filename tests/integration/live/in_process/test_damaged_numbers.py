"""A number in the store that does not read back holds up no list and no event, is named, and is mended."""

import pytest

from models.candidate_refresh.replay import replayed_upto
from models.errors import CorruptRecordError
from models.live_state.erased_ids import FOR_GOOD, read_erased
from models.live_state.erasure_receipts import Erasure
from models.store.keys import SHARDS, shard_of
from models.system.clock import now_us
from service.state.live_state import LiveState
from tests.support.faults.checks import doctor, metric, warnings
from tests.support.http.live_requests import event, shown
from tests.support.service import ServiceFactory, ServiceHarness

EVENTS = "/pymk/events"
DAMAGE = (b"x", b"", b"-3", b"1.5e9", b"\xff\xfe", b"9" * 17)


def accepted(harness: ServiceHarness, *events: dict[str, object]) -> int:
    answer = harness.request("POST", EVENTS, json=list(events))
    assert answer.status_code == 202, answer.text
    found: int = answer.json()["accepted"]
    return found


def named(harness: ServiceHarness, key: str) -> None:
    """Readiness, metric and doctor name a number."""
    (warning,) = (one for one in warnings(harness) if "numbers" in one)
    assert key in warning
    assert metric(harness, 'pymk_unread_entries{record="number"}') == 1
    ok, detail = doctor(harness, repair=False)["numbers"]
    assert not ok
    assert key in detail


def mended(harness: ServiceHarness) -> None:
    assert doctor(harness, repair=True)["numbers"][0]
    assert warnings(harness) == []
    assert metric(harness, 'pymk_unread_entries{record="number"}') == 0


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_watermark(harness: ServiceHarness, damage: bytes) -> None:
    before = harness.store.get(harness.keys.watermark)
    harness.store.set(harness.keys.watermark, damage)
    named(harness, harness.keys.watermark)
    assert "dan" in shown(harness, "ann")
    assert accepted(harness, event("block", "ann", "dan")) == 1
    assert "dan" not in shown(harness, "ann")
    harness.work(2)
    assert harness.worker.log.faults == 0, "the event log goes on"
    with pytest.raises(CorruptRecordError, match=r"pymk doctor --repair"):
        harness.night()
    mended(harness)
    assert harness.store.get(harness.keys.watermark) == before
    harness.publish(harness.night(), replayed=True)


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_clock_goes_on_behind_what_the_process_knows(harness: ServiceHarness, damage: bytes) -> None:
    ahead = now_us() + 3_600_000_000
    harness.store.set(harness.keys.clock, b"%d" % ahead)
    warnings(harness)
    harness.store.set(harness.keys.clock, damage)
    named(harness, harness.keys.clock)
    assert accepted(harness, event("block", "ann", "bob")) == 1
    assert int(harness.store.get(harness.keys.clock) or 0) > ahead, "the next write mends it"


def test_a_repaired_clock_is_behind_every_entry_of_the_log(harness: ServiceHarness) -> None:
    ahead = now_us() + 3_600_000_000
    harness.store.set(harness.keys.clock, b"%d" % ahead)
    accepted(harness, event("block", "ann", "dan"))
    harness.store.set(harness.keys.clock, b"?")
    assert doctor(harness, repair=True)["numbers"][0]
    assert int(harness.store.get(harness.keys.clock) or 0) > ahead
    assert accepted(harness, event("unblock", "ann", "dan")) == 1
    assert "dan" in shown(harness, "ann")


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_fence_of_a_night(harness: ServiceHarness, damage: bytes) -> None:
    harness.publish(harness.night(), replayed=True)
    fence = harness.keys.fence(shard_of("ann"))
    cut = harness.store.get(fence)
    harness.store.set(fence, damage)
    named(harness, fence)
    assert accepted(harness, event("block", "ann", "bob")) == 1
    mended(harness)
    assert harness.store.get(fence) == cut
    harness.store.set(fence, damage)
    harness.publish(harness.night(), replayed=True)
    assert int(harness.store.get(fence) or 0) > int(cut or 0), "the next night writes it anew"


def test_what_was_swept(harness: ServiceHarness) -> None:
    harness.store.set(harness.keys.swept, b"?")
    named(harness, harness.keys.swept)
    harness.work(1)
    harness.worker.housekeeper.run_once()
    assert harness.store.get(harness.keys.swept) == harness.store.get(harness.keys.watermark)
    harness.store.set(harness.keys.swept, b"?")
    mended(harness)


def test_what_was_replayed_is_replayed_again(harness: ServiceHarness) -> None:
    version = harness.night()
    harness.publish(version, replayed=True)
    harness.store.set(harness.keys.replayed(version), b"7")
    assert replayed_upto(harness.store, harness.keys, version) == 7
    harness.store.set(harness.keys.replayed(version), b"?")
    assert replayed_upto(harness.store, harness.keys, version) == 0


def test_a_service_starts_and_is_ready_over_damaged_numbers(harness: ServiceHarness, services: ServiceFactory) -> None:
    for key in harness.keys.numbers:
        harness.store.set(key, b"?")
    with services.beside(harness) as started:
        assert isinstance(started.parts.live_sync.state, LiveState)
        assert len(started.parts.live_sync.damaged_numbers) == len(started.keys.numbers) == SHARDS + 3
        assert "numbers under" in " ".join(warnings(started))
        assert shown(started, "ann")
        assert doctor(started, repair=True)["numbers"][0]


class TestWhenSomebodyWasErased:
    """The time of eva's erasure does not read back."""

    @pytest.fixture
    def name(self, harness: ServiceHarness) -> str:
        harness.request("DELETE", "/pymk/users/eva")
        (name,) = harness.store.fields(harness.keys.erased)
        harness.store.fields_set(harness.keys.erased, {name: b"?"})
        return name

    @pytest.fixture
    def at(self, harness: ServiceHarness, name: str) -> int:
        """When she was erased."""
        return Erasure.decode(harness.store.get(harness.keys.erasure(name)) or b"").timestamp_us

    def test_it_is_that_of_the_record(self, harness: ServiceHarness, name: str, at: int) -> None:
        answer = harness.request("POST", EVENTS, json=[event("block", "ann", "bob"), event("block", "cid", "eva")])
        assert answer.status_code == 202
        assert answer.json()["accepted"] == 1, "eva is gone, and nobody else"
        harness.request("PUT", "/pymk/users/eva", json={"name": "Eva"})
        assert accepted(harness, event("block", "cid", "eva")) == 1, "she is a new person"
        assert read_erased(harness.store, harness.keys).timestamp_us("eva") == at
        (warning,) = (one for one in warnings(harness) if "erasures" in one)
        assert warning.startswith("1 records of erasures")
        ok, detail = doctor(harness, repair=False)["erasures"]
        assert not ok
        assert name in detail
        assert doctor(harness, repair=True)["erasures"][0]
        assert int(harness.store.fields(harness.keys.erased)[name]) == at
        assert [one for one in warnings(harness) if "erasures" in one] == []
        harness.publish(harness.night(), replayed=True)

    def test_without_a_record_she_counts_as_erased_until_it_is_repaired(
        self, harness: ServiceHarness, name: str, at: int
    ) -> None:
        harness.store.delete([harness.keys.erasure(name)])
        harness.request("PUT", "/pymk/users/eva", json={"name": "Eva"})
        assert accepted(harness, event("block", "ann", "eva"), event("block", "ann", "bob")) == 1
        assert read_erased(harness.store, harness.keys).timestamp_us("eva") == FOR_GOOD
        assert doctor(harness, repair=True)["erasures"][0]
        assert int(harness.store.fields(harness.keys.erased)[name]) == at
        assert accepted(harness, event("block", "ann", "eva")) == 1

    def test_another_erasure_writes_it_anew(self, harness: ServiceHarness, name: str, at: int) -> None:
        harness.request("PUT", "/pymk/users/eva", json={"name": "Eva"})
        assert harness.request("DELETE", "/pymk/users/eva").status_code == 202
        assert int(harness.store.fields(harness.keys.erased)[name]) > at
