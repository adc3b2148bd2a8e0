"""What an arm did to the people who were suggested: those whom it may touch against those held out."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from models.arrays import Float64s
from models.experiments.assignment import held_out
from models.experiments.experiment import Experiment
from offline.experiments.metric import Metric, metric, rate_metric
from offline.experiments.viewer_side import sums


class CandidateSide(BaseModel):
    """People touched by an arm against people held out; both as they were shown in the lists of that arm."""

    model_config = ConfigDict(frozen=True)

    people: int
    held_out: int
    metrics: list[Metric]
    """per person; `control` are the people held out"""

    def corrected(self, metrics: Sequence[Metric]) -> "CandidateSide":
        """The same with these metrics."""
        return self.model_copy(update={"metrics": list(metrics)})


def candidate_side(
    experiment: Experiment, arm: str, ran: pl.DataFrame, before: pl.DataFrame, people: Sequence[str]
) -> CandidateSide | None:
    """The metrics per person in the lists of an arm, each for itself; None if (almost) nobody is held out.

    `accepted_per_invited` says whether people can answer what they get, `reached` whether any invitation got to them.
    """
    held = held_out(experiment, people)
    if min(int(held.sum()), int((~held).sum())) < 2:
        return None
    treated = ~held
    now, past = _totals(ran.filter(pl.col("arm") == arm), people), _totals(before, people)
    found = [
        metric(name, better, now[name], past[name], treated)
        for name, better in (("shown", 0), ("invited", 1), ("accepted", 1), ("declined", -1))
    ]
    found.append(metric("reached", 1, (now["invited"] > 0).astype(np.float64), past["invited"], treated))
    nothing = np.zeros(len(people))
    found.append(rate_metric("accepted_per_invited", 1, now["accepted"], now["invited"], nothing, treated))
    return CandidateSide(people=int(treated.sum()), held_out=int(held.sum()), metrics=found)


def _totals(outcomes: pl.DataFrame, people: Sequence[str]) -> dict[str, Float64s]:
    """By count, (n,) of each person."""
    totals = outcomes.group_by("candidate").agg(*sums())
    table = pl.DataFrame({"candidate": people}).join(totals, on="candidate", how="left", maintain_order="left")
    return {
        name: table[name].fill_null(0).to_numpy().astype(np.float64)
        for name in ("shown", "invited", "accepted", "declined")
    }


def concentration(candidates: pl.Series, people: Sequence[str]) -> tuple[float, float]:
    """Share of the people who were shown at all, and share of the places that went to the most shown hundredth."""
    if not len(candidates) or not len(people):
        return 0.0, 0.0
    times = np.sort(candidates.value_counts()["count"].to_numpy())[::-1]
    top = max(1, len(people) // 100)
    return min(1.0, len(times) / len(people)), float(times[:top].sum() / times.sum())
