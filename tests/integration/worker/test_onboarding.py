"""The worker's part for people who join: contacts are matched, newcomers suggested, and erasures leave nothing."""

import json
from dataclasses import replace

import numpy as np

from models.candidate_refresh.newcomer_suggestions import NewcomerSuggestions
from models.candidate_refresh.replay import queue_unreplayed, replay
from models.erasure.purge import purge_once
from models.live_state.edges import NEWCOMER
from models.live_state.user_record import LiveRecord
from models.ranker.product_feature import with_product
from models.ranker.ranker import Ranker
from models.schema.candidate_sources import Source
from models.schema.event_kinds import EventKind
from models.schema.pair_features import PAIR_FEATURES
from models.system.clock import now_us
from models.version.new_user_record import Newcomer
from service.ranking.rerank import Diversity, RerankSettings
from service.recommend.batch import BatchRecommender
from tests.support.worker import KEYS, PEOPLE, WorkerHarness


def address(user_id: str) -> bytes:
    return user_id.encode().ljust(16, b".")


def record(harness: WorkerHarness, user_id: str) -> LiveRecord:
    return LiveRecord.unpack(harness.store.get(KEYS.live(user_id)))


def upload(harness: WorkerHarness, user_id: str, *contacts: str) -> None:
    harness.write_contacts(user_id, {address(one) for one in contacts}, {address(user_id)})


def by_contacts(block: dict[str, int] | None) -> set[str]:
    """Those of a block whom the viewer's contacts know."""
    return {person for person, bits in (block or {}).items() if bits & Source.CONTACTS}


def given(harness: WorkerHarness, newcomer: str) -> list[str]:
    """To whom a newcomer is suggested."""
    return [one for one in PEOPLE if NEWCOMER in record(harness, one).edges.get(newcomer, {})]


def read(harness: WorkerHarness, newcomer: str) -> Newcomer:
    """The record of a newcomer."""
    return Newcomer.unpack(harness.store.get(KEYS.newcomer(harness.version, newcomer)) or b"")


def with_friends(harness: WorkerHarness, newcomer: str, *friends: str) -> None:
    """Makes a newcomer like the others with these friends."""
    harness.write_profile(newcomer, company="Firm d")
    harness.write(*((EventKind.CONNECT, newcomer, one) for one in friends))
    harness.work()


def own_addresses(harness: WorkerHarness, *people: str) -> None:
    for one in people:
        upload(harness, one)


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
    assert {f"d{number}" for number in range(10)} <= set(given(harness, "zoe"))
    harness.erase("zoe")
    harness.work()
    purge_once(harness.store, KEYS, harness.versions)
    assert not [one for one in PEOPLE if "zoe" in record(harness, one).edges]


def test_to_whom_a_newcomer_is_suggested_does_not_follow_from_her_contacts(harness: WorkerHarness) -> None:
    harness.worker._refresher.suggestions = NewcomerSuggestions(harness.store, KEYS)
    own_addresses(harness, "a0", "a1", "a2", "d0")
    # of whom nothing but contacts is known
    upload(harness, "zoe", "a0", "a1", "a2")
    harness.work()
    assert by_contacts(harness.newcomer("zoe"))
    assert not given(harness, "zoe")
    # two who differ in their contacts alone
    for one, contacts in (("xia", ("a0", "a1", "a2")), ("yan", ())):
        upload(harness, one, *contacts)
        harness.write_profile(one, company="Firm d")
    harness.work()
    assert given(harness, "xia") == given(harness, "yan")
    assert {f"d{number}" for number in range(10)} <= set(given(harness, "xia"))
    # and once something else is known of the first
    harness.write_profile("zoe", company="Firm d")
    harness.work()
    assert given(harness, "zoe") == given(harness, "yan")


def test_people_whom_several_contacts_know_are_candidates(harness: WorkerHarness) -> None:
    own_addresses(harness, "a0", "a1", "a2")
    upload(harness, "zoe", "a0", "a1", "a2")
    harness.work()
    made = harness.newcomer("zoe")
    assert by_contacts(made) == {f"a{number}" for number in range(10)} - {"a0", "a1", "a2"}
    assert {"a0", "a1", "a2"} <= set(made or {}) or not made, "a contact is no friend, and stays a candidate"
    upload(harness, "zoe")
    harness.work()
    assert not by_contacts(harness.newcomer("zoe"))


