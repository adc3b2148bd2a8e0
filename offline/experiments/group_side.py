"""Whether an arm shows groups of people otherwise than the control, and whether their invitations are accepted so."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.arrays import Float64s
from offline.evaluation.exposure import PERMUTATIONS, Column
from offline.experiments.significance import holm

_CELLS_AT_ONCE = 1 << 22
MOST_GROUPS = 50
"""values that are told apart, those that are shown most"""
OTHERS = "all others"


class GroupOfArm(BaseModel):
    """The people with one value of the compared column, in the lists of an arm and of the control."""

    model_config = ConfigDict(frozen=True)

    value: str
    control: float
    """share of the control's places that they have"""
    treatment: float
    accepted_control: float | None
    """accepted of invited; None: nobody of them was invited"""
    accepted_treatment: float | None


class GroupSide(BaseModel):
    """Groups in the lists of an arm against those of the control, by falling share of the control's places."""

    model_config = ConfigDict(frozen=True)

    column: str
    rows: list[GroupOfArm]
    p_shown: float
    """permutation test: how likely the shares of the places differ as much by chance; viewers change arms"""
    p_accepted: float
    """the same of what is accepted"""


def group_side(ran: pl.DataFrame, arm: str, control: str, people: Sequence[str], column: Column) -> GroupSide | None:
    """Groups in the lists of two arms; None if the column has a single group, or an arm has shown nobody of it.

    The test is of viewers, who were drawn: which arm they are in is drawn anew.
    """
    codes = pl.DataFrame({"candidate": people, "code": column.codes}, schema={"candidate": pl.String, "code": pl.Int64})
    known = ran.filter(pl.col("arm").is_in([arm, control])).join(codes.filter(pl.col("code") >= 0), on="candidate")
    most = known.group_by("code").len().sort("len", "code", descending=[True, False])["code"].head(MOST_GROUPS)
    known = known.with_columns(code=pl.when(pl.col("code").is_in(most.implode())).then("code").otherwise(-1))
    present = known["code"].unique().sort().to_numpy()
    viewers = known["viewer"].unique(maintain_order=True)
    if len(present) < 2:
        return None
    # (v, 3, g): shown, invited and accepted of each viewer and group
    sums = known.group_by("viewer", "code").agg(
        pl.col("arm").first(), shown=pl.len(), invited=pl.col("invited").sum(), accepted=pl.col("accepted").sum()
    )
    at = sums.join(viewers.to_frame().with_row_index("unit"), on="viewer", maintain_order="left")["unit"].to_numpy()
    counts, treated = np.zeros((len(viewers), 3, len(present))), np.zeros(len(viewers), dtype=np.bool_)
    group = np.searchsorted(present, sums["code"].to_numpy())
    for part, name in enumerate(("shown", "invited", "accepted")):
        counts[at, part, group] = sums[name].to_numpy()
    treated[at] = (sums["arm"] == arm).to_numpy()
    if treated.all() or not treated.any():
        return None
    shares, rates = _of_arms(counts[treated].sum(axis=0)[None], counts.sum(axis=0))
    p_shown, p_accepted = _p_values(counts, treated)
    rows = [
        GroupOfArm(
            value=OTHERS if code < 0 else column.values[int(code)],
            control=float(shares[0, 0, one]),
            treatment=float(shares[1, 0, one]),
            accepted_control=_known(rates[0, 0, one]),
            accepted_treatment=_known(rates[1, 0, one]),
        )
        for one, code in enumerate(present)
    ]
    rows.sort(key=lambda row: -row.control)
    return GroupSide(column=column.name, rows=rows, p_shown=p_shown, p_accepted=p_accepted)


def together(sides: Sequence[GroupSide]) -> list[GroupSide]:
    """The sides of all arms, with p-values that hold for all of them together (Holm)."""
    adjusted = holm(np.array([p for side in sides for p in (side.p_shown, side.p_accepted)])).reshape(-1, 2)
    return [
        side.model_copy(update={"p_shown": float(shown), "p_accepted": float(accepted)})
        for side, (shown, accepted) in zip(sides, adjusted, strict=True)
    ]


def _of_arms(sums: Float64s, total: Float64s) -> tuple[Float64s, Float64s]:
    """(2, m, g) of control and treatment: shares of the places, and accepted of invited, NaN without any.

    `sums` (m, 3, g) are those of the treatment, `total` (3, g) of both.
    """
    both = np.stack([total - sums, sums])
    shown, invited, accepted = both[:, :, 0], both[:, :, 1], both[:, :, 2]
    shares = shown / np.maximum(shown.sum(axis=2, keepdims=True), 1)
    return shares, np.divide(accepted, invited, out=np.full_like(accepted, np.nan), where=invited > 0)


def _p_values(counts: Float64s, treated: NDArray[np.bool_], seed: int = 0) -> tuple[float, float]:
    """Share of the draws of the arms, the true one included, whose groups differ at least as much."""
    n, total, random = len(counts), counts.sum(axis=0), np.random.default_rng(seed)
    places, flat = total[0] / total[0].sum(), counts.reshape(n, -1)

    def spreads(sums: Float64s) -> Float64s:
        """(m, 2) how far the arms are apart in places and in what is accepted."""
        shares, rates = _of_arms(sums.reshape(-1, *total.shape), total)
        shown = ((shares[1] - shares[0]) ** 2 / places).sum(axis=1)
        return np.column_stack([shown, np.nansum(total[1] * (rates[1] - rates[0]) ** 2, axis=1)])

    observed = spreads(treated.astype(np.float64) @ flat)[0]
    larger, step = np.zeros(2), max(_CELLS_AT_ONCE // n, 1)
    for start in range(0, PERMUTATIONS, step):
        count = min(step, PERMUTATIONS - start)
        drawn = random.permuted(np.tile(treated, (count, 1)), axis=1).astype(np.float64)
        # relative, so that sums in another order are not larger by rounding
        larger += (spreads(drawn @ flat) >= observed * (1 - 1e-9)).sum(axis=0)
    p = (larger + 1) / (PERMUTATIONS + 1)
    return float(p[0]), float(p[1])


def _known(rate: float) -> float | None:
    return None if np.isnan(rate) else float(rate)
