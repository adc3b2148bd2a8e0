"""Candidates follow what people do: the overlay, newcomers, and who was shown too often."""

import time
from collections.abc import Sequence
from typing import Any

from models.live_state.exposure import Exposed
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.version.new_user_record import Newcomer

KEYS = Keys("pymk")
CLIQUES = {name: [f"{name}{number}" for number in range(10)] for name in "abcd"}
CONNECT, DISCONNECT = EventKind.CONNECT, EventKind.DISCONNECT


def test_after_a_connect_both_see_the_others_friends(place: Any) -> None:
    assert not place.by_friends(place.block("a0")) & set(CLIQUES["c"])
    place.did((CONNECT, "a0", "c0"))
    place.works()
    assert place.by_friends(place.block("a0")) >= set(CLIQUES["c"]) - {"c0"}
    assert place.by_friends(place.block("c0")) >= set(CLIQUES["a"]) - {"a0"}
    assert "c0" not in place.block("a0")
    assert place.worker.refresh.counters.latency(0.99) is not None


def test_after_a_disconnect_friends_of_the_former_friend_are_gone(place: Any) -> None:
    assert place.by_friends(place.block("a9")) >= set(CLIQUES["b"]) - {"b0"}
    place.did((DISCONNECT, "b0", "a9"))
    place.works()
    assert not place.by_friends(place.block("a9")) & set(CLIQUES["b"])
    assert not place.by_friends(place.block("b0")) & set(CLIQUES["a"])
    assert "b0" not in place.block("a9"), "lately disconnected"


def test_a_friend_who_had_no_friend_is_one_and_is_not_shown(place: Any) -> None:
    place.did((CONNECT, "c0", "lone"))
    place.works()
    assert "lone" not in place.block("c0")
    assert place.by_friends(place.block("lone")) >= set(CLIQUES["c"]) - {"c0"}
    assert place.worker.refresh.counters.failed == 0


def test_who_is_dismissed_no_more_comes_back_into_the_block(place: Any) -> None:
    place.did((EventKind.DISMISS, "a9", "b1"), (CONNECT, "a9", "c0"))
    place.works()
    assert "b1" not in place.block("a9")
    place.did((EventKind.UNDISMISS, "a9", "b1"))
    place.works()
    assert "b1" in place.by_friends(place.block("a9"))


def test_ranked_lists_go_with_the_block_they_were_made_from(place: Any) -> None:
    row = place.tables.vocabulary.row("a0")
    assert row is not None
    key = KEYS.ranked(place.version, row, "mobile")
    place.store.set(key, b"a list", 60)
    place.did((CONNECT, "a0", "c0"))
    moment = time.time() + 60  # one for all turns: however long they take, the lists have not been dropped again yet
    place.works(moment)
    assert place.store.get(key) is None
    place.store.set(key, b"kept too late, from the block before", 60)
    place.worker.run_once(moment)
    assert place.store.get(key) is not None
    place.worker.run_once(moment + 2)
    assert place.store.get(key) is None


def test_a_newcomer_is_found_by_profile_and_then_by_friends(place: Any) -> None:
    place.put("zoe", company="Firm d")
    place.works()
    record = place.store.get(KEYS.newcomer(place.version, "zoe"))
    assert record is not None
    newcomer = Newcomer.unpack(record)
    best = [place.tables.vocabulary.user_id(row) for row in newcomer.block.rows[:5].tolist()]
    assert {one[0] for one in best} == {"d"}, "the people at her company first"
    assert newcomer.codes.categorical.tolist() == [place.tables.categorical_values[0].index("Firm d")]
    assert newcomer.tower_inputs.shape == place.tables.tower_inputs.shape[1:]
    place.did(*((CONNECT, "zoe", friend) for friend in ("b1", "b2", "b3")))
    place.works()
    found = place.newcomer("zoe")
    assert found is not None
    assert place.by_friends(found) >= set(CLIQUES["b"]) - {"b1", "b2", "b3"}
    assert not found.keys() & {"b1", "b2", "b3"}


def test_a_newcomer_by_connects_alone_has_a_record_too_and_erasure_takes_it(place: Any) -> None:
    place.did((CONNECT, "c1", "zoe"))
    place.works()
    assert place.by_friends(place.newcomer("zoe") or {}) >= set(CLIQUES["c"]) - {"c1"}
    place.erased("zoe")
    place.works()
    assert place.newcomer("zoe") is None
    assert "zoe" not in dict(place.store.timestamps_after(KEYS.touched, 0, 100))


def test_a_version_that_knows_a_newcomer_has_no_record_of_her(place: Any) -> None:
    place.put("a0", company="Firm d")
    place.works()
    assert place.newcomer("a0") is None
    assert place.block("a0")


def test_who_is_shown_too_often_is_told(place: Any) -> None:
    shown: Sequence[tuple[EventKind, str, str]] = [(EventKind.IMPRESSION, f"a{one}", "b5") for one in range(4)]
    place.did(*shown, (EventKind.IMPRESSION, "a0", "b6"))
    place.works()
    place.worker.exposure.run_once()

    assert Exposed.unpack(place.store.get(KEYS.exposure)).people == {"b5"}
