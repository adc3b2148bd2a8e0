"""Rates of outcomes, of all exposures and by source, decile of the score, position, context and arm."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from models.outcomes.schema import OUTCOMES

GROUPS = ("source", "score_decile", "position", "context", "arm", "served", "draw")
MOST_POSITIONS = 20
"""positions with a line of their own; later ones share one"""
NO_ARM = "none"


def rates(outcomes: pl.DataFrame) -> dict[str, Any]:
    """The rates of a table of outcomes (models.outcomes.schema), as JSON values.

    `all` and each line of `by` have the exposures (`shown`), for each outcome the share of them (null without any),
    and `accepted_of_invited`. A person whom several sources found counts under each of them, likewise arms. Deciles
    are of the score among all exposures, 1 the lowest.
    """
    times = outcomes.select(pl.col("at").min().alias("first"), pl.col("at").max().alias("last")).row(0)
    return {
        "lists": outcomes.select(pl.struct("request_id", "viewer").n_unique()).item() if len(outcomes) else 0,
        "viewers": outcomes["viewer"].n_unique(),
        "from": times[0].isoformat() if times[0] is not None else None,
        "to": times[1].isoformat() if times[1] is not None else None,
        "all": _line(outcomes),
        "by": {group: _lines(_grouped(outcomes, group), group) for group in GROUPS},
    }


def _grouped(outcomes: pl.DataFrame, group: str) -> pl.DataFrame:
    """The outcomes with the value of their group in a column of its name."""
    if group == "source":
        return outcomes.explode("sources").with_columns(source="sources").filter(pl.col("source").is_not_null())
    if group == "score_decile":
        rank = pl.col("score").rank("max") / pl.len()
        return outcomes.with_columns(score_decile=(rank * 10).ceil().clip(1, 10).cast(pl.Int64))
    if group == "position":
        # in the whole list: a later page begins below the people before it
        place = pl.col("position").cast(pl.Int64) + pl.col("offset").cast(pl.Int64).fill_null(0)
        return outcomes.with_columns(position=pl.min_horizontal(place, MOST_POSITIONS + 1))
    if group == "arm":
        arm = pl.format("{}={}", pl.col("arms").struct.field("experiment"), pl.col("arms").struct.field("arm"))
        named = outcomes.explode("arms", empty_as_null=True, keep_nulls=True).with_columns(
            arm=pl.when(pl.col("arms").is_not_null()).then(arm)
        )
        return named.with_columns(pl.col("arm").fill_null(NO_ARM))
    return outcomes


def _lines(grouped: pl.DataFrame, group: str) -> list[dict[str, Any]]:
    """One line for each value of a column, in the order of the values."""
    return [{"value": value, **_line(own)} for (value,), own in sorted(grouped.group_by(group), key=lambda one: one[0])]


def _line(outcomes: pl.DataFrame) -> Mapping[str, Any]:
    shown, invited = len(outcomes), int(outcomes["invited"].sum())
    shares = {name: int(outcomes[name].sum()) / shown if shown else None for name in (*OUTCOMES, "seen")}
    decided = outcomes["ignored"].drop_nulls()
    return {
        "shown": shown,
        **shares,
        "ignored": float(decided.sum()) / len(decided) if len(decided) else None,
        "accepted_of_invited": int((outcomes["accepted"] & outcomes["invited"]).sum()) / invited if invited else None,
    }
