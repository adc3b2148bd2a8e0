"""Joins exposures with what the viewer, and after an invite the candidate, did.

An event of the viewer belongs to the list of the request that it names; to none, if that list was not recorded, or not
this person in it. One that names no request belongs to the last list that showed the viewer this person, if that was
given out within the window before the event was acknowledged, and no list since then had people who are not recorded
(models.outcomes.schema): the person may have been one of them. An answer to an invite (`accept`, `decline`, or a
`connect` of either) belongs to the last list from which the viewer had invited the person, within a window of its own.
"""

from dataclasses import dataclass

import polars as pl

from models.outcomes.schema import OUTCOME_COLUMNS, OUTCOMES
from models.settings import Settings
from models.system.clock import DAY_US, HOUR_US

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
    return with_outcomes(exposures, events, windows, now=now).select(OUTCOME_COLUMNS.names())


def with_outcomes(
    exposures: pl.DataFrame, events: pl.DataFrame, windows: Windows, *, now: int, within: int | None = None
) -> pl.DataFrame:
    """As `join_outcomes`, of exposures that may lack columns, which are those of the answer beside the outcomes.

    Lists without people, whose rows name no candidate, tell that somebody who is not recorded was shown.

    Of what came later than `within` microseconds after the list nothing is told, so that old and young lists compare.
    """
    partly = exposures.filter(pl.col("unrecorded") > 0).select("viewer", partly_shown=pl.col("at").dt.epoch("us"))
    # a list is filed once; a client may give the lists of two contexts one id
    exposures = exposures.filter(pl.col("candidate").is_not_null())
    own = [name for name in ("request_id", "viewer", "candidate", "context") if name in exposures.columns]
    exposures = exposures.unique(own, keep="first", maintain_order=True).with_row_index(_ROW)
    shown = pl.col("at").dt.epoch("us").alias("shown")
    keys = exposures.select(_ROW, "request_id", "viewer", "candidate", shown)
    # what viewers did, and what came of their invites
    done = _of_viewers(keys, partly.unique(), events, windows)
    answered = _of_candidates(done, events, windows)
    # connected at once, without an answer to wait for
    connected = done.filter(pl.col("kind") == "connect").with_columns(outcome=pl.lit("accepted"))
    flags = pl.concat([part.select(_ROW, "outcome", "acknowledged") for part in (done, answered, connected)])
    if within is not None:
        late = pl.col("acknowledged") > pl.col("shown") + within
        flags = flags.join(keys.select(_ROW, "shown"), on=_ROW).filter(~late)
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
    ).drop(_ROW)


def _of_viewers(keys: pl.DataFrame, partly: pl.DataFrame, events: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """The events of viewers with the row of their exposure: row, kind, outcome, named, and the pair and time.

    `partly` has by viewer the times of lists that had people who are not recorded.
    """
    own = events.filter(pl.col("kind").is_in(list(OF_VIEWER))).select(
        "kind",
        "request_id",
        pl.col("user_id").alias("viewer"),
        pl.col("other_id").alias("candidate"),
        "acknowledged",
        outcome=pl.col("kind").replace_strict(OF_VIEWER, return_dtype=pl.String),
    )
    pair, kept = ["viewer", "candidate"], [_ROW, "kind", "outcome", "viewer", "candidate", "acknowledged", "named"]
    first = keys.unique(["request_id", *pair], keep="first", maintain_order=True)
    named = own.filter(pl.col("request_id").is_not_null()).join(first, on=["request_id", *pair], how="inner")
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
            coalesce=False,
            check_sortedness=False,
        )
        .filter(pl.col(_ROW).is_not_null())
        .join_asof(
            partly.sort("partly_shown"),
            left_on="acknowledged",
            right_on="partly_shown",
            by="viewer",
            strategy="backward",
            coalesce=False,
            check_sortedness=False,
        )
        .filter(pl.col("partly_shown").is_null() | (pl.col("partly_shown") <= pl.col("shown")))
    )
    return pl.concat(
        [
            named.with_columns(named=pl.lit(value=True)).select(kept),
            nameless.with_columns(named=pl.lit(value=False)).select(kept),
        ]
    )


def _of_candidates(done: pl.DataFrame, events: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """The answers to invites that came of exposures: row, outcome, acknowledged."""
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
        .select(_ROW, "outcome", "acknowledged")
    )
