"""Readouts of experiments whose effects are known."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.errors import PymkError, UsageError
from models.experiments.experiment import Experiment, Run
from offline.evaluation.exposure import Column
from offline.experiments.group_side import MOST_GROUPS, OTHERS, group_side, together
from offline.experiments.metric import Metric
from offline.experiments.readout import Readout, read_out
from offline.experiments.rendering import as_text, check_plot, draw
from tests.support.experiments.arms import two_arms
from tests.support.experiments.flooding import POPULAR, START, outcomes_of, people_of

PEOPLE = people_of(3000)
NOW = START + timedelta(days=10)


@pytest.fixture(scope="module")
def flooded() -> Readout:
    experiment = two_arms(holdout=0.3, fatigue_limit=3)
    return read(experiment, outcomes_of(experiment, PEOPLE))


def test_flooding_a_few_is_a_gain_for_viewers_and_a_loss_for_the_people_suggested(flooded: Readout) -> None:
    (one,) = flooded.comparisons
    viewers = {metric.name: metric for metric in one.viewer_side}
    assert viewers["invited"].is_gain
    assert viewers["invited"].always_low is not None
    assert viewers["invited"].always_low > 0
    assert viewers["shown"].p_adjusted == 1
    assert one.candidate_side is not None
    people = {metric.name: metric for metric in one.candidate_side.metrics}
    assert people["accepted_per_invited"].is_loss
    assert people["reached"].is_loss
    assert any("the people suggested pay for" in note for note in flooded.notes)


def test_arms_are_counted_and_fit_their_shares(flooded: Readout) -> None:
    control, treatment = flooded.arms
    assert control.viewers + treatment.viewers == len(PEOPLE)
    assert control.lists == 10 * control.viewers
    assert not flooded.mismatch
    assert treatment.top_share > 3 * control.top_share


def read(
    experiment: Experiment,
    outcomes: pl.DataFrame,
    people: list[str] = PEOPLE,
    column: Column | None = None,
    stopped_at: datetime | None = None,
) -> Readout:
    run = Run(experiment=experiment, started_at=START, stopped_at=stopped_at)
    return read_out(run, outcomes, outcomes, people, NOW, column)


def width(metric: Metric) -> float:
    assert metric.low is not None
    assert metric.high is not None
    return metric.high - metric.low


def test_the_time_before_narrows_the_intervals(flooded: Readout) -> None:
    (one,) = flooded.comparisons
    assert max(metric.variance_removed for metric in one.viewer_side) > 0.1
    experiment = two_arms(holdout=0.3, fatigue_limit=3)
    without = read(experiment, outcomes_of(experiment, PEOPLE, before=0))
    invited = [
        next(m for m in one.viewer_side if m.name == "invited") for one in (*flooded.comparisons, *without.comparisons)
    ]
    assert width(invited[0]) < 0.97 * width(invited[1])
    assert invited[1].variance_removed == 0


def test_a_treatment_that_does_nothing_changes_nothing() -> None:
    experiment = two_arms(holdout=0.3, salt="other", fatigue_limit=3)
    outcomes = outcomes_of(two_arms(holdout=0.3, fatigue_limit=3), PEOPLE).filter(pl.col("at") < START)
    shifted = outcomes.with_columns(pl.col("at") + timedelta(days=10))
    found = read(experiment, shifted)
    (one,) = found.comparisons
    assert one.candidate_side is not None
    assert not any(metric.is_gain or metric.is_loss for metric in (*one.viewer_side, *one.candidate_side.metrics))
    assert any("no difference for viewers" in note for note in found.notes)


def test_viewers_missing_from_an_arm_are_noticed_before_all_else() -> None:
    experiment = two_arms(fatigue_limit=3)
    outcomes = outcomes_of(experiment, PEOPLE, days=2, before=0)
    (one,) = read(experiment, outcomes).comparisons
    assert one.candidate_side is None
    lost = outcomes.filter(pl.col("viewer").hash(1) % 5 > 0)
    treated = set(outcomes.filter(pl.col("candidate") < f"p{POPULAR:05}")["viewer"])
    lost = pl.concat([outcomes.filter(~pl.col("viewer").is_in(treated)), lost.filter(pl.col("viewer").is_in(treated))])
    found = read(experiment, lost)
    assert found.mismatch
    assert found.notes[0].startswith("The arms have not the sizes of their shares")


def test_groups_that_fare_unequally_are_told_apart() -> None:
    experiment = two_arms(holdout=0.1, fatigue_limit=3)
    outcomes = outcomes_of(experiment, PEOPLE, days=3, before=0)
    codes = (np.arange(len(PEOPLE)) >= POPULAR).astype(np.int64)
    codes[-5:] = -1
    found = read(experiment, outcomes, column=Column("fame", ["popular", "other"], codes))
    control, treatment = found.groups["control"], found.groups["treatment"]
    assert [(row.value, row.people) for row in treatment.rows] == [
        ("other", len(PEOPLE) - POPULAR - 5),
        ("popular", POPULAR),
    ]
    assert treatment.rows[1].shown > 5 * treatment.rows[0].shown
    assert treatment.p_shown == pytest.approx(0.001)
    assert control.p_shown > 0.01, "the control shows everybody as often"
    (one,) = found.comparisons
    assert one.groups is not None
    assert [row.value for row in one.groups.rows] == ["other", "popular"]
    assert one.groups.rows[1].treatment > 5 * one.groups.rows[1].control
    assert one.groups.p_shown <= 0.002
    assert "treatment against control, by fame of the people suggested" in as_text(found)
    shuffled = np.random.default_rng(0).permutation(codes)
    same = read(experiment, outcomes, column=Column("fame", ["popular", "other"], shuffled))
    assert same.groups["treatment"].p_shown > 0.01


def test_arms_alike_show_groups_alike() -> None:
    """The arms are drawn anew, so that those who were flooded are in both."""
    random, alarms = np.random.default_rng(4), 0
    ids = people_of(200)
    column = Column("side", ["left", "right"], np.arange(200) % 2)
    for _ in range(40):
        rows = 200 * 5
        ran = pl.DataFrame(
            {
                "viewer": np.repeat(ids, 5),
                "arm": np.repeat(np.where(random.random(200) < 0.3, "treatment", "control"), 5),
                "candidate": np.array(ids)[random.integers(200, size=rows)],
                "invited": random.random(rows) < 0.05,
                "accepted": np.zeros(rows, dtype=bool),
            }
        )
        side = group_side(ran, "treatment", "control", ids, column)
        assert side is not None
        (side,) = together([side])
        alarms += min(side.p_shown, side.p_accepted) < 0.05
    assert alarms <= 4


def test_of_very_many_groups_those_shown_most_are_told_apart() -> None:
    random, ids = np.random.default_rng(6), people_of(400)
    column = Column("town", [f"town {at}" for at in range(200)], np.arange(400) % 200)
    chosen = random.zipf(1.5, 4000) % 400
    ran = pl.DataFrame(
        {
            "viewer": np.repeat(ids, 10),
            "arm": np.repeat(np.where(np.arange(400) % 2, "treatment", "control"), 10),
            "candidate": np.array(ids)[chosen],
            "invited": np.zeros(4000, dtype=bool),
            "accepted": np.zeros(4000, dtype=bool),
        }
    )
    side = group_side(ran, "treatment", "control", ids, column)
    assert side is not None
    assert len(side.rows) == MOST_GROUPS + 1
    assert sum(row.control for row in side.rows) == pytest.approx(1)
    (others,) = [row for row in side.rows if row.value == OTHERS]
    assert 0 < others.control < 0.3


def test_ten_arms_that_do_nothing_seldom_do_something() -> None:
    """Holm's correction and the always-valid intervals are for all metrics of all arms."""
    random, alarms, ids = np.random.default_rng(5), 0, people_of(1100)
    arms = [{"name": f"arm{at}", "share": 1 / 11} for at in range(11)]
    for test in range(30):
        settings = [{**arm, "settings": {"fatigue_limit": at + 2} if at else {}} for at, arm in enumerate(arms)]
        experiment = Experiment.model_validate({"name": "many", "salt": f"s{test}", "arms": settings})
        rows = 1100 * 10
        invited = random.random(rows) < 0.2
        outcomes = pl.DataFrame(
            {
                "request_id": np.repeat(ids, 10),
                "at": [START] * rows,
                "viewer": np.repeat(ids, 10),
                "candidate": np.array(ids)[random.integers(1100, size=rows)],
                "clicked": random.random(rows) < 0.3,
                "invited": invited,
                "accepted": invited & (random.random(rows) < 0.5),
                "dismissed": random.random(rows) < 0.2,
                **dict.fromkeys(("declined", "blocked", "reported"), random.random(rows) < 0.2),
            }
        )
        metrics = [one for side in read(experiment, outcomes, ids).comparisons for one in side.viewer_side]
        alarms += any(one.is_gain or one.is_loss for one in metrics)
    assert alarms <= 3


def test_a_stopped_experiment_is_read_up_to_its_end() -> None:
    experiment = two_arms(fatigue_limit=3)
    outcomes = outcomes_of(experiment, people_of(300), days=6, before=0)
    found = read(experiment, outcomes, people_of(300), stopped_at=START + timedelta(days=2))
    assert (found.state, found.days, sum(arm.lists for arm in found.arms)) == ("stopped", 2, 600)


def test_without_lists_there_is_nothing_to_read() -> None:
    experiment = two_arms(fatigue_limit=3)
    none = outcomes_of(experiment, people_of(50), days=0, before=1)
    with pytest.raises(PymkError, match="no list of experiment short"):
        read(experiment, none, people_of(50))


def test_the_text_and_the_picture_say_what_was_found(flooded: Readout, tmp_path: Path) -> None:
    text = as_text(flooded)
    assert "treatment against control, per viewer" in text
    assert "accepted_per_invited" in text
    assert all(note in text for note in flooded.notes)
    path = tmp_path / "readout.png"
    check_plot(path)
    draw(path, flooded)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"ends in \.png"):
        check_plot(tmp_path / "readout.pdf")
