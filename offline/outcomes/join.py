"""Joins exposures with what the viewer, and after an invite the candidate, did.

An event of the viewer belongs to the list of the request that it names. One that names none belongs to the last list
that showed the viewer this person, if that was given out within the window before the event was acknowledged. One that
names a request whose list was not recorded belongs to no list. An answer to an invite (`accept`, `decline`, or a
`connect` of either) belongs to the last list from which the viewer had invited the person, within a window of its own.
"""

from dataclasses import dataclass

import polars as pl

from models.outcomes.schema import OUTCOME_COLUMNS, OUTCOMES
from models.settings import Settings

DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
OF_VIEWER = {
    "click": "clicked",
    "view": "clicked",
    "invite": "invited",
    "connect": "invited",
    "dismiss": "dismissed",
    "block": "blocked",
    "report": "reported",
    "impression": "seen",
}
"""by kind of an event of the viewer, the outcome"""
OF_CANDIDATE = {"accept": "accepted", "connect": "accepted", "decline": "declined"}
"""by kind of an event of the candidate after an invite, the outcome"""
_ROW = "row"


@dataclass(frozen=True, slots=True)
class Windows:
    """How long events are joined to exposures, microseconds."""

    join: int = DAY_US
    """from a list to an event that names no request"""
    answer: int = 30 * DAY_US
    """from an invite to its answer"""
    ignored: int = 7 * DAY_US
    """from a list until a person with whom nothing was done counts as ignored"""

    @classmethod
    def of(cls, settings: Settings) -> "Windows":
        """The windows of these settings."""
        return cls(
            round(settings.outcome_join_hours * HOUR_US),
            round(settings.outcome_answer_days * DAY_US),
            round(settings.outcome_ignored_days * DAY_US),
        )


def join_outcomes(exposures: pl.DataFrame, events: pl.DataFrame, windows: Windows, *, now: int) -> pl.DataFrame:
    """The outcomes of exposures (models.outcomes.schema), in their order, in OUTCOME_COLUMNS.

    `events` as offline.outcomes.events.read_events gives them; `now`, microseconds, is up to when they were read. A
    person whom one request showed one viewer twice is one exposure.
    """
    exposures = exposures.unique(["request_id", "viewer", "candidate"], keep="first", maintain_order=True)
    exposures = exposures.with_row_index(_ROW)
    keys = exposures.select(_ROW, "request_id", "viewer", "candidate", pl.col("at").dt.epoch("us").alias("shown"))
    # what viewers did, and what came of their invites
    done = _of_viewers(keys, events, windows)
    answered = _of_candidates(done, events, windows)
    # connected at once, without an answer to wait for
    connected = done.filter(pl.col("kind") == "connect").with_columns(outcome=pl.lit("accepted"))
    flags = pl.concat([part.select(_ROW, "outcome") for part in (done, answered, connected)])
    # one column an outcome
    every = exposures
    for name in (*OUTCOMES, "seen"):
        rows = flags.filter(pl.col("outcome") == name)[_ROW]
        every = every.with_columns(pl.col(_ROW).is_in(rows.implode()).alias(name))
    by_request = done.filter(pl.col("named"))[_ROW].implode()
    by_viewer = done.filter(~pl.col("named"))[_ROW].implode()
    is_over = pl.col("at").dt.epoch("us") + windows.ignored <= now
    has_any = pl.any_horizontal(*OUTCOMES)
    return every.with_columns(
        ignored=pl.when(has_any).then(pl.lit(value=False)).when(is_over).then(pl.lit(value=True)),
        joined_by=pl.when(pl.col(_ROW).is_in(by_request))
        .then(pl.lit("request_id"))
        .when(pl.col(_ROW).is_in(by_viewer))
        .then(pl.lit("viewer")),
    ).select(OUTCOME_COLUMNS.names())


def _of_viewers(keys: pl.DataFrame, events: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """The events of viewers with the row of their exposure: row, kind, outcome, named, and the pair and time."""
    own = events.filter(pl.col("kind").is_in(list(OF_VIEWER))).select(
        "kind",
        "request_id",
        pl.col("user_id").alias("viewer"),
        pl.col("other_id").alias("candidate"),
        "acknowledged",
        outcome=pl.col("kind").replace_strict(OF_VIEWER, return_dtype=pl.String),
    )
    pair, kept = ["viewer", "candidate"], [_ROW, "kind", "outcome", "viewer", "candidate", "acknowledged", "named"]
    named = own.filter(pl.col("request_id").is_not_null()).join(keys, on=["request_id", *pair], how="inner")
    nameless = (
        own.filter(pl.col("request_id").is_null())
        .drop("request_id")
        .sort("acknowledged")
        .join_asof(
            keys.drop("request_id").sort("shown"),
            left_on="acknowledged",
            right_on="shown",
            by=pair,
            strategy="backward",
            tolerance=windows.join,
            check_sortedness=False,
        )
        .filter(pl.col(_ROW).is_not_null())
    )
    return pl.concat(
        [
            named.with_columns(named=pl.lit(value=True)).select(kept),
            nameless.with_columns(named=pl.lit(value=False)).select(kept),
        ]
    )


def _of_candidates(done: pl.DataFrame, events: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """The answers to invites that came of exposures: row, outcome."""
    invites = (
        done.filter(pl.col("kind") == "invite")
        .select(_ROW, "viewer", "candidate", pl.col("acknowledged").alias("invited_at"))
        .sort("invited_at")
    )
    answers = events.filter(pl.col("kind").is_in(list(OF_CANDIDATE)))
    sides = [answers.select("kind", "acknowledged", viewer="other_id", candidate="user_id")]
    sides.append(
        answers.filter(pl.col("kind") == "connect").select(
            "kind", "acknowledged", viewer="user_id", candidate="other_id"
        )
    )
    return (
        pl.concat(sides)
        .sort("acknowledged")
        .join_asof(
            invites,
            left_on="acknowledged",
            right_on="invited_at",
            by=["viewer", "candidate"],
            strategy="backward",
            tolerance=windows.answer,
            check_sortedness=False,
        )
        .filter(pl.col(_ROW).is_not_null())
        .with_columns(outcome=pl.col("kind").replace_strict(OF_CANDIDATE, return_dtype=pl.String))
        .select(_ROW, "outcome")
    )
