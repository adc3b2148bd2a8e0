"""Candidates follow what people do: the overlay, newcomers, and who was shown too often."""

import time
from collections.abc import Sequence

from models.live_state.exposure import Exposed
from models.schema.event_kinds import EventKind
from models.version.new_user_record import Newcomer
from tests.support.worker import CLIQUES, KEYS, WorkerHarness

CONNECT, DISCONNECT = EventKind.CONNECT, EventKind.DISCONNECT


def test_after_a_connect_both_see_the_others_friends(harness: WorkerHarness) -> None:
    assert not harness.by_friends(harness.block("a0")) & set(CLIQUES["c"])
    harness.write((CONNECT, "a0", "c0"))
    harness.work()
    assert harness.by_friends(harness.block("a0")) >= set(CLIQUES["c"]) - {"c0"}
    assert harness.by_friends(harness.block("c0")) >= set(CLIQUES["a"]) - {"a0"}
    assert "c0" not in harness.block("a0")
    assert harness.worker.refresh.counters.latency(0.99) is not None


def test_after_a_disconnect_friends_of_the_former_friend_are_gone(harness: WorkerHarness) -> None:
    assert harness.by_friends(harness.block("a9")) >= set(CLIQUES["b"]) - {"b0"}
    harness.write((DISCONNECT, "b0", "a9"))
    harness.work()
    assert not harness.by_friends(harness.block("a9")) & set(CLIQUES["b"])
    assert not harness.by_friends(harness.block("b0")) & set(CLIQUES["a"])
    assert "b0" not in harness.block("a9"), "lately disconnected"


def test_a_friend_who_had_no_friend_is_one_and_is_not_shown(harness: WorkerHarness) -> None:
    harness.write((CONNECT, "c0", "lone"))
    harness.work()
    assert "lone" not in harness.block("c0")
    assert harness.by_friends(harness.block("lone")) >= set(CLIQUES["c"]) - {"c0"}
    assert harness.worker.refresh.counters.failed == 0


def test_who_is_dismissed_no_more_comes_back_into_the_block(harness: WorkerHarness) -> None:
    harness.write((EventKind.DISMISS, "a9", "b1"), (CONNECT, "a9", "c0"))
    harness.work()
    assert "b1" not in harness.block("a9")
    harness.write((EventKind.UNDISMISS, "a9", "b1"))
    harness.work()
    assert "b1" in harness.by_friends(harness.block("a9"))


def test_ranked_lists_go_with_the_block_they_were_made_from(harness: WorkerHarness) -> None:
    row = harness.tables.vocabulary.row("a0")
    assert row is not None
    key = KEYS.ranked(harness.version, row, "mobile")
    harness.store.set(key, b"a list", 60)
    harness.write((CONNECT, "a0", "c0"))
    moment = time.time() + 60  # one for all turns: however long they take, the lists have not been dropped again yet
    harness.work(moment)
    assert harness.store.get(key) is None
    harness.store.set(key, b"kept too late, from the block before", 60)
    harness.worker.run_once(moment)
    assert harness.store.get(key) is not None
    harness.worker.run_once(moment + 2)
    assert harness.store.get(key) is None


def test_a_newcomer_is_found_by_profile_and_then_by_friends(harness: WorkerHarness) -> None:
    harness.write_profile("zoe", company="Firm d")
    harness.work()
    record = harness.store.get(KEYS.newcomer(harness.version, "zoe"))
    assert record is not None
    newcomer = Newcomer.unpack(record)
    best = [harness.tables.vocabulary.user_id(row) for row in newcomer.block.rows[:5].tolist()]
    assert {one[0] for one in best} == {"d"}, "the people at her company first"
    assert newcomer.codes.categorical.tolist() == [harness.tables.categorical_values[0].index("Firm d")]
    assert newcomer.query.shape == (harness.tables.towers.dimensions,)
    harness.write(*((CONNECT, "zoe", friend) for friend in ("b1", "b2", "b3")))
    harness.work()
    found = harness.newcomer("zoe")
    assert found is not None
    assert harness.by_friends(found) >= set(CLIQUES["b"]) - {"b1", "b2", "b3"}
    assert not found.keys() & {"b1", "b2", "b3"}


def test_a_newcomer_by_connects_alone_has_a_record_too_and_erasure_takes_it(harness: WorkerHarness) -> None:
    harness.write((CONNECT, "c1", "zoe"))
    harness.work()
    assert harness.by_friends(harness.newcomer("zoe") or {}) >= set(CLIQUES["c"]) - {"c1"}
    harness.erase("zoe")
    harness.work()
    assert harness.newcomer("zoe") is None
    assert "zoe" not in dict(harness.store.timestamps_after(KEYS.touched, 0, 100))


def test_a_version_that_knows_a_newcomer_has_no_record_of_her(harness: WorkerHarness) -> None:
    harness.write_profile("a0", company="Firm d")
    harness.work()
    assert harness.newcomer("a0") is None
    assert harness.block("a0")


def test_who_is_shown_too_often_is_told(harness: WorkerHarness) -> None:
    shown: Sequence[tuple[EventKind, str, str]] = [(EventKind.IMPRESSION, f"a{one}", "b5") for one in range(4)]
    harness.write(*shown, (EventKind.IMPRESSION, "a0", "b6"))
    harness.work()
    harness.worker.exposure.run_once()

    assert Exposed.unpack(harness.store.get(KEYS.exposure)).people == {"b5"}
