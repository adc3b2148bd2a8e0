"""The worker's part for people who join: contacts are matched, newcomers suggested, and erasures leave nothing."""

from models.candidate_refresh.newcomer_suggestions import NewcomerSuggestions
from models.erasure.purge import purge_once
from models.live_state.edges import NEWCOMER
from models.live_state.user_record import LiveRecord
from tests.support.worker import KEYS, PEOPLE, WorkerHarness


def address(user_id: str) -> bytes:
    return user_id.encode().ljust(16, b".")


def record(harness: WorkerHarness, user_id: str) -> LiveRecord:
    return LiveRecord.unpack(harness.store.get(KEYS.live(user_id)))


def upload(harness: WorkerHarness, user_id: str, *contacts: str) -> None:
    harness.write_contacts(user_id, {address(one) for one in contacts}, {address(user_id)})


def test_contacts_are_matched_whoever_comes_first(harness: WorkerHarness) -> None:
    upload(harness, "zoe", "a1", "yan")
    harness.work()
    assert record(harness, "zoe").contacts() == {}
    upload(harness, "yan", "zoe")
    upload(harness, "a1")
    harness.work()
    assert set(record(harness, "zoe").contacts()) == {"a1", "yan"}
    assert set(record(harness, "yan").contacts()) == {"zoe"}
    assert record(harness, "a1").contacts() == {}


def test_another_worker_finishes_what_one_left_undone(harness: WorkerHarness) -> None:
    upload(harness, "yan")
    upload(harness, "zoe", "yan")
    harness.store.delete([KEYS.contacts_indexed("yan"), KEYS.contacts_indexed("zoe")])
    harness.work()
    harness.work()
    assert set(record(harness, "zoe").contacts()) == {"yan"}


def test_an_erasure_leaves_no_trace_of_contacts(harness: WorkerHarness) -> None:
    upload(harness, "yan", "zoe", "a1")
    upload(harness, "zoe", "yan")
    harness.work()
    harness.erase("yan")
    harness.work()
    purge_once(harness.store, KEYS, harness.versions)
    assert "yan" not in record(harness, "zoe").edges
    assert not [key for key in harness.store.scan(KEYS.namespace) if key.endswith(":yan") and "}:c" in key]
    assert not harness.store.count([KEYS.address_owners(address("yan").hex())])
    for other in ("zoe", "a1"):
        assert b"yan" not in harness.store.members(KEYS.address_holders(address(other).hex()))


def test_a_newcomer_is_suggested_to_the_first_of_her_candidates(harness: WorkerHarness) -> None:
    harness.worker._refresher.suggestions = NewcomerSuggestions(harness.store, KEYS)
    harness.write_profile("zoe", company="Firm d")
    harness.work()
    given = [one for one in PEOPLE if NEWCOMER in record(harness, one).edges.get("zoe", {})]
    assert {f"d{number}" for number in range(10)} <= set(given)
    harness.erase("zoe")
    harness.work()
    purge_once(harness.store, KEYS, harness.versions)
    assert not [one for one in PEOPLE if "zoe" in record(harness, one).edges]
