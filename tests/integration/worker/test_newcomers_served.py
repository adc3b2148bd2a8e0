"""What a newcomer is shown: the popular of her groups, then lists of her own."""

import json
from typing import Any

from models.ranker.ranker import Ranker
from models.schema.event_kinds import EventKind
from service.ranking.rerank import Diversity, RerankSettings
from service.recommend.batch import BatchRecommender
from tests.support.worker import KEYS, WorkerHarness


def answer(harness: WorkerHarness, user_id: str) -> dict[str, Any]:
    rules = RerankSettings(Diversity("company", 20))
    recommender = BatchRecommender(harness.store, harness.versions, KEYS, Ranker.open, rules)
    (listed,) = recommender.answers([user_id], "web", 10)
    found: dict[str, Any] = json.loads(listed)
    return found


def shown(found: dict[str, Any]) -> list[str]:
    return [one["user_id"] for one in found["recommendations"]]


def test_first_the_popular_of_her_groups_then_a_list_of_her_own(harness: WorkerHarness) -> None:
    harness.write_profile("zoe", company="Firm d")
    first = answer(harness, "zoe")
    assert first["served"] == "cold_start"
    assert {one[0] for one in shown(first)[:5]} == {"d"}
    assert harness.store.queue_length(KEYS.refresh) == 1
    harness.work()
    second = answer(harness, "zoe")
    assert second["served"] == "ranked"
    told = {one["user_id"]: one["reasons"] for one in second["recommendations"]}
    colleagues = [one for one in told if one[0] == "d"]
    assert colleagues
    for one in colleagues:
        assert [(reason["code"], reason["value"]) for reason in told[one]] == [("same_attribute", "Firm d")]


def test_with_friends_the_list_turns_to_theirs_and_names_them(harness: WorkerHarness) -> None:
    harness.write_profile("zoe", company="Firm d")
    harness.write(*((EventKind.CONNECT, "zoe", friend) for friend in ("c1", "c2", "c3")))
    harness.work()
    found = answer(harness, "zoe")
    assert found["served"] == "ranked"
    assert set(shown(found)[:7]) == {"c0", "c4", "c5", "c6", "c7", "c8", "c9"}
    (mutual,) = (one for one in found["recommendations"][0]["reasons"] if one["code"] == "mutual_connections")
    assert (mutual["count"], set(mutual["examples"])) == (3, {"c1", "c2", "c3"})


def test_rules_hold_for_newcomers_before_their_record_is_made_anew(harness: WorkerHarness) -> None:
    harness.write_profile("zoe", company="Firm d")
    harness.work()
    best = shown(answer(harness, "zoe"))[0]
    harness.write((EventKind.DISMISS, "zoe", best))
    assert best not in shown(answer(harness, "zoe"))


def test_a_stranger_is_shown_the_popular_and_queues_nothing(harness: WorkerHarness) -> None:
    assert answer(harness, "nobody")["served"] == "cold_start"
    assert harness.store.queue_length(KEYS.refresh) == 0


def test_a_damaged_record_counts_as_none(harness: WorkerHarness) -> None:
    harness.write_profile("zoe", company="Firm d")
    harness.work()
    key = KEYS.newcomer(harness.version, "zoe")
    harness.store.set(key, (harness.store.get(key) or b"")[:-1] + b"x")
    assert answer(harness, "zoe")["served"] == "cold_start"
