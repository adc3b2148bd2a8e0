"""A canary in the store: started, stepped, promoted, taken back, superseded, judged; and the audit trail."""

import shutil
import threading
import time
from datetime import UTC, datetime

import pytest

from models.candidate_refresh.replay import no_replay
from models.errors import UsageError, VersionError
from models.experiments import registry
from models.experiments.experiment import Arm, Experiment
from models.publishing.approvals.approval import hold
from models.publishing.audit import Actor, read_audit
from models.publishing.canary import publish_or_try, start_canary
from models.publishing.canary_counts import ERRORS, LISTS, POOR, REQUESTS, Counts
from models.publishing.canary_ending import end_canary, promote_canary
from models.publishing.canary_record import Canary, read_canary, read_report, running_canary, told_report
from models.publishing.catalogue import catalogue
from models.publishing.pointer import ActivePointer
from models.publishing.publish import publish_locked
from models.publishing.publish_lock import switching
from models.publishing.transfer import quiet
from service.worker.canary.judge import CanaryPlan, CanaryWorker
from tests.support.versions import PublishingHarness

ANN = Actor("ann@host", "looks good")


def states(harness: PublishingHarness) -> dict[str, str]:
    return {one.version: one.state for one in catalogue(harness.store, harness.versions, keys=harness.keys)}


def start(harness: PublishingHarness, version: str, share: float = 0.05) -> Canary:
    return start_canary(harness.store, harness.versions, version, share, keys=harness.keys, by=ANN)


def abort(harness: PublishingHarness) -> str:
    return end_canary(harness.store, harness.versions, "aborted", keys=harness.keys, by=ANN)


def promote(harness: PublishingHarness) -> str:
    return promote_canary(harness.store, harness.versions, keys=harness.keys, by=ANN).version


def publish_version(harness: PublishingHarness, version: str, share: float | None) -> bool:
    """Publishes it as a night does."""
    return publish_or_try(harness.versions.path(version), harness.store, harness.versions, share, keys=harness.keys)


def trail(harness: PublishingHarness) -> list[tuple[str, str]]:
    """What was done to which version since the first publication, oldest first."""
    return [(one.what, one.version) for one in read_audit(harness.store, harness.keys)][::-1][1:]


def judge(harness: PublishingHarness, plan: CanaryPlan) -> CanaryWorker:
    return CanaryWorker(harness.store, harness.keys, harness.versions, lambda: True, plan, 60)


def count(harness: PublishingHarness, lists: int, poor: int = 0, errors: int = 0) -> None:
    """Has a process report so many lists of each side, some of the canary's poor or failed."""
    canary = read_canary(harness.store, harness.keys)
    assert canary is not None
    counts = Counts(canary.identity)
    for side in (0, 1):
        for at in range(lists):
            counts.sums[side, at % 64, [REQUESTS, LISTS]] += 1
    for at in range(poor):
        counts.sums[1, at % 64, POOR] += 1
    for at in range(errors):
        counts.sums[1, at % 64, [REQUESTS, ERRORS]] += 1
    harness.store.fields_set(harness.keys.canary_counts, {"process": counts.pack()})


