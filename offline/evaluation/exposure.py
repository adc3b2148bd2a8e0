"""Exposure: how many users the lists show, how evenly, how popular they are, and which groups."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.arrays import Float64s

PERMUTATIONS = 999


class Exposure(BaseModel):
    """The exposure of one method's lists."""

    model_config = ConfigDict(frozen=True)

    coverage: float
    """share of the suggestible users that appear in a list"""

    gini: float
    """inequality of how often each is shown: 0 if all as often, towards 1 if a few alone"""

    mean_degree: float
    """mean friends of the shown users, over all positions of all lists"""


def exposure(lists: NDArray[np.int32], degrees: NDArray[np.int32], shown: NDArray[np.bool_] | None = None) -> Exposure:
    """The exposure of lists (U, k), -1 for an empty position; `shown` (n,) marks the suggestible users, default all."""
    n = len(degrees)
    listed = lists[lists >= 0]
    times = np.bincount(listed, minlength=n)
    possible = times if shown is None else times[shown]
    return Exposure(
        coverage=float((possible > 0).mean()) if len(possible) else 0.0,
        gini=gini(possible),
        mean_degree=float(degrees[listed].mean()) if len(listed) else 0.0,
    )


def gini(amounts: NDArray[np.integer]) -> float:
    """The Gini coefficient of (m,) amounts, none negative; 0 if all are 0 (Gini 1912)."""
    total, m = float(amounts.sum()), len(amounts)
    if not total:
        return 0.0
    rising = np.sort(amounts).astype(np.float64)
    return float((2 * np.arange(1, m + 1) - m - 1) @ rising / (m * total))


class Column(NamedTuple):
    """A profile column whose groups are compared."""

    name: str
    values: Sequence[str]
    """of each code"""
    codes: NDArray[np.int64]
    """(n,) by person, -1 for none"""


class GroupRow(BaseModel):
    """The people with one value of the compared column."""

    model_config = ConfigDict(frozen=True)

    value: str
    people: int
    shown: float
    """times a person was shown"""
    accepted: float | None
    """in a readout accepted invitations by invitation received, in a report held-out friendships by time shown; None if
    there was none to count by"""


class GroupReport(BaseModel):
    """Exposure and acceptance by group, the largest first."""

    model_config = ConfigDict(frozen=True)

    column: str
    rows: list[GroupRow]
    p_shown: float
    """permutation test: how likely groups differ as much by chance in how often they are shown"""
    p_accepted: float


def group_report(column: Column, shown: Float64s, accepted: Float64s, received: Float64s) -> GroupReport | None:
    """Compares the groups of a column by three numbers of each person (n,); None if there are fewer than two groups."""
    known = np.flatnonzero(column.codes >= 0)
    present = np.unique(column.codes[known])
    if len(present) < 2:
        return None
    groups = np.searchsorted(present, column.codes[known]).astype(np.int64)
    exposure = by_group(groups, shown[known], np.ones(len(known)))
    acceptance = by_group(groups, accepted[known], received[known])
    rows = [
        GroupRow(
            value=column.values[int(code)],
            people=int((groups == at).sum()),
            shown=float(exposure.rates[at]),
            accepted=None if np.isnan(acceptance.rates[at]) else float(acceptance.rates[at]),
        )
        for at, code in enumerate(present)
    ]
    rows.sort(key=lambda row: -row.people)
    return GroupReport(column=column.name, rows=rows, p_shown=exposure.p, p_accepted=acceptance.p)


class Groups(NamedTuple):
    """A rate by group, and how likely groups differ as much by chance."""

    rates: Float64s
    """(g,) sum of numerators over sum of denominators; NaN for a group without any"""
    p: float
    """share of permutations, the true one included, whose groups differ at least as much"""


def by_group(
    groups: NDArray[np.int64],
    numerator: Float64s,
    denominator: Float64s,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Groups:
    """The rate of each group, and a permutation test of whether the rates are those of one group (Fisher 1935).

    `groups` (n,) are the groups of n people from 0, and the numbers (n,) each person's; with denominators of 1 the rate
    is a mean. The statistic is the spread of the rates, weighted by denominators; the test shuffles who is in which
    group, so that it holds with any distribution of the numbers.
    """
    size = int(groups.max()) + 1 if len(groups) else 0
    total = float(denominator.sum())
    if size < 2 or not total:
        sums = _sums(groups, denominator, size)
        return Groups(_ratio(_sums(groups, numerator, size), sums), 1.0)
    overall = float(numerator.sum()) / total

    def spread(labels: NDArray[np.int64]) -> tuple[Float64s, float]:
        above = _sums(labels, numerator, size)
        below = _sums(labels, denominator, size)
        rates = _ratio(above, below)
        return rates, float(np.nansum(below * (rates - overall) ** 2))

    rates, observed = spread(groups)
    random = np.random.default_rng(seed)
    # relative, so that sums in another order are not larger by rounding
    larger = sum(spread(random.permutation(groups))[1] >= observed * (1 - 1e-9) for _ in range(permutations))
    return Groups(rates, (larger + 1) / (permutations + 1))


def _sums(groups: NDArray[np.int64], numbers: Float64s, size: int) -> Float64s:
    """(g,) sums of numbers by group."""
    return np.asarray(np.bincount(groups, weights=numbers, minlength=size), dtype=np.float64)


def _ratio(above: Float64s, below: Float64s) -> Float64s:
    """(g,) quotients, NaN where nothing is below."""
    out: Float64s = np.full(len(above), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out