def test_contacts_tell_of_those_whom_they_know_and_of_nobody_else(harness: WorkerHarness) -> None:
    own_addresses(harness, "a0", "a1", "a2")
    harness.write_profile("yan", company="Firm d")
    harness.write_profile("zoe", company="Firm d")
    upload(harness, "zoe", "a0", "a1", "a2")
    harness.work()
    plain, told = (read(harness, one) for one in ("yan", "zoe"))
    assert len(told.block.codes) == len(PAIR_FEATURES)
    assert np.array_equal(plain.query, told.query)
    without = with_product(harness.tables.towers, plain.block, plain.query)
    known = (told.block.sources & Source.CONTACTS) > 0
    before, now = without.values(), told.block.values()
    for at in np.flatnonzero(~known):
        (place,) = np.flatnonzero(without.rows == told.block.rows[at])
        assert np.allclose(before[:, place], now[:, at], atol=without.step + told.block.step)
    # the product of those whom the contacts know is with the contacts as friends, and so are the viewer's statistics
    with_friends(harness, "xia", "a0", "a1", "a2")
    friends = read(harness, "xia")
    assert np.array_equal(friends.statistics, told.statistics)
    assert not np.array_equal(plain.statistics, told.statistics)
    as_friends = with_product(harness.tables.towers, friends.block, friends.query)
    for at in np.flatnonzero(known):
        (place,) = np.flatnonzero(as_friends.rows == told.block.rows[at])
        close = as_friends.step + told.block.step
        assert np.allclose(as_friends.values()[:, place], now[:, at], atol=close)


def test_a_friend_made_a_moment_ago_counts_beside_contacts(harness: WorkerHarness) -> None:
    own_addresses(harness, "a0", "a1", "a2")
    harness.write_profile("zoe", company="Firm d")
    upload(harness, "zoe", "a0", "a1", "a2")
    harness.work()
    recommender = BatchRecommender(
        harness.store, harness.versions, KEYS, Ranker.open, RerankSettings(Diversity("company", 20))
    )

    def mutual() -> dict[str, int]:
        (listed,) = recommender.answers(["zoe"], "web", 40)
        people = json.loads(listed)["recommendations"]
        told = ((one["user_id"], reason) for one in people for reason in one["reasons"])
        return {one: reason["count"] for one, reason in told if reason["code"] == "mutual_connections"}

    assert mutual() == {}
    harness.write((EventKind.CONNECT, "zoe", "a0"))  # the worker has not seen it
    assert mutual()["a5"] == 1


def test_what_one_contact_alone_knows_tells_nobody_anything(harness: WorkerHarness) -> None:
    """Whoever has one address must not read from her list whom its owner knows."""
    own_addresses(harness, "b0")
    harness.write_profile("zoe", company="Firm d")
    harness.work()
    before = harness.store.get(KEYS.newcomer(harness.version, "zoe"))
    upload(harness, "zoe", "b0")
    harness.work()
    assert set(record(harness, "zoe").contacts()) == {"b0"}
    assert harness.store.get(KEYS.newcomer(harness.version, "zoe")) == before


def test_a_contact_who_hides_friends_tells_nothing_of_them(harness: WorkerHarness) -> None:
    own_addresses(harness, "a0", "a1")
    harness.write_profile("a1", connections_visible=False)
    upload(harness, "zoe", "a0", "a1")
    harness.work()
    assert not by_contacts(harness.newcomer("zoe"))


def test_who_has_few_friends_keeps_what_contacts_tell_in_the_next_version(harness: WorkerHarness) -> None:
    own_addresses(harness, "a0", "a1")
    upload(harness, "lone", "a0", "a1")
    harness.work()
    expected = by_contacts(harness.block("lone"))
    assert expected == {f"a{number}" for number in range(10)} - {"a0", "a1"}
    # a version whose cut is after the upload, so that nobody counts as changed
    manifest = harness.versions.manifest(harness.version).model_copy(update={"live_cut": now_us() + 10**9})
    assert queue_unreplayed(harness.store, KEYS, manifest) == 1
    loaded = harness.worker._open(harness.version)
    assert replay(harness.worker._refresher, replace(loaded, manifest=manifest)).people == 1
    harness.erase("lone")
    harness.work()
    purge_once(harness.store, KEYS, harness.versions)
    assert not harness.store.members(KEYS.by_contacts)


def test_who_has_many_friends_has_better_evidence(harness: WorkerHarness) -> None:
    own_addresses(harness, "a0", "a1")
    upload(harness, "zoe", "a0", "a1")
    friends = [*(f"b{number}" for number in range(10)), *(f"c{number}" for number in range(10))]
    harness.write(*((EventKind.CONNECT, "zoe", one) for one in friends))
    harness.work()
    assert not by_contacts(harness.newcomer("zoe"))
    assert not harness.store.members(KEYS.by_contacts)
