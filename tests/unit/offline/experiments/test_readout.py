"""Readouts of experiments whose effects are known."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.errors import PymkError, UsageError
from models.experiments.experiment import Run
from offline.evaluation.exposure import Column
from offline.experiments.readout import Readout, read_out
from offline.experiments.rendering import as_text, check_plot, draw
from tests.support.experiments.arms import two_arms
from tests.support.experiments.flooding import POPULAR, START, outcomes_of, people_of

PEOPLE = people_of(3000)
NOW = START + timedelta(days=10)


@pytest.fixture(scope="module")
def flooded() -> Readout:
    experiment = two_arms(holdout=0.3, fatigue_limit=3)
    run = Run(experiment=experiment, started_at=START)
    return read_out(run, outcomes_of(experiment, PEOPLE), PEOPLE, NOW, None)


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


def test_the_time_before_narrows_the_intervals(flooded: Readout) -> None:
    (one,) = flooded.comparisons
    assert max(metric.variance_removed for metric in one.viewer_side) > 0.1
    run = Run(experiment=two_arms(holdout=0.3, fatigue_limit=3), started_at=START)
    without = read_out(run, outcomes_of(run.experiment, PEOPLE, before=0), PEOPLE, NOW, None)
    invited = [
        next(m for m in one.viewer_side if m.name == "invited") for one in (*flooded.comparisons, *without.comparisons)
    ]
    assert invited[0].high - invited[0].low < 0.97 * (invited[1].high - invited[1].low)
    assert invited[1].variance_removed == 0


def test_a_treatment_that_does_nothing_changes_nothing() -> None:
    experiment = two_arms(holdout=0.3, salt="other", fatigue_limit=3)
    outcomes = outcomes_of(two_arms(holdout=0.3, fatigue_limit=3), PEOPLE).filter(pl.col("at") < START)
    shifted = outcomes.with_columns(pl.col("at") + timedelta(days=10))
    found = read_out(Run(experiment=experiment, started_at=START), shifted, PEOPLE, NOW, None)
    (one,) = found.comparisons
    assert one.candidate_side is not None
    assert not any(metric.is_gain or metric.is_loss for metric in (*one.viewer_side, *one.candidate_side.metrics))
    assert any("no difference for viewers" in note for note in found.notes)


def test_viewers_missing_from_an_arm_are_noticed_before_all_else() -> None:
    experiment = two_arms(fatigue_limit=3)
    outcomes = outcomes_of(experiment, PEOPLE, days=2, before=0)
    (one,) = read_out(Run(experiment=experiment, started_at=START), outcomes, PEOPLE, NOW, None).comparisons
    assert one.candidate_side is None
    lost = outcomes.filter(pl.col("viewer").hash(1) % 5 > 0)
    treated = set(outcomes.filter(pl.col("candidate") < f"p{POPULAR:05}")["viewer"])
    lost = pl.concat([outcomes.filter(~pl.col("viewer").is_in(treated)), lost.filter(pl.col("viewer").is_in(treated))])
    found = read_out(Run(experiment=experiment, started_at=START), lost, PEOPLE, NOW, None)
    assert found.mismatch
    assert found.notes[0].startswith("The arms have not the sizes of their shares")


def test_groups_that_fare_unequally_are_told_apart() -> None:
    experiment = two_arms(holdout=0.1, fatigue_limit=3)
    outcomes = outcomes_of(experiment, PEOPLE, days=3, before=0)
    codes = (np.arange(len(PEOPLE)) >= POPULAR).astype(np.int64)
    codes[-5:] = -1
    run = Run(experiment=experiment, started_at=START)
    found = read_out(run, outcomes, PEOPLE, NOW, Column("fame", ["popular", "other"], codes)).groups
    assert found is not None
    assert [(row.value, row.people) for row in found.rows] == [
        ("other", len(PEOPLE) - POPULAR - 5),
        ("popular", POPULAR),
    ]
    assert found.rows[1].shown > 5 * found.rows[0].shown
    assert found.p_shown == pytest.approx(0.001)
    shuffled = np.random.default_rng(0).permutation(codes)
    same = read_out(run, outcomes, PEOPLE, NOW, Column("fame", ["popular", "other"], shuffled)).groups
    assert same is not None
    assert same.p_shown > 0.01


def test_a_stopped_experiment_is_read_up_to_its_end() -> None:
    experiment = two_arms(fatigue_limit=3)
    outcomes = outcomes_of(experiment, people_of(300), days=6, before=0)
    run = Run(experiment=experiment, started_at=START, stopped_at=START + timedelta(days=2))
    found = read_out(run, outcomes, people_of(300), NOW, None)
    assert (found.state, found.days, sum(arm.lists for arm in found.arms)) == ("stopped", 2, 600)


def test_without_lists_there_is_nothing_to_read() -> None:
    experiment = two_arms(fatigue_limit=3)
    none = outcomes_of(experiment, people_of(50), days=0, before=1)
    with pytest.raises(PymkError, match="no list of experiment short"):
        read_out(Run(experiment=experiment, started_at=START), none, people_of(50), NOW, None)


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
