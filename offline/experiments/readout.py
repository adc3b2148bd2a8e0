"""What an experiment did: to its viewers, to the people who were suggested, and what the comparison cannot show.

Outcomes are those of lists that were given out while it ran (models.outcomes.schema). Viewers count in the arm that the
hash of their id says, whatever lists they got (intention to treat), from their first list on.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict

from models.errors import PymkError
from models.experiments.assignment import arms_of
from models.experiments.experiment import Run
from offline.evaluation.exposure import Column, GroupReport, group_report
from offline.experiments.candidate_side import CandidateSide, candidate_side, concentration
from offline.experiments.group_side import GroupSide, group_side, together
from offline.experiments.metric import Metric, corrected
from offline.experiments.significance import MISMATCH, sample_ratio
from offline.experiments.viewer_side import Period, viewer_side

LEAST_VIEWERS = 100
"""viewers of an arm, or people held out, below which a readout says that it is too early"""


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
    groups: GroupSide | None = None
    """groups of the people suggested, in its lists against the control's"""


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
    groups: dict[str, GroupReport] = {}
    """by arm, the groups of the people suggested in its lists; empty without a column"""
    notes: list[str]
    """what the figures say in words, and what they may hide"""


def read_out(
    run: Run,
    outcomes: pl.DataFrame,
    before: pl.DataFrame,
    people: Sequence[str],
    now: datetime,
    column: Column | None,
) -> Readout:
    """The readout of an experiment.

    `outcomes` has the columns of OUTCOME_COLUMNS that are read here, of lists while it ran; `before`, for CUPED, of
    lists before, joined with the events up to its start alone (offline.outcomes.table.outcomes_around).
    `people` (n,) are the ids of everybody who may be suggested. Raises PymkError if no list of an arm was logged.
    """
    # lists while it ran, and in as many days before
    until = min(run.stopped_at or now, now)
    ran = outcomes.filter(pl.col("at").is_between(run.started_at, until))
    before = before.filter(pl.col("at").is_between(run.started_at - (until - run.started_at), run.started_at, "left"))
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
        viewers_side = viewer_side(both, arm.name, ran, before, period, len(run.experiment.arms) - 1)
        people_side = candidate_side(run.experiment, arm.name, ran, before, people)
        groups = None if column is None else group_side(ran, arm.name, control, people, column)
        comparisons.append(
            Comparison(arm=arm.name, viewer_side=viewers_side, candidate_side=people_side, groups=groups)
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
        comparisons=_corrected(comparisons),
        groups={} if column is None else _groups(ran, arms, people, column),
        notes=[],
    )
    return found.model_copy(update={"notes": notes(found, holdout=run.experiment.candidates.holdout)})


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values that hold for all metrics and arms of either side together, and so of groups."""
    viewers = corrected([one.viewer_side for one in comparisons])
    people = corrected([[] if (side := one.candidate_side) is None else side.metrics for one in comparisons])
    groups = iter(together([one.groups for one in comparisons if one.groups is not None]))
    return [
        one.model_copy(
            update={
                "viewer_side": own,
                "candidate_side": None if (side := one.candidate_side) is None else side.corrected(their),
                "groups": None if one.groups is None else next(groups),
            }
        )
        for one, own, their in zip(comparisons, viewers, people, strict=True)
    ]


def _counts(name: str, share: float, assigned: pl.DataFrame, ran: pl.DataFrame, people: Sequence[str]) -> ArmCounts:
    own = ran.filter(pl.col("arm") == name)
    reached, top = concentration(own["candidate"], people)
    return ArmCounts(
        name=name,
        share=share,
        viewers=int((assigned["arm"] == name).sum()),
        lists=own.select("request_id", "viewer").n_unique(),
        shown=len(own),
        reached=reached,
        top_share=top,
    )


def _groups(
    ran: pl.DataFrame, arms: Sequence[ArmCounts], people: Sequence[str], column: Column
) -> dict[str, GroupReport]:
    """By arm, exposure and acceptance by group of the people suggested; without arms if the column has a single
    group.
    """
    found = {}
    for arm in arms:
        totals = (
            ran.filter(pl.col("arm") == arm.name)
            .group_by("candidate")
            .agg(shown=pl.len(), invited=pl.col("invited").sum(), accepted=pl.col("accepted").sum())
        )
        table = pl.DataFrame({"candidate": people}).join(totals, on="candidate", how="left", maintain_order="left")
        shown, invited, accepted = (
            table[name].fill_null(0).to_numpy().astype(np.float64) for name in ("shown", "invited", "accepted")
        )
        report = group_report(column, shown, accepted, invited)
        if report is not None:
            found[arm.name] = report
    return found


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
    sides = [one.candidate_side for one in found.comparisons if one.candidate_side is not None]
    if sides and min(min(side.people, side.held_out) for side in sides) < LEAST_VIEWERS:
        said.append(
            f"Fewer than {LEAST_VIEWERS} people are held out, or not: it is too early to say anything of their side."
        )
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
        said.append(f"{one.arm}: for viewers {' and '.join(changed)}, after Holm's correction.")
    else:
        said.append(f"{one.arm}: no difference for viewers that chance does not explain, after Holm's correction.")
    said.extend(_of_events(one))
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


def _of_events(one: Comparison) -> Iterator[str]:
    """Which metrics have too few events for the usual test, or for any."""
    people = [] if one.candidate_side is None else one.candidate_side.metrics
    for side, metrics in (("per viewer", one.viewer_side), ("per person suggested", people)):
        few = [metric.name for metric in metrics if metric.few_events and metric.difference is not None]
        none = [metric.name for metric in metrics if metric.difference is None]
        if few:
            yield (
                f"{one.arm}, {side}: events are few for {', '.join(few)}, or most of them of few, so p and interval "
                "are of groups drawn anew."
            )
        if none:
            yield f"{one.arm}, {side}: no figure for {', '.join(none)}, as one of the groups has nothing to count by."
