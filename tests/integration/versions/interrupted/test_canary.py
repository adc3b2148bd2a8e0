"""A canary that is promoted while somebody takes it back: one of both happens, whichever came first."""

from collections.abc import Callable
from typing import Any

import pytest

from models.errors import StoreUnavailableError, VersionError
from models.publishing.audit import Actor, read_audit
from models.publishing.canary import start_canary
from models.publishing.canary_counts import LISTS, POOR, REQUESTS, Counts
from models.publishing.canary_ending import end_canary, promote_canary, step_canary
from models.publishing.canary_record import Canary, read_canary, told_report
from service.worker.canary.judge import CanaryPlan, CanaryWorker
from tests.support.stores import DyingStore
from tests.support.versions import PublishingHarness

ANN, BEA = Actor("ann@host", "looks good"), Actor("bea@host", "odd lists")


class Interrupting:
    """A store before whose first compare-and-set of a key something else happens."""

    def __init__(self, harness: PublishingHarness, key: str, event: Callable[[], object]) -> None:
        self._store, self._key, self._event = harness.store, key, event

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
        if key == self._key:
            self._key = ""
            self._event()
        return self._store.compare_and_set(key, expected, value)


def started(harness: PublishingHarness) -> tuple[str, str]:
    """The active version, and one that is the canary beside it."""
    first, second = harness.publish(), harness.make()
    start_canary(harness.store, harness.versions, second, 0.05, keys=harness.keys, by=ANN)
    return first, second


def promote(harness: PublishingHarness, store: Any = None) -> None:
    promote_canary(store or harness.store, harness.versions, keys=harness.keys, by=ANN)


def take_back(harness: PublishingHarness) -> None:
    end_canary(harness.store, harness.versions, "rolled_back", keys=harness.keys, by=BEA)


def claimed(harness: PublishingHarness) -> tuple[str, str]:
    """The same, whose promoter died after its claim."""
    first, second = started(harness)
    dying = DyingStore(harness.store, 0, lambda name, of: name == "compare_and_set" and of[0] == harness.keys.canary)
    with pytest.raises(StoreUnavailableError):
        promote(harness, dying)
    canary = read_canary(harness.store, harness.keys)
    assert canary is not None
    assert canary.promoted_at is not None
    return first, second


def ends(harness: PublishingHarness) -> list[str]:
    """What the trail has since the canary was started, oldest first."""
    entries = [entry.what for entry in read_audit(harness.store, harness.keys)][::-1]
    return list(entries[entries.index("canary_started") + 1 :])


def judge(harness: PublishingHarness, least: int = 500) -> CanaryWorker:
    plan = CanaryPlan(minutes=0, least=least)
    return CanaryWorker(harness.store, harness.keys, harness.versions, lambda: True, plan, 60)


def count(harness: PublishingHarness, lists: int, poor: int) -> None:
    """Has a process report so many lists of each side, some of the canary's poor."""
    canary = read_canary(harness.store, harness.keys)
    assert canary is not None
    counts = Counts(canary.identity)
    for at in range(lists):
        counts.sums[:, at % 64, [REQUESTS, LISTS]] += 1
    for at in range(poor):
        counts.sums[1, at % 64, POOR] += 1
    harness.store.fields_set(harness.keys.canary_counts, {"process": counts.pack()})


def test_a_canary_that_is_taken_back_before_its_promotion_is_not_promoted(harness: PublishingHarness) -> None:
    first, _ = started(harness)
    with pytest.raises(VersionError, match="changed the canary meanwhile"):
        promote(harness, Interrupting(harness, harness.keys.canary, lambda: take_back(harness)))
    assert harness.active == first
    assert read_canary(harness.store, harness.keys) is None
    assert ends(harness) == ["canary_rolled_back"]


def test_a_canary_that_is_being_promoted_is_not_taken_back(harness: PublishingHarness) -> None:
    _, second = started(harness)

    def late() -> None:
        with pytest.raises(VersionError, match=f"{second} is being promoted at this moment; pymk rollback takes it"):
            take_back(harness)

    promote(harness, Interrupting(harness, harness.keys.active, late))
    assert harness.active == second
    assert ends(harness) == ["published", "canary_promoted"]
    report = told_report(harness.store, harness.keys)
    assert report is not None
    assert report.state == "promoted"


