"""What the gate says of what was learned from outcomes."""

from typing import Any

import pytest

from offline.evaluation.bootstrap import Interval
from offline.evaluation.outcomes.learned import LearnedOutcomes, LoggedParity
from offline.evaluation.report import Report
from offline.gate.config import GateConfig
from offline.gate.decision import refusals
from offline.gate.outcomes import ACCEPTED, FRIENDSHIPS, PARITY, outcome_checks


def around(value: float) -> Interval:
    return Interval(value=value, low=value - 0.05, high=value + 0.05)


def report_of(learned: LearnedOutcomes | None, kept: float | None = 0.9, **others: Any) -> Report:
    friendships = None if kept is None else around(kept)
    fields: dict[str, Any] = {"users": 500, "held_out": 900, "methods": {}, **others}
    return Report(outcomes=learned, friendships_kept=friendships, **fields)


def parity_of(agreeing: int, error: float = 0.0) -> LoggedParity:
    return LoggedParity(lists=300, pairs=3000, agreeing=agreeing, error=error)


ALIKE = parity_of(3000)


def learned_of(ratio: float | None, parity: LoggedParity | None = ALIKE) -> LearnedOutcomes:
    found = None if ratio is None else around(ratio)
    return LearnedOutcomes(learned=True, said="much", accepted_ratio=found, parity=parity)


def test_without_outcomes_all_checks_are_skipped_with_the_reason() -> None:
    for learned, said in (
        (None, "no outcomes were looked at"),
        (LearnedOutcomes(learned=False, said="links alone: there are 3 invitations of 300"), "3 invitations of 300"),
    ):
        checks = outcome_checks(report_of(learned, None), GateConfig())
        assert [check.name for check in checks] == [PARITY, ACCEPTED, FRIENDSHIPS]
        assert {check.verdict for check in checks} == {"skipped"}
        assert all(said in check.sentence for check in checks[1:])


@pytest.mark.parametrize(
    ("parity", "verdict"),
    [
        (parity_of(2998), "passed"),
        (parity_of(2990, 0.0033), "passed"),  # one list differs as a whole
        (parity_of(2990), "refused"),
        (parity_of(2900, 0.01), "refused"),
        (None, "skipped"),
    ],
)
def test_heads_of_other_features_than_the_nights_are_refused(parity: LoggedParity | None, verdict: str) -> None:
    (check,) = [one for one in outcome_checks(report_of(learned_of(1.2, parity)), GateConfig()) if one.name == PARITY]
    assert check.verdict == verdict
    if parity is None:
        assert "no logged list" in check.sentence
        return
    assert check.value == round(parity.agreeing / 3000, 6)
    assert check.threshold == 0.999
    assert "3,000 people shown in 300 logged lists" in check.sentence


def test_links_alone_are_published_whatever_the_log_says() -> None:
    learned = LearnedOutcomes(learned=False, said="links alone: they differ", parity=parity_of(2000))
    check, *_ = outcome_checks(report_of(learned), GateConfig())
    assert (check.name, check.verdict, check.value) == (PARITY, "skipped", round(2 / 3, 6))
    assert "so that links alone rank" in check.sentence


@pytest.mark.parametrize(
    ("ratio", "kept", "refused"),
    [
        (1.2, 0.9, []),
        (0.97, 0.9, []),  # not beyond chance
        (0.9, 0.9, [ACCEPTED]),
        (1.2, 0.47, []),
        (1.2, 0.4, [FRIENDSHIPS]),
        (0.8, 0.2, [ACCEPTED, FRIENDSHIPS]),
    ],
)
def test_either_kind_of_quality_may_refuse(ratio: float, kept: float, refused: list[str]) -> None:
    checks = outcome_checks(report_of(learned_of(ratio), kept), GateConfig())
    assert [check.name for check in refusals(checks)] == refused
    assert [check.value for check in checks] == [1.0, ratio, kept]
    assert [check.threshold for check in checks] == [0.999, 1.0, 0.5]


def test_what_cannot_be_judged_is_skipped() -> None:
    checks = outcome_checks(report_of(learned_of(None), None), GateConfig())
    assert [check.verdict for check in checks] == ["passed", "skipped", "skipped"]
    few = outcome_checks(report_of(learned_of(1.2), 0.1, users=20), GateConfig())
    assert [check.verdict for check in few] == ["passed", "passed", "skipped"]


def test_the_share_to_keep_is_a_setting() -> None:
    config = GateConfig(least_friendships_kept=0.99)
    assert [check.name for check in refusals(outcome_checks(report_of(learned_of(1.2)), config))] == [FRIENDSHIPS]
