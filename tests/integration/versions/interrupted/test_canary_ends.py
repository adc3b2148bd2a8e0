"""A canary whose start or end is interrupted: whoever comes next completes report and audit trail, each once."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from models.errors import StoreUnavailableError, VersionError
from models.publishing.approvals.approval import approve, hold
from models.publishing.audit import Actor, read_audit
from models.publishing.canary import start_canary
from models.publishing.canary_counts import LISTS, POOR, REQUESTS, Counts
from models.publishing.canary_ending import end_canary, promote_canary
from models.publishing.canary_record import read_canary, told_report
from models.publishing.publish import publish
from models.publishing.publish_lock import switching
from models.version.local_versions import Versions
from service.worker.canary.judge import CanaryPlan, CanaryWorker
from tests.support.stores import DyingStore
from tests.support.versions import PublishingHarness

ANN = Actor("ann@host", "looks good")
MOST = 12
"""operations after which an end is surely done"""


def started(harness: PublishingHarness) -> tuple[str, str]:
    """The active version, and one that is the canary beside it."""
    first, second = harness.publish(), harness.make()
    start_canary(harness.store, harness.versions, second, 0.05, keys=harness.keys, by=ANN)
    return first, second


def judge(harness: PublishingHarness, store: Any = None) -> None:
    plan = CanaryPlan(minutes=0)
    CanaryWorker(store or harness.store, harness.keys, harness.versions, lambda: True, plan, 60).run_once()


def fail(harness: PublishingHarness) -> None:
    """Has a process report that most lists of the canary are empty."""
    canary = read_canary(harness.store, harness.keys)
    assert canary is not None
    counts = Counts(canary.identity)
    counts.sums[:, :, [REQUESTS, LISTS]] = 10
    counts.sums[1, :, POOR] = 8
    harness.store.fields_set(harness.keys.canary_counts, {"process": counts.pack()})


def trail(harness: PublishingHarness) -> Counter[str]:
    return Counter(entry.what for entry in read_audit(harness.store, harness.keys))


def dying_after(harness: PublishingHarness, operations: int, key: str) -> DyingStore:
    """A store that goes away so many operations after the next compare-and-set of a key."""
    return DyingStore(harness.store, operations, lambda name, of: name == "compare_and_set" and of[0] == key)


def next_night(harness: PublishingHarness) -> None:
    publish(harness.versions.path(harness.make()), harness.store, harness.versions, keys=harness.keys)


@pytest.mark.parametrize("then", [judge, next_night], ids=["the judge", "the next night"])
@pytest.mark.parametrize("operations", range(MOST))
def test_a_canary_that_is_taken_back_leaves_its_guardrail_whatever_dies(
    harness: PublishingHarness, operations: int, then: Callable[[PublishingHarness], None]
) -> None:
    first, second = started(harness)
    fail(harness)
    with suppress(StoreUnavailableError):
        judge(harness, dying_after(harness, operations, harness.keys.canary))
    assert harness.active == first
    told = told_report(harness.store, harness.keys)
    assert told is not None
    assert (told.canary.version, told.state, told.failed) == (second, "rolled_back", ["empty_answers"])
    then(harness)
    assert read_canary(harness.store, harness.keys) is None
    assert trail(harness)["canary_rolled_back"] == 1
    assert trail(harness)["canary_superseded"] == 0
    report = told_report(harness.store, harness.keys)
    assert report is not None
    assert (report.state, report.failed) == ("rolled_back", ["empty_answers"])
    assert report.note is not None
    assert "guardrail empty_answers" in report.note


@pytest.mark.parametrize("then", [judge, next_night], ids=["the judge", "the next night"])
@pytest.mark.parametrize("operations", range(MOST))
def test_a_canary_that_was_promoted_is_told_of_as_promoted_whatever_dies(
    harness: PublishingHarness, operations: int, then: Callable[[PublishingHarness], None]
) -> None:
    _, second = started(harness)
    dying: Any = dying_after(harness, operations, harness.keys.active)
    with suppress(StoreUnavailableError):
        promote_canary(dying, harness.versions, keys=harness.keys, by=ANN)
    assert harness.active == second
    then(harness)
    assert (trail(harness)["canary_promoted"], trail(harness)["canary_superseded"]) == (1, 0)
    (entry,) = [one for one in read_audit(harness.store, harness.keys) if one.what == "canary_promoted"]
    assert (entry.version, entry.who, entry.note) == (second, ANN.who, ANN.note)
    report = told_report(harness.store, harness.keys)
    assert report is not None
    assert report.state == "promoted"


@pytest.mark.parametrize("operations", range(6))
def test_a_start_that_was_interrupted_is_completed_by_the_repeated_call(
    harness: PublishingHarness, operations: int
) -> None:
    harness.publish()
    second = harness.make()
    hold(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    dying: Any = dying_after(harness, operations, harness.keys.canary)
    for store in (dying, harness.store):
        with suppress(StoreUnavailableError, VersionError):
            approve(store, harness.versions, second, keys=harness.keys, by=ANN, canary_share=0.05)
    assert (trail(harness)["canary_started"], trail(harness)["approved"]) == (1, 1)
    report = told_report(harness.store, harness.keys)
    assert report is not None
    assert (report.canary.version, report.state) == (second, "running")


def test_a_claim_of_a_dead_promoter_is_taken_back_while_somebody_else_has_the_lock(
    harness: PublishingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = started(harness)
    dying: Any = dying_after(harness, 0, harness.keys.canary)
    with pytest.raises(StoreUnavailableError):
        promote_canary(dying, harness.versions, keys=harness.keys, by=ANN)
    monkeypatch.setattr("models.publishing.canary_ending.RETIRE_S", 0.1)
    with switching(harness.store, Versions(harness.home), harness.keys):  # a night that loads
        end_canary(harness.store, harness.versions, "rolled_back", keys=harness.keys, by=ANN)
    assert (harness.active, read_canary(harness.store, harness.keys)) == (first, None)
    assert trail(harness)["canary_rolled_back"] == 1


def test_no_approval_publishes_a_delta_of_a_version_that_is_no_longer_active(harness: PublishingHarness) -> None:
    first = harness.publish()
    second, delta = harness.make(), harness.make(delta_of=first)
    for version in (second, delta):
        hold(harness.store, harness.versions, version, keys=harness.keys, by=ANN)
    approve(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    with pytest.raises(VersionError, match=f"version {first}, which the night went on from, is no longer active"):
        approve(harness.store, harness.versions, delta, keys=harness.keys, by=ANN)
    assert harness.active == second