def test_a_canary_is_started_and_promoted(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.make()
    canary = start(harness, second)
    assert (canary.control, canary.share) == (first, 0.05)
    assert (harness.active, states(harness)) == (first, {first: "active", second: "canary"})
    assert harness.never_expires(second)
    assert promote(harness) == second
    assert (harness.active, states(harness)) == (second, {first: "published", second: "active"})
    assert read_canary(harness.store, harness.keys) is None
    report = read_report(harness.store, harness.keys)
    assert report is not None
    assert (report.state, report.note) == ("promoted", "looks good")
    assert trail(harness) == [("canary_started", second), ("published", second), ("canary_promoted", second)]
    assert harness.rollback() == first


def test_a_canary_is_aborted_and_its_keys_expire(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.make()
    start(harness, second)
    assert abort(harness) == second
    assert (harness.active, states(harness)[second]) == (first, "published")
    assert harness.expires(second)
    report = read_report(harness.store, harness.keys)
    assert report is not None
    assert report.state == "aborted"
    assert trail(harness) == [("canary_started", second), ("canary_aborted", second)]
    for act in (abort, promote):
        with pytest.raises(VersionError, match="there is no canary; pymk activate VERSION --share 5% starts one"):
            act(harness)


def test_the_share_of_a_canary_changes_and_there_is_one_at_a_time(harness: PublishingHarness) -> None:
    harness.publish()
    second, third = harness.make(), harness.make()
    before = start(harness, second)
    after = start(harness, second, 0.5)
    assert (after.share, after.step, after.started_at) == (0.5, 1, before.started_at)
    assert after.identity != before.identity
    with pytest.raises(VersionError, match=f"{second} is the canary already"):
        start(harness, third)
    assert trail(harness) == [("canary_started", second), ("canary_stepped", second)]


def test_what_cannot_be_a_canary_is_refused(harness: PublishingHarness) -> None:
    other = harness.make()
    with pytest.raises(VersionError, match="no version is active"):
        start(harness, other)
    first = harness.publish()
    waits = harness.make()
    assert hold(harness.store, harness.versions, waits, keys=harness.keys)
    for version, said in ((first, "is the active one"), (waits, "waits for an approval"), ("x", "is no version id")):
        with pytest.raises(VersionError, match=said):
            start(harness, version)
    for share in (0.0, 1.0, 1.5):
        with pytest.raises(UsageError, match="above 0% and below 100%"):
            start(harness, other, share)
    old = Arm.model_validate({"name": "b", "share": 0.5, "settings": {"version": first}})
    experiment = Experiment(name="two", salt="s", arms=(Arm(name="a", share=0.5), old))
    registry.start(harness.store, experiment, keys=harness.keys, versions=[first])
    with pytest.raises(UsageError, match="experiment two compares versions"):
        start(harness, other)
    assert read_canary(harness.store, harness.keys) is None
    registry.stop(harness.store, "two", keys=harness.keys)
    start(harness, other)


def test_publications_keep_the_canary_until_they_supersede_it(harness: PublishingHarness) -> None:
    harness.publish()
    second = harness.make()
    start(harness, second)
    third = harness.publish()
    assert (harness.active, states(harness)[second]) == (third, "published")
    assert harness.expires(second)
    report = read_report(harness.store, harness.keys)
    assert report is not None
    note = f"superseded by {third} before it was looked at"
    assert (report.state, report.note) == ("superseded", note)
    assert trail(harness)[-1] == ("canary_superseded", second)


def test_a_rollback_ends_the_canary_and_a_switch_to_it_promotes_it(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.publish()
    third = harness.make()
    start(harness, third)
    assert harness.rollback() == first
    assert read_canary(harness.store, harness.keys) is None
    start(harness, third)
    harness.activate(third)
    assert harness.active == third
    report = read_report(harness.store, harness.keys)
    assert report is not None
    assert report.state == "promoted"
    assert harness.expires(second)


def test_a_record_that_cannot_be_read_ends_with_abort(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.make()
    harness.store.set(harness.keys.canary, b"another release's")
    assert states(harness)[first] == "active"
    assert judge(harness, CanaryPlan()).run_once() is None
    assert abort(harness) == ""
    start(harness, second)


def test_a_guardrail_takes_a_canary_back_and_the_trail_names_it(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.make()
    start(harness, second)
    worker = judge(harness, CanaryPlan(minutes=0, least=500))
    count(harness, lists=200)
    running = worker.run_once()
    assert running is not None
    assert (running.state, states(harness)[second]) == ("running", "canary")
    assert running.lists == {"control": 200, "canary": 200}
    count(harness, lists=200, poor=60)
    worker.run_once()
    assert (harness.active, states(harness)[second]) == (first, "published")
    report = read_report(harness.store, harness.keys)
    assert report is not None
    assert (report.state, report.failed) == ("rolled_back", ["empty_answers"])
    (entry, *_) = read_audit(harness.store, harness.keys)
    assert (entry.what, entry.version, entry.before) == ("canary_rolled_back", second, first)
    assert entry.note is not None
    assert entry.note.startswith("guardrail empty_answers: lists that are empty")
    assert worker.run_once() is None


def test_a_good_canary_goes_from_step_to_step(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.make()
    start(harness, second)
    worker = judge(harness, CanaryPlan(minutes=0, least=500))
    shares = []
    for lists in (499, 500, 500):
        count(harness, lists)
        worker.run_once()
        canary = read_canary(harness.store, harness.keys)
        shares.append(None if canary is None else canary.share)
    assert shares == [0.05, 0.25, None]
    assert harness.active == second
    report = read_report(harness.store, harness.keys)
    assert report is not None
    assert report.state == "promoted"
    assert trail(harness) == [
        ("canary_started", second),
        ("canary_stepped", second),
        ("published", second),
        ("canary_promoted", second),
    ]
    assert states(harness)[first] == "published"


def test_a_step_lasts_its_minutes_and_counts_of_the_step_before_do_not_count(harness: PublishingHarness) -> None:
    harness.publish()
    second = harness.make()
    start(harness, second)
    count(harness, 2000)
    judge(harness, CanaryPlan(minutes=5, least=500)).run_once()
    canary = read_canary(harness.store, harness.keys)
    assert canary is not None
    assert canary.share == 0.05
    worker = judge(harness, CanaryPlan(steps=(0.05, 0.1, 0.5, 1.0), minutes=0, least=500))
    worker.run_once()
    found = worker.run_once()
    assert found is not None
    assert (found.canary.share, found.lists) == (0.1, {"control": 0, "canary": 0})


def test_the_version_of_a_night_begins_as_a_canary_if_something_is_active(harness: PublishingHarness) -> None:
    first, second, third = (harness.make() for _ in range(3))

    def publish(version: str, share: float | None = 0.05) -> bool:
        return publish_version(harness, version, share)

    assert not publish(first), "there is nothing to try it beside"
    assert harness.active == first
    assert publish(second)
    assert publish(second), "a killed night goes on"
    assert (harness.active, states(harness)[second]) == (first, "canary")
    assert publish(third)
    assert states(harness) == {first: "active", second: "published", third: "canary"}
    assert not publish(third, None)
    assert harness.active == third
    assert trail(harness) == [
        ("canary_started", second),
        ("canary_superseded", second),
        ("canary_started", third),
        ("published", third),
        ("canary_promoted", third),
    ]


def test_a_night_beside_a_judge_that_promotes_keeps_the_promoted_version(harness: PublishingHarness) -> None:
    """The judge has promoted N0 while the night waits for the lock; the night tries N1 beside N0."""
    for _ in range(3):
        harness.publish()
    first, second = harness.make(), harness.make()
    start(harness, first)
    kept = shutil.copytree(harness.versions.path(second), harness.versions.home / "kept")
    night = threading.Thread(target=lambda: publish_version(harness, second, 0.05))
    with switching(harness.store, harness.versions, harness.keys) as lease:
        night.start()
        time.sleep(0.3)
        publish_locked(
            harness.store,
            harness.versions,
            first,
            lease,
            keys=harness.keys,
            superseded_ttl_s=60,
            replay=no_replay,
            progress=quiet,
            by=ANN,
        )
        shutil.copytree(kept, harness.versions.path(second), dirs_exist_ok=True)
    night.join(20)
    canary = read_canary(harness.store, harness.keys)
    assert canary is not None
    assert (harness.active, canary.version, canary.control) == (first, second, first)
    assert harness.versions.is_whole(first), "the active version stays on disk"
    assert trail(harness)[-3:] == [("published", first), ("canary_promoted", first), ("canary_started", second)]


def test_a_canary_goes_on_where_the_one_that_supersedes_it_cannot_start(harness: PublishingHarness) -> None:
    harness.publish()
    second, third = harness.make(), harness.make()
    canary = start(harness, second)

    def fails(*_: object) -> None:
        raise VersionError("no room")

    with pytest.raises(VersionError, match="no room"):
        publish_or_try(
            harness.versions.path(third), harness.store, harness.versions, 0.05, keys=harness.keys, replay=fails
        )
    assert read_canary(harness.store, harness.keys) == canary
    assert trail(harness) == [("canary_started", second)]


def test_a_delta_night_is_not_published_after_a_rollback_or_beside_a_canary(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.publish()
    delta, other = harness.make(delta_of=second), harness.make()
    harness.rollback()
    for share in (None, 0.05):
        with pytest.raises(VersionError, match=f"version {second}, which the night went on from, is no longer active"):
            publish_version(harness, delta, share)
    assert harness.active == first
    harness.activate(second)
    start(harness, other)
    for share in (None, 0.05):
        with pytest.raises(VersionError, match=f"version {other} is the canary, which this night would end"):
            publish_version(harness, delta, share)
    assert states(harness)[other] == "canary"
    abort(harness)
    assert publish_version(harness, delta, 0.05)
    assert publish_version(harness, delta, 0.05), "a repeated call changes nothing"
    assert not publish_version(harness, delta, None)
    assert not publish_version(harness, delta, None), "a killed night goes on"
    assert harness.active == delta


def test_a_judge_does_not_overwrite_the_last_word_on_a_canary(harness: PublishingHarness) -> None:
    """Somebody ends the canary after the judge has read it, and before it writes its report."""
    harness.publish()
    second = harness.make()
    start(harness, second)
    worker = judge(harness, CanaryPlan(minutes=0, least=0))
    for ends, state in ((abort, "aborted"), (promote, "promoted")):
        if state == "promoted":
            start(harness, second)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker._shadow, "guardrails", lambda _, ends=ends: (ends(harness), [])[1])
            worker.run_once()
        report = read_report(harness.store, harness.keys)
        assert report is not None
        assert report.state == state


def test_a_canary_without_a_last_word_is_told_as_it_ended(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.make()
    start(harness, second)

    def told() -> str:
        report = told_report(harness.store, harness.keys)
        assert report is not None
        return report.state

    running = harness.store.get(harness.keys.canary_report)
    assert running is not None
    assert told() == "running"
    for ends, state in ((abort, "aborted"), (promote, "promoted")):
        start(harness, second)
        ends(harness)
        harness.store.set(harness.keys.canary_report, running)
        assert told() == state
    assert first in states(harness)


def test_a_canary_does_not_revive_when_its_control_is_active_again(harness: PublishingHarness) -> None:
    """A switch was killed after it had set the pointer: the record of the canary stays."""
    first, second, third = harness.publish(), harness.make(), harness.make()
    start(harness, second)
    record = harness.store.get(harness.keys.canary)
    assert record is not None
    publish_version(harness, third, None)
    harness.store.set(harness.keys.canary, record)
    back = ActivePointer(version=first, activated_at=datetime.now(UTC))
    harness.store.set(harness.keys.active, back.model_dump_json().encode())
    assert running_canary(harness.store, harness.keys, back) is None
    assert states(harness)[second] == "published"


def test_the_plan_names_the_next_share() -> None:
    plan = CanaryPlan(steps=(0.05, 0.25, 1.0))
    assert [plan.after(share) for share in (0.01, 0.05, 0.1, 0.25, 0.6)] == [0.05, 0.25, 0.25, 1.0, 1.0]
