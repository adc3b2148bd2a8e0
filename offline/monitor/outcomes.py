"""What came of the lists of some days: by source, by tenth of the probability, and how the lists were served.

A list counts once its window has closed, `ignored` of offline.outcomes.join.Windows after it was given out, and with
what came of it by then: so lists are of the same age in every comparison, and nobody is refused who may still be
accepted. Of the places the first are compared, so that longer lists are no drift, and a person who is shown to a viewer
again on the same day counts once, so that pages loaded again are none either.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from models.arrays import Float64s
from models.outcomes.schema import EXPOSURE_COLUMNS, FEATURES, NONE
from models.system.clock import DAY_US
from offline.monitor.outcome_reference import OutcomeReference, ServedReference, ShownReference
from offline.outcomes.join import Windows, with_outcomes

READ = tuple(name for name in EXPOSURE_COLUMNS if name not in (*FEATURES, "codes", "propensity", "arms"))
"""columns of an exposure that are read"""
THEN_DAYS, NOW_DAYS = 28, 14
"""days of lists that a version keeps the sums of, and that are compared with them, at most: whole weeks, since people
are another way at weekends"""
WEEK_US = 7 * DAY_US
PLACES = 10
"""first places of a list"""
TENTHS = 10
LEAST_ACCEPTED = 30
"""accepted invites without which a share of acceptance is not kept"""
LEAST_VIEWERS = 10
"""viewers without whose acceptances it is not, so that no sum tells what one person did"""
LEAST_NAMED = 5
"""fewest viewers whose lists of one kind are counted"""
RANKED = ("ranked", "cache")
"""ways of serving a list whose probabilities are the ranker's"""
KINDS = ("stale", "cold_start", "empty")
"""ways of serving that say how the service does"""

Sums = Callable[[pl.DataFrame], ShownReference | None]


@dataclass(frozen=True)
class OutcomeLog:
    """Exposures (READ) and events (offline.outcomes.events) of the same time."""

    exposures: pl.DataFrame
    events: pl.DataFrame
    windows: Windows
    now: int
    """up to when they were read, microseconds"""


def first_needed(windows: Windows, now: int, then: OutcomeReference | None) -> int:
    """From when on lists are needed, to be kept and to be compared with those that a version keeps; microseconds."""
    first = now - windows.ignored - THEN_DAYS * DAY_US
    return first if then is None else min(first, now - then.window - NOW_DAYS * DAY_US)


def outcome_reference(log: OutcomeLog) -> OutcomeReference:
    """What a version keeps of the days before its night."""
    window = log.windows.ignored
    closed, start = log.now - window, first_needed(log.windows, log.now, None)
    return _reference(log, window, (start, closed), (start, log.now), _told)


