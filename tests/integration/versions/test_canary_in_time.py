"""A canary with few lists: it goes on by time, by the store's clock, and one that is superseded unjudged is told of."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from models.publishing.audit import Actor, read_audit
from models.publishing.canary import publish_or_try, start_canary
from models.publishing.canary_counts import CANARY, CONTROL, ERRORS, LISTS, REQUESTS, Counts
from models.publishing.canary_ending import end_canary
from models.publishing.canary_record import Canary, read_canary, read_report
from models.version.tables import Tables
from service.worker.canary.judge import CanaryPlan, CanaryWorker
from tests.support.versions import PublishingHarness

HOURS = CanaryPlan().hours


class Clock:
    """The clock of the store, which may differ from that of this host."""

    def __init__(self, store: object, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now_us = store.clock_us()  # type: ignore[attr-defined]
        monkeypatch.setattr(store, "clock_us", lambda: self._now_us)

    def go_on(self, hours: float) -> None:
        self._now_us += round(hours * 3600e6)


@pytest.fixture
def clock(harness: PublishingHarness, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(harness.store, monkeypatch)


def start(harness: PublishingHarness) -> str:
    version = harness.make()
    start_canary(harness.store, harness.versions, version, 0.05, keys=harness.keys, by=Actor("ann@host"))
    return version


def running(harness: PublishingHarness) -> Canary | None:
    return read_canary(harness.store, harness.keys)


def judge(
    harness: PublishingHarness,
    control: int,
    canary: int,
    *,
    errors: int = 0,
    plan: CanaryPlan | None = None,
    opens: bool = True,
) -> None:
    """Has a process report so many lists of each side, and judges; `opens`: the worker can open both versions."""

    def tables_of(version: str) -> Tables | None:
        return Tables.open(harness.versions.path(version) / "tables") if opens else None

    tried = running(harness)
    assert tried is not None
    counts = Counts(tried.identity)
    for arm, lists in ((CONTROL, control), (CANARY, canary)):
        counts.sums[arm, :, [REQUESTS, LISTS]] = lists / 64
    counts.sums[CANARY, :, ERRORS] = errors / 64
    harness.store.fields_set(harness.keys.canary_counts, {"process": counts.pack()})
    worker = CanaryWorker(
        harness.store, harness.keys, harness.versions, lambda: True, plan or CanaryPlan(), 60, tables_of=tables_of
    )
    worker.run_once()


def notes(harness: PublishingHarness, what: str) -> list[str | None]:
    return [one.note for one in read_audit(harness.store, harness.keys) if one.what == what]


def test_moderate_traffic_gets_every_nights_version_within_a_day(harness: PublishingHarness, clock: Clock) -> None:
    """Some 1,000 lists a day: 50 of them are of the canary at 5%."""
    harness.publish()
    for _ in range(5):
        night = start(harness)
        hours = 0.0
        while (canary := running(harness)) is not None:
            clock.go_on(0.5)
            hours += 0.5
            assert hours < 24, "the next night supersedes it"
            lists = int(1000 / 24 * (hours % HOURS or HOURS))
            judge(harness, lists, int(lists * canary.share))
        assert harness.active == night


def test_a_step_goes_on_by_time_and_says_so_with_its_lists(harness: PublishingHarness, clock: Clock) -> None:
    harness.publish()
    second = start(harness)
    clock.go_on(HOURS - 0.01)
    judge(harness, 640, 64)
    tried = running(harness)
    assert tried is not None
    assert tried.share == 0.05
    clock.go_on(0.01)
    judge(harness, 640, 64)
    tried = running(harness)
    assert tried is not None
    assert tried.share == 0.25
    (note,) = notes(harness, "canary_stepped")
    assert note == (
        "share 0.25; by time: no guardrail failed in 8 hours, over 64 lists of the canary and 640 others, where 1,000 "
        "of each are wanted; too few to judge by: candidates, p99, scores, order, invitations"
    )
    clock.go_on(HOURS)
    judge(harness, 0, 0)
    assert (harness.active, running(harness)) == (second, None)
    report = read_report(harness.store, harness.keys)
    assert report is not None
    assert report.note is not None
    assert report.note.startswith("by time: no guardrail failed in 8 hours, over 0 lists of the canary and 0 others")
    assert "too few to judge by: candidates, errors, empty_answers" in report.note
    assert notes(harness, "canary_promoted") == [report.note]


def test_no_time_lets_a_step_go_on_that_nobody_could_look_at(harness: PublishingHarness, clock: Clock) -> None:
    """Neither lists nor, without the files of both versions, this worker judge it."""
    first = harness.publish()
    start(harness)
    clock.go_on(10 * HOURS)
    judge(harness, 0, 0, opens=False)
    tried = running(harness)
    assert tried is not None
    assert (harness.active, tried.share) == (first, 0.05)
    judge(harness, 0, 0)
    tried = running(harness)
    assert tried is not None
    assert tried.share == 0.25, "once it can look"


def test_no_time_lets_a_step_go_on_in_which_a_guardrail_failed(harness: PublishingHarness, clock: Clock) -> None:
    first = harness.publish()
    start(harness)
    clock.go_on(10 * HOURS)
    judge(harness, 640, 64, errors=64)
    assert (harness.active, running(harness)) == (first, None)
    assert notes(harness, "canary_promoted") == []


def test_a_step_lasts_its_minutes_also_if_its_hours_are_fewer_and_for_ever_if_they_are_infinite(
    harness: PublishingHarness, clock: Clock
) -> None:
    harness.publish()
    start(harness)
    clock.go_on(1)
    judge(harness, 640, 64, plan=CanaryPlan(minutes=90, hours=0.5))
    clock.go_on(10_000)
    judge(harness, 640, 64, plan=CanaryPlan(hours=float("inf")))
    tried = running(harness)
    assert tried is not None
    assert tried.step == 0


@pytest.mark.parametrize("ahead_h", [-24.0, 24.0])
def test_a_step_is_measured_by_the_stores_clock_alone(harness: PublishingHarness, clock: Clock, ahead_h: float) -> None:
    """This host's clock is a day behind, or ahead."""
    harness.publish()
    clock.go_on(-ahead_h)
    start(harness)
    shares = []
    for hours in (0, 0.4, 0.2, 0.4, 0.2):
        clock.go_on(hours)
        judge(harness, 2048, 2048)
        tried = running(harness)
        shares.append(None if tried is None else tried.share)
    assert shares == [0.05, 0.05, 0.25, 0.25, None]