def test_a_judge_that_finds_a_fault_during_the_promotion_waits_for_its_end(harness: PublishingHarness) -> None:
    _, second = started(harness)
    worker = judge(harness)
    count(harness, 200, 100)
    found = []
    promote(harness, Interrupting(harness, harness.keys.active, lambda: found.append(worker.run_once())))
    assert found[0] is not None
    assert found[0].failed == ["empty_answers"]
    assert harness.active == second
    assert ends(harness) == ["published", "canary_promoted"]
    assert worker.run_once() is None


def test_a_canary_whose_promoter_slept_until_its_lock_expired_is_not_promoted(harness: PublishingHarness) -> None:
    """Another host takes the lock over and takes the canary back, before the promoter wakes up and looks."""
    first, _ = started(harness)

    class Slept(Interrupting):
        def compare_and_set(self, key: str, expected: bytes | None, value: bytes) -> bool:
            is_set = super().compare_and_set(key, expected, value)
            if key == harness.keys.canary:
                harness.store.delete([key])
            return is_set

    with pytest.raises(VersionError, match="changed the canary meanwhile"):
        promote(harness, Slept(harness, "", lambda: None))
    assert harness.active == first
    assert read_canary(harness.store, harness.keys) is None


def test_a_canary_whose_promoter_died_is_taken_back(harness: PublishingHarness) -> None:
    first, second = claimed(harness)
    report = told_report(harness.store, harness.keys)
    assert report is not None
    assert report.state == "running"
    take_back(harness)
    assert harness.active == first
    assert read_canary(harness.store, harness.keys) is None
    assert ends(harness) == ["canary_rolled_back"]
    assert harness.expires(second)


def test_a_canary_whose_promoter_died_is_taken_back_by_the_judge(harness: PublishingHarness) -> None:
    first, _ = claimed(harness)
    worker = judge(harness)
    count(harness, 200, 0)
    running = worker.run_once()
    assert running is not None
    assert running.state == "running"
    count(harness, 200, 100)
    worker.run_once()
    assert harness.active == first
    assert ends(harness) == ["canary_rolled_back"]


def test_a_canary_whose_promoter_died_goes_on(harness: PublishingHarness) -> None:
    _, second = claimed(harness)
    canary = read_canary(harness.store, harness.keys)
    assert canary is not None
    assert step_canary(harness.store, harness.versions, harness.keys, canary, 0.25, ANN)
    stepped = read_canary(harness.store, harness.keys)
    assert stepped is not None
    assert (stepped.share, stepped.step, stepped.promoted_at) == (0.25, 1, None)
    assert not step_canary(harness.store, harness.versions, harness.keys, canary, 0.25, ANN), "as it was read no more"
    promote(harness)
    assert harness.active == second
    assert ends(harness) == ["canary_stepped", "published", "canary_promoted"]


def test_a_canary_whose_promoter_died_is_promoted_by_the_next(harness: PublishingHarness) -> None:
    _, second = claimed(harness)
    promote(harness)
    assert harness.active == second


def test_a_canary_whose_promotion_failed_goes_on_as_it_was(harness: PublishingHarness) -> None:
    first, _ = started(harness)
    canary = read_canary(harness.store, harness.keys)

    def fail() -> None:
        raise VersionError("no room")

    with pytest.raises(VersionError, match="no room"):
        promote(harness, Interrupting(harness, harness.keys.active, fail))
    assert read_canary(harness.store, harness.keys) == canary
    assert harness.active == first
    take_back(harness)


def test_what_was_promoted_is_not_taken_back_although_its_end_was_interrupted(harness: PublishingHarness) -> None:
    _, second = started(harness)
    dying = DyingStore(harness.store, 0, lambda name, of: name == "compare_and_set" and of[0] == harness.keys.active)
    with pytest.raises(StoreUnavailableError):
        promote(harness, dying)
    assert harness.active == second
    with pytest.raises(VersionError, match=f"{second} was promoted and is the active one; pymk rollback takes it back"):
        take_back(harness)
    assert read_canary(harness.store, harness.keys) is None
    assert "canary_rolled_back" not in ends(harness)
    assert ends(harness)[-1] == "canary_promoted"


def test_a_record_of_an_earlier_release_is_not_claimed(harness: PublishingHarness) -> None:
    started(harness)
    content = harness.store.get(harness.keys.canary)
    assert content is not None
    earlier = content.replace(b',"promoted_at":null', b"")
    assert earlier != content
    assert Canary.model_validate_json(earlier).promoted_at is None
    harness.store.set(harness.keys.canary, earlier)
    take_back(harness)
    assert read_canary(harness.store, harness.keys) is None