def later_outcomes(log: OutcomeLog, then: OutcomeReference) -> OutcomeReference:
    """The same of the lists that a reference does not have: acceptance of those whose window closed since, by whole
    weeks, and how lists were served since, of the latest days.

    Less than half a day from a week counts as one: nights do not begin to the minute.
    """
    closed = log.now - then.window
    weeks = (log.now - then.until + DAY_US // 2) // WEEK_US
    start = max(then.until - then.window, closed - min(weeks * WEEK_US, NOW_DAYS * DAY_US))
    return _reference(log, then.window, (start, closed), (max(then.until, closed), log.now), _sums)


def waiting(log: OutcomeLog, then: OutcomeReference) -> ShownReference | None:
    """The people in lists that a reference does not have and whose window is open, by the ranker's probabilities."""
    young = _between(log.exposures, max(then.until, log.now - then.window), log.now)
    return _sums(_scored(_daily(young.with_columns(invited=pl.lit(value=False), accepted=pl.lit(value=False)))))


def _reference(
    log: OutcomeLog, window: int, closed: tuple[int, int], served: tuple[int, int], sums: Sums
) -> OutcomeReference:
    """The sums of lists whose window closed, and of how lists were served, of those after one time up to another."""
    old = _between(log.exposures, *closed)
    shown = _daily(with_outcomes(old, log.events, log.windows, now=log.now, within=window))
    # by source, by tenth, and all
    by_source = shown.explode("sources").filter(pl.col("sources").is_not_null())
    sources = {str(name): sums(own) for (name,), own in sorted(by_source.group_by("sources"), key=lambda one: one[0])}
    scored = _scored(shown)
    tenth = (pl.col("score").rank("ordinal") * TENTHS / pl.len()).ceil().cast(pl.Int64)
    of_tenth = scored.with_columns(tenth=tenth).partition_by("tenth", as_dict=True)
    deciles = [sums(of_tenth[at,]) if (at,) in of_tenth else None for at in range(1, TENTHS + 1)]
    # how lists were served
    lists = _between(log.exposures, *served).unique(["request_id", "viewer"])
    viewers = lists["viewer"].n_unique()
    kinds = {kind: _served(lists, kind) for kind in KINDS}
    return OutcomeReference(
        until=log.now,
        window=window,
        sources={name: told for name, told in sources.items() if told is not None},
        deciles=deciles,
        scored=sums(scored),
        lists=len(lists),
        viewers=viewers,
        served={kind: found for kind, found in kinds.items() if found is not None},
    )


def _between(exposures: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    """The exposures of lists after one time and up to another, microseconds."""
    at = pl.col("at").dt.epoch("us")
    return exposures.filter((at > start) & (at <= end))


def _daily(shown: pl.DataFrame) -> pl.DataFrame:
    """Each person whom a viewer saw in the first places on a day, as first shown; accepted, if any time."""
    place = pl.col("position").cast(pl.Int64) + pl.col("offset").cast(pl.Int64).fill_null(0)
    is_ranked = pl.col("served").is_in(RANKED) & (pl.col("draw") == NONE)
    return (
        shown.filter(pl.col("candidate").is_not_null(), place <= PLACES)
        .group_by("viewer", "candidate", pl.col("at").dt.date().alias("day"), maintain_order=True)
        .agg(
            pl.col("score", "sources").first(),
            is_ranked.first().alias("is_ranked"),
            pl.col("invited", "accepted").any(),
        )
    )


def _scored(daily: pl.DataFrame) -> pl.DataFrame:
    """Those whose probability is the ranker's."""
    return daily.filter(pl.col("is_ranked").fill_null(value=False) & pl.col("score").is_finite().fill_null(value=False))


def _told(shown: pl.DataFrame) -> ShownReference | None:
    """The sums of some people; None if too few accepted, or for too few viewers."""
    accepted = shown.filter("accepted")
    if len(accepted) < LEAST_ACCEPTED or accepted["viewer"].n_unique() < LEAST_VIEWERS:
        return None
    return _sums(shown)


def _sums(shown: pl.DataFrame) -> ShownReference | None:
    """The sums of some people shown to LEAST_VIEWERS or more; spreads are over viewers (ratio estimators, Cochran 1977,
    chapter 6).
    """
    by_viewer = shown.group_by("viewer").agg(
        pl.len(), pl.col("invited").sum(), pl.col("accepted").sum(), pl.col("score").cast(pl.Float64).sum()
    )
    if len(by_viewer) < LEAST_VIEWERS:
        return None
    n, accepted, score = (by_viewer[name].to_numpy().astype(np.float64) for name in ("len", "accepted", "score"))
    total, came, promised = n.sum(), accepted.sum(), score.sum()
    squares = _squares(score, n)
    return ShownReference(
        viewers=len(by_viewer),
        shown=int(total),
        invited=int(by_viewer["invited"].sum()),
        accepted=int(came),
        promised=round(float(promised), 6),
        spread=round(max(_squares(accepted, n) / max(came, 1), 1.0), 6),
        promised_spread=round(max(_squares(accepted, score) / max(came, 1), 1.0), 6),
        promised_error=float(f"{np.sqrt(squares) / total:.6g}"),
    )


def _squares(numbers: Float64s, among: Float64s) -> float:
    """The sum over viewers of how far they are from the ratio of all, squared."""
    ratio = numbers.sum() / max(among.sum(), 1e-9)
    return float(np.square(numbers - ratio * among).sum()) * len(numbers) / max(len(numbers) - 1, 1)


def _served(lists: pl.DataFrame, kind: str) -> ServedReference | None:
    """The lists that were served in one way; None if so few viewers got them that they are not counted."""
    of_kind = pl.col("served") == kind
    by_viewer = lists.group_by("viewer").agg(pl.len(), of_kind.sum().alias("own"))
    n, own = (by_viewer[name].to_numpy().astype(np.float64) for name in ("len", "own"))
    if int((own > 0).sum()) < LEAST_NAMED:
        return None
    share = own.sum() / n.sum()
    alone = n.sum() * max(share * (1 - share), 1e-9)
    return ServedReference(lists=int(own.sum()), spread=round(max(_squares(own, n) / alone, 1.0), 6))
