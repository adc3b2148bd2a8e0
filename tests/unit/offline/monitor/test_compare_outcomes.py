"""Made logs whose outcomes drifted in one way each, and what the monitor names; and logs that did not."""

import datetime
from dataclasses import replace

import polars as pl
import pytest

from models.outcomes.schema import EXPOSURE_COLUMNS
from models.system.clock import DAY_US
from offline.evaluation.drift_check import DriftCheck
from offline.monitor.compare_outcomes import NOTHING_KEPT, TOO_FEW, compare_outcomes, note_of
from offline.monitor.outcome_reference import OutcomeReference
from offline.monitor.outcomes import READ, OutcomeLog, later_outcomes, outcome_reference, waiting
from tests.support.offline.exposure_logs import SOURCES, START, Habits, at_day, outcome_log

NIGHT, LATER = 35, 56
"""days of the log at a night, and when it is compared with it"""
USUAL = Habits()
EVERY = {
    *(f"acceptance_{source}" for source in SOURCES),
    *("acceptance_by_score", "calibration", "estimated_acceptance"),
    *("answers_stale", "answers_cold_start", "answers_empty"),
}


def compared(log: OutcomeLog, night: int = NIGHT) -> list[DriftCheck]:
    then = outcome_reference(at_day(log, night))
    return compare_outcomes(then, later_outcomes(log, then), waiting(log, then))


def named(checks: list[DriftCheck], *verdicts: str) -> set[str]:
    return {check.name for check in checks if check.verdict in (verdicts or ("warn", "alarm"))}


def sentence(checks: list[DriftCheck], name: str) -> str:
    return next(check.sentence for check in checks if check.name == name)


@pytest.mark.parametrize("viewers", [60, 200])
def test_outcomes_that_go_on_as_they_were_are_not_named(viewers: int) -> None:
    for seed in range(5):
        checks = compared(outcome_log(LATER, seed, USUAL, viewers=viewers))
        assert {check.name for check in checks} == EVERY or viewers == 60
        assert {check.group for check in checks} == {"outcomes"}
        assert not named(checks), [check.sentence for check in checks if check.verdict != "ok"]


def test_a_source_whose_acceptance_halved_is_named() -> None:
    halved = Habits(of_source=("embedding", 0.5))
    checks = compared(outcome_log(LATER, 1, USUAL, halved, drifted=NIGHT))
    assert named(checks, "alarm") == {"acceptance_embedding"}
    said = sentence(checks, "acceptance_embedding")
    assert "of the people whom source embedding found accepted an invite" in said
    assert said.endswith("% less")


def test_a_source_of_which_nothing_is_accepted_any_more_is_named() -> None:
    refused = Habits(of_source=("random_walk", 0.0))
    assert "acceptance_random_walk" in named(compared(outcome_log(LATER, 1, USUAL, refused, drifted=NIGHT)), "alarm"), (
        "nobody accepted since, and the check must not be left out for that"
    )


def test_more_acceptance_is_no_alarm() -> None:
    checks = compared(outcome_log(LATER, 1, USUAL, Habits(accepted=0.9), drifted=NIGHT))
    assert named(checks) == {"calibration"}, "which only warns that the probabilities promise too little"
    assert not named(checks, "alarm")


def test_probabilities_that_promise_twice_as_much_are_named() -> None:
    checks = compared(outcome_log(LATER, 1, USUAL, Habits(promise=2.0), drifted=NIGHT))
    assert named(checks, "alarm") == {"calibration"}
    assert named(checks, "warn") == {"estimated_acceptance"}
    assert sentence(checks, "calibration").startswith("of 100 friendships that probabilities promised")


def test_acceptance_is_estimated_before_outcomes_are_in() -> None:
    checks = compared(outcome_log(NIGHT + 6, 1, USUAL, Habits(promise=0.5), drifted=NIGHT))
    assert named(checks) == {"estimated_acceptance"}, "no window of a list since has closed"
    said = sentence(checks, "estimated_acceptance")
    assert "will accept an invite" in said
    assert "50% less" in said or "49% less" in said or "51% less" in said


@pytest.mark.parametrize("kind", ["stale", "cold_start", "empty"])
def test_a_rising_share_of_poor_lists_warns_and_calls_for_no_training(kind: str) -> None:
    more = replace(USUAL, **{kind: 0.25})
    checks = compared(outcome_log(LATER, 1, USUAL, more, drifted=LATER - 7))
    assert named(checks) == {f"answers_{kind}"}
    assert not named(checks, "alarm")
    fewer = compared(outcome_log(LATER, 1, more, USUAL, drifted=NIGHT))
    assert f"answers_{kind}" not in named(fewer)


def test_a_tenth_that_lost_its_acceptance_is_named() -> None:
    log = outcome_log(LATER, 1, USUAL)
    # nobody whose probability is among the highest is accepted any more
    best = log.exposures.filter(pl.col("score") > 0.3)["candidate"]
    late = pl.col("acknowledged") > START + NIGHT * DAY_US
    events = log.events.filter(~(late & pl.col("user_id").is_in(best.implode())))
    checks = compared(replace(log, events=events))
    assert "acceptance_by_score" in named(checks, "alarm")
    assert "part 10 moved most" in sentence(checks, "acceptance_by_score")


