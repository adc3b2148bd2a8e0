"""What an experiment did: to its viewers, to the people who were suggested, and what the comparison cannot show.

Outcomes are those of lists that were given out while it ran (models.outcomes.schema). Viewers count in the arm that the
hash of their id says, whatever lists they got (intention to treat), from their first list on.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict

from models.errors import PymkError
from models.experiments.assignment import arms_of
from models.experiments.experiment import Run
from offline.evaluation.exposure import Column, GroupReport, group_report
from offline.experiments.candidate_side import CandidateSide, candidate_side, concentration
from offline.experiments.metric import Metric
from offline.experiments.significance import MISMATCH, sample_ratio
from offline.experiments.viewer_side import Period, viewer_side

LEAST_VIEWERS = 100
"""viewers of an arm below which a readout says that it is too early"""


class ArmCounts(BaseModel):
    """How many viewers and lists an arm had, and how evenly it spread over the people suggested."""

    model_config = ConfigDict(frozen=True)

    name: str
    share: float
    viewers: int
    lists: int
    shown: int
    """people in these lists"""
    reached: float
    """share of all people who were in any of them"""
    top_share: float
    """share of the places that went to the hundredth of the people who had most"""


class Comparison(BaseModel):
    """One arm against the control."""

    model_config = ConfigDict(frozen=True)

    arm: str
    viewer_side: list[Metric]
    """per viewer, with CUPED where the time before is known"""
    candidate_side: CandidateSide | None
    """per person, those whom the arm may touch against those held out; None without a holdout"""


class Readout(BaseModel):
    """What an experiment did."""

    model_config = ConfigDict(frozen=True)

    experiment: str
    state: str
    """running or stopped"""
    started_at: AwareDatetime
    until: AwareDatetime
    days: int
    control: str
    arms: list[ArmCounts]
    sample_ratio_p: float
    """p-value of the sizes of the arms given their shares"""
    mismatch: bool
    """that p-value is below 0.001: nothing else here is to be trusted"""
    comparisons: list[Comparison]
    groups: GroupReport | None
    notes: list[str]
    """what the figures say in words, and what they may hide"""


def read_out(run: Run, outcomes: pl.DataFrame, people: Sequence[str], now: datetime, column: Column | None) -> Readout:
    """The readout of an experiment.

    `outcomes` has the columns of OUTCOME_COLUMNS that are read here, of while it ran and, for CUPED, of before.
    `people` (n,) are the ids of everybody who may be suggested. Raises PymkError if no list of an arm was logged.
    """
    # lists while it ran, and in as many days before
    until = min(run.stopped_at or now, now)
    ran = outcomes.filter(pl.col("at").is_between(run.started_at, until))
    before = outcomes.filter(pl.col("at").is_between(run.started_at - (until - run.started_at), run.started_at, "left"))
    viewers = ran["viewer"].unique(maintain_order=True).to_list()
    assigned = pl.DataFrame(
        {"viewer": viewers, "arm": arms_of(run.experiment, viewers)}, schema={"viewer": pl.String, "arm": pl.String}
    ).drop_nulls()
    ran = ran.join(assigned, on="viewer")
    if not len(ran):
        raise PymkError(
            f"no list of experiment {run.name} is among the outcomes; lists are logged when they are given out, and "
            "the worker files them within a minute"
        )
    # sizes of the arms
    period = Period(run.started_at, until)
    arms = [_counts(arm.name, arm.share, assigned, ran, people) for arm in run.experiment.arms]
    p = sample_ratio([arm.viewers for arm in arms], [arm.share for arm in arms])
    # each arm against the control
    control = run.experiment.control.name
    comparisons = []
    for arm in run.experiment.arms[1:]:
        both = assigned.filter(pl.col("arm").is_in([control, arm.name]))
        sizes = both["arm"].value_counts()
        if len(sizes) < 2 or int(sizes["count"].min()) < 2:  # type: ignore[arg-type]
            continue
        sides = candidate_side(run.experiment, arm.name, ran, before, people)
        comparisons.append(
            Comparison(arm=arm.name, viewer_side=viewer_side(both, arm.name, ran, before, period), candidate_side=sides)
        )
    found = Readout(
        experiment=run.name,
        state="running" if run.stopped_at is None else "stopped",
        started_at=run.started_at,
        until=until,
        days=period.days,
        control=control,
        arms=arms,
        sample_ratio_p=p,
        mismatch=p < MISMATCH,
        comparisons=comparisons,
        groups=None if column is None else _groups(ran, people, column),
        notes=[],
    )
    return found.model_copy(update={"notes": notes(found, holdout=run.experiment.candidates.holdout)})


def _counts(name: str, share: float, assigned: pl.DataFrame, ran: pl.DataFrame, people: Sequence[str]) -> ArmCounts:
    own = ran.filter(pl.col("arm") == name)
    reached, top = concentration(own["candidate"], people)
    return ArmCounts(
        name=name,
        share=share,
        viewers=int((assigned["arm"] == name).sum()),
        lists=own["request_id"].n_unique(),
        shown=len(own),
        reached=reached,
        top_share=top,
    )


def _groups(ran: pl.DataFrame, people: Sequence[str], column: Column) -> GroupReport | None:
    """Exposure and acceptance by group of the people suggested; None if the column has a single group."""
    totals = ran.group_by("candidate").agg(
        shown=pl.len(), invited=pl.col("invited").sum(), accepted=pl.col("accepted").sum()
    )
    table = pl.DataFrame({"candidate": people}).join(totals, on="candidate", how="left", maintain_order="left")
    shown, invited, accepted = (
        table[name].fill_null(0).to_numpy().astype(np.float64) for name in ("shown", "invited", "accepted")
    )
    return group_report(column, shown, accepted, invited)


def notes(found: Readout, *, holdout: float) -> list[str]:
    """What the figures say in words, and what they may hide."""
    said = []
    if found.mismatch:
        said.append(
            f"The arms have not the sizes of their shares (p = {found.sample_ratio_p:.1g}): some viewers of one arm "
            "are missing from the log. Find out why before reading anything else here."
        )
    if min(arm.viewers for arm in found.arms) < LEAST_VIEWERS:
        said.append(f"An arm has fewer than {LEAST_VIEWERS} viewers: it is too early to say anything.")
    for one in found.comparisons:
        said.extend(_of_comparison(one))
    if not holdout:
        said.append(
            "Nobody was held out as a candidate, so what an arm does to the people suggested is not measured. Both "
            "arms draw on the same people: whom one arm floods has less time for the invitations of the other, which "
            "makes the arms look more alike than they would be apart."
        )
    else:
        said.append(
            "People held out compete for places and answers with those who are not: an arm that takes places from "
            "them looks better on their side than it would be for everybody."
        )
    said.append(
        "A viewer's new friends are candidates of others: the arms meet in one graph, and what an arm does to the "
        "graph over weeks reaches the control too."
    )
    return said


def _of_comparison(one: Comparison) -> list[str]:
    gains = [metric.name for metric in one.viewer_side if metric.is_gain]
    losses = [metric.name for metric in one.viewer_side if metric.is_loss]
    said = []
    if gains or losses:
        changed = [f"better in {', '.join(gains)}"] * bool(gains) + [f"worse in {', '.join(losses)}"] * bool(losses)
        said.append(f"{one.arm}: for viewers {' and '.join(changed)}, after Holm's correction for all metrics.")
    else:
        said.append(f"{one.arm}: no difference for viewers that chance does not explain, after Holm's correction.")
    if one.candidate_side is None:
        return said
    lost = [metric.name for metric in one.candidate_side.metrics if metric.is_loss]
    won = [metric.name for metric in one.candidate_side.metrics if metric.is_gain]
    if lost and gains:
        said.append(f"{one.arm}: what viewers gain, the people suggested pay for: worse for them in {', '.join(lost)}.")
    elif lost:
        said.append(f"{one.arm}: worse for the people suggested in {', '.join(lost)}.")
    if won:
        said.append(f"{one.arm}: better for the people suggested in {', '.join(won)}.")
    return said
