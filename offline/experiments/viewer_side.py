"""What an arm did to its viewers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

import numpy as np
import polars as pl

from models.arrays import Float64s
from offline.experiments.differences import LEVEL
from offline.experiments.metric import Metric, daily_metric, rate_metric

DAY = timedelta(days=1)
COUNTS = (("shown", 0), ("clicked", 1), ("invited", 1), ("accepted", 1), ("dismissed", -1), ("blocked_or_reported", -1))
"""per viewer, and whether more is better"""
RATES = (("accepted_per_shown", "accepted", "shown"), ("accepted_per_invited", "accepted", "invited"))
"""name, numerator and denominator"""


class Period(NamedTuple):
    """When an experiment ran."""

    start: datetime
    end: datetime

    @property
    def days(self) -> int:
        """Days, the last counted as whole."""
        return max(1, ceil((self.end - self.start) / DAY))


def viewer_side(
    assigned: pl.DataFrame, arm: str, ran: pl.DataFrame, before: pl.DataFrame, period: Period, arms: int = 1
) -> list[Metric]:
    """The metrics per viewer of an arm against the control, each for itself but for the always-valid intervals, which
    hold for all metrics of so many arms.

    `assigned` has `viewer` and `arm` of these two arms alone. Viewers count from the day of their first list.
    """
    # one row for each viewer, in this order
    order = assigned.with_row_index("unit").select("viewer", "unit")
    treated = (assigned["arm"] == arm).to_numpy()
    names = [name for name, _ in COUNTS]
    day = ((pl.col("at") - period.start).dt.total_seconds() // 86400).clip(0, period.days - 1).alias("day")
    by_day = (
        ran.join(order, on="viewer")
        .with_columns(day)
        .group_by("unit", "day")
        .agg(*sums())
        .select("unit", "day", *names)
    )
    earlier = before.join(order, on="viewer").group_by("unit").agg(*sums()).select("unit", *names)
    unit, at = (by_day[name].to_numpy().astype(np.int64) for name in ("unit", "day"))
    arrived = np.full(len(order), period.days - 1)
    np.minimum.at(arrived, unit, at)
    # counts, by day and before
    n, level = len(order), 1 - (1 - LEVEL) / (arms * len(COUNTS))
    daily: dict[str, Float64s] = {}
    past: dict[str, Float64s] = {}
    for name in names:
        daily[name] = np.zeros((n, period.days))
        daily[name][unit, at] = by_day[name].to_numpy()
        past[name] = np.zeros(n)
        past[name][earlier["unit"].to_numpy()] = earlier[name].to_numpy()
    found = [daily_metric(name, better, daily[name], past[name], arrived, treated, level) for name, better in COUNTS]
    # rates, as ratios of sums
    total = {name: values.sum(axis=1) for name, values in daily.items()}
    for name, above, below in RATES:
        found.append(rate_metric(name, 1, total[above], total[below], past[above], treated))
    return found


def sums() -> Sequence[pl.Expr]:
    """The counts of a group of outcomes."""
    negative = (pl.col("blocked") | pl.col("reported")).cast(pl.Int64).sum().alias("blocked_or_reported")
    kinds = ("clicked", "invited", "accepted", "declined", "dismissed")
    return [pl.len().alias("shown"), *(pl.col(name).cast(pl.Int64).sum() for name in kinds), negative]
