"""A worker makes candidates for a canary too, as long as there is one."""

from models.candidate_refresh.replay import replaying
from models.publishing.audit import Actor
from models.publishing.canary import start_canary
from models.publishing.canary_ending import end_canary, promote_canary
from models.publishing.serving_processes import reports
from models.schema.event_kinds import EventKind
from tests.support.worker import CLIQUES, KEYS, WorkerHarness

ANN = Actor("ann@host")


def start(harness: WorkerHarness) -> str:
    version = harness.copy_version(1)
    replay = replaying(harness.store, harness.versions, KEYS, 90)
    start_canary(harness.store, harness.versions, version, 0.5, keys=KEYS, by=ANN, replay=replay)
    return version


def test_candidates_follow_what_happens_in_both_versions(harness: WorkerHarness) -> None:
    canary = start(harness)
    harness.work()
    harness.write((EventKind.CONNECT, "a0", "c0"))
    harness.write_profile("zoe", company="Firm d")
    harness.work()
    for version in (harness.version, canary):
        assert harness.by_friends(harness.block("a0", version)) >= set(CLIQUES["c"]) - {"c0"}
        assert harness.newcomer("zoe", version)


def test_what_happened_before_is_replayed_onto_the_canary(harness: WorkerHarness) -> None:
    harness.write((EventKind.CONNECT, "a0", "c0"))
    harness.work()
    canary = start(harness)
    harness.work()
    assert harness.by_friends(harness.block("a0", canary)) >= set(CLIQUES["c"]) - {"c0"}


def test_cached_lists_of_both_versions_go_with_their_blocks(harness: WorkerHarness) -> None:
    canary = start(harness)
    harness.work()
    row = harness.tables.vocabulary.row("a0")  # type: ignore[arg-type]
    assert row is not None
    keys = [KEYS.ranked(version, row, "web") for version in (harness.version, canary)]
    for key in keys:
        harness.store.set(key, b"a list", 60)
    harness.write((EventKind.CONNECT, "a0", "c0"))
    harness.work()
    assert harness.store.get_many(keys) == [None, None]


def test_an_erased_newcomer_is_gone_from_both_versions(harness: WorkerHarness) -> None:
    canary = start(harness)
    harness.work()
    harness.write_profile("zoe", company="Firm d")
    harness.work()
    assert harness.newcomer("zoe", canary)
    harness.erase("zoe")
    harness.work()
    assert [harness.newcomer("zoe", version) for version in (harness.version, canary)] == [None, None]


def test_a_canary_that_ended_is_followed_no_more(harness: WorkerHarness) -> None:
    canary = start(harness)
    harness.work()
    assert {one.canary for one in reports(harness.store, keys=KEYS).values()} == {canary}
    end_canary(harness.store, harness.versions, "aborted", keys=KEYS, by=ANN)
    harness.work()
    assert {one.canary for one in reports(harness.store, keys=KEYS).values()} == {""}
    harness.write((EventKind.CONNECT, "a0", "c0"))
    harness.work()
    assert not harness.by_friends(harness.block("a0", canary)) & set(CLIQUES["c"])


def test_a_promoted_canary_has_all_candidates(harness: WorkerHarness) -> None:
    canary = start(harness)
    harness.work()
    harness.write((EventKind.CONNECT, "a0", "c0"))
    harness.work()
    promote_canary(harness.store, harness.versions, keys=KEYS, by=ANN)
    assert harness.version == canary
    assert harness.by_friends(harness.block("a0")) >= set(CLIQUES["c"]) - {"c0"}
    harness.write((EventKind.CONNECT, "b1", "d0"))
    harness.work()
    assert harness.by_friends(harness.block("b1")) >= set(CLIQUES["d"]) - {"d0"}