def test_a_window_that_is_open_refuses_nobody() -> None:
    log = outcome_log(NIGHT - 14, 1, USUAL)
    then = outcome_reference(log)
    young = then.until - then.window
    assert then.scored is not None
    # the same without what came of lists whose window is open
    lists = log.exposures.filter(pl.col("at").dt.epoch("us") > young)["request_id"].unique()
    unanswered = log.events.filter(~pl.col("request_id").is_in(lists.implode()).fill_null(value=False))
    assert outcome_reference(replace(log, events=unanswered)).scored == then.scored
    # they count once it has closed
    later = outcome_reference(replace(log, now=log.now + DAY_US))
    assert later.scored is not None
    assert later.scored.shown > then.scored.shown


def test_old_and_young_lists_are_followed_for_as_long() -> None:
    log = outcome_log(NIGHT, 1, USUAL)
    then = outcome_reference(log)
    late = log.events.filter(kind="accept").with_columns(pl.col("acknowledged") + 10 * DAY_US)
    late = pl.concat([log.events.filter(pl.col("kind") != "accept"), late]).sort("acknowledged")
    slow = outcome_reference(replace(log, events=late))
    assert then.scored is not None
    assert then.scored.accepted > 1000
    assert slow.scored is None, "an answer after the window of a list counts for none, however old the list is"


def test_whole_weeks_are_compared_since_people_are_another_way_at_weekends() -> None:
    log = outcome_log(NIGHT + 15, 1, USUAL, viewers=200)
    day = (pl.col("acknowledged") - START) // DAY_US % 7
    is_left_out = (day >= 5) & (pl.col("acknowledged").hash(seed=1) % 2 == 0)
    weekly = replace(log, events=log.events.filter(~is_left_out))
    compared_on = []
    for days in range(1, 16):
        then, now = outcome_reference(at_day(weekly, NIGHT)), at_day(weekly, NIGHT + days)
        checks = compare_outcomes(then, later_outcomes(now, then), waiting(now, then))
        assert not named(checks, "alarm"), [check.sentence for check in checks if check.verdict == "alarm"]
        compared_on += [days] if "calibration" in {check.name for check in checks} else []
    assert compared_on == list(range(7, 16)), "before that no week is over"


def test_only_lists_that_the_reference_has_not_are_compared_with_it() -> None:
    log = outcome_log(NIGHT + 7, 1, USUAL)
    then = outcome_reference(at_day(log, NIGHT))
    later = later_outcomes(log, then)
    assert then.scored is not None
    assert later.scored is not None
    assert later.scored.shown < 0.4 * then.scored.shown, "those whose window closed in a week"
    assert later.lists < 0.3 * then.lists


def test_a_page_that_is_loaded_again_and_further_places_count_nothing() -> None:
    log = outcome_log(NIGHT, 1, USUAL)
    once = log.exposures.filter(~pl.col("request_id").str.ends_with("-again"))
    further = once.with_columns(pl.col("position") + 10, pl.col("candidate") + "-further")
    then, alone = outcome_reference(log), outcome_reference(replace(log, exposures=once))
    longer = outcome_reference(replace(log, exposures=pl.concat([once, further]).sort("at")))
    assert then.scored == alone.scored == longer.scored
    assert then.lists > alone.lists


def test_probabilities_that_are_not_the_rankers_promise_nothing() -> None:
    log = outcome_log(NIGHT, 1, USUAL)
    then = outcome_reference(log)
    drawn = log.exposures.with_columns(pl.lit("uniform").alias("draw"))
    other = outcome_reference(replace(log, exposures=drawn))
    assert then.scored is not None
    assert other.scored is None
    assert other.sources == then.sources


def test_too_few_outcomes_are_said_and_not_compared() -> None:
    log = outcome_log(NIGHT + 3, 1, USUAL, viewers=8)
    then = outcome_reference(at_day(log, NIGHT))
    assert (then.sources, then.scored, then.deciles.count(None)) == ({}, None, 10)
    checks = compared(log)
    assert not checks
    assert note_of(then, checks) == TOO_FEW
    assert note_of(None, []) == NOTHING_KEPT
    many = compared(outcome_log(LATER, 1, USUAL))
    assert note_of(then, many) is None


def test_a_log_without_a_list_is_no_fault() -> None:
    empty = pl.DataFrame(schema={name: EXPOSURE_COLUMNS[name] for name in READ})
    log = replace(outcome_log(LATER, 1, USUAL, viewers=20), exposures=empty)
    then = outcome_reference(log)
    assert (then.lists, then.viewers, then.served) == (0, 0, {})
    assert waiting(log, then) is None
    assert not compare_outcomes(then, later_outcomes(log, then), None)


def test_what_is_kept_names_nobody_and_tells_of_no_single_viewer() -> None:
    log = outcome_log(NIGHT, 1, USUAL)
    one = log.exposures.with_columns(
        pl.when(pl.col("viewer") == "v7").then(["popular"]).otherwise("sources").alias("sources"),
        pl.when(pl.col("viewer") == "v7").then(pl.lit("cold_start")).otherwise(pl.lit("ranked")).alias("served"),
    )
    kept = outcome_reference(replace(log, exposures=one))
    assert kept.sources.keys() == set(SOURCES), "popular people were shown to a single viewer"
    assert kept.served == {}
    written = kept.model_dump_json()
    assert OutcomeReference.model_validate_json(written) == kept
    assert not any(f'"{name}' in written for name in ("v7", "c7-", "r7-"))


def test_the_kept_sums_are_of_the_days_before_the_night() -> None:
    log = outcome_log(LATER, 1, USUAL)
    at = datetime.timedelta(days=40)
    older = log.exposures.with_columns(pl.col("at") - at, pl.col("request_id") + "-older")
    assert outcome_reference(replace(log, exposures=pl.concat([older, log.exposures]))) == outcome_reference(log)