def superseded(harness: PublishingHarness, share: float | None) -> EventDict:
    """Publishes a version as a night does; the warning."""
    with capture_logs() as lines:
        publish_or_try(harness.versions.path(harness.make()), harness.store, harness.versions, share, keys=harness.keys)
    (line,) = [one for one in lines if one["event"] == "canary_superseded"]
    return line


@pytest.mark.parametrize("share", [0.05, None])
def test_a_canary_that_is_superseded_before_it_is_judged_is_warned_of(
    harness: PublishingHarness, clock: Clock, share: float | None
) -> None:
    harness.publish()
    second = start(harness)
    judge(harness, 640, 64)
    line = superseded(harness, share)
    assert (line["log_level"], line["version"], line["lists"], line["in_a_row"]) == ("warning", second, 64, 1)
    (note,) = notes(harness, "canary_superseded")
    assert note == f"superseded by {line['by']} before it was judged, after 64 lists at 5% of the viewers"
    assert line["said"] == note


def test_it_is_told_how_many_canaries_in_a_row_were_superseded(harness: PublishingHarness) -> None:
    harness.publish()
    start(harness)
    found = [superseded(harness, 0.05) for _ in range(3)]
    assert [(one["lists"], one["in_a_row"]) for one in found] == [(None, 1), (None, 2), (None, 3)]
    assert found[2]["said"].startswith(
        "the last 3 canaries were all superseded before they were judged: steps must end"
    )
    assert "PYMK_CANARY_STEP_HOURS" in found[2]["said"]
    end_canary(harness.store, harness.versions, "aborted", keys=harness.keys, by=Actor("ann@host"))
    start(harness)
    assert superseded(harness, 0.05)["in_a_row"] == 1


def test_the_default_steps_end_within_a_day() -> None:
    plan = CanaryPlan()
    assert timedelta(hours=plan.hours * (len(plan.steps) - 1)) < timedelta(days=1)
