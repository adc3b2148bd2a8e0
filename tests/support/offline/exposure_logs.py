"""Made exposure logs: viewers of known habits, and what comes of the lists that they are given."""

import datetime
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.outcomes.schema import EXPOSURE_COLUMNS
from models.system.clock import DAY_US, HOUR_US
from offline.monitor.outcomes import READ, OutcomeLog
from offline.outcomes.events import EVENT_COLUMNS
from offline.outcomes.join import Windows

START = 1_790_035_200_000_000
"""when a log begins, microseconds: midnight"""
PLACES = 10
SOURCES = ("embedding", "friends_of_friends", "random_walk")
_FOUND = pl.Series(
    [[name for at, name in enumerate(SOURCES) if bits >> at & 1] for bits in range(1 << len(SOURCES))],
    dtype=pl.List(pl.String),
)
"""by bits, the sources of a person"""
_MADE = ("request_id", "at", "served", "viewer", "candidate", "position", "offset", "score", "sources", "draw")
"""columns that are not null"""
_ANSWERED = (2 * HOUR_US, 60 * HOUR_US)
"""from an invite to its answer"""


@dataclass(frozen=True)
class Habits:
    """How lists come about, and what comes of them."""

    accepted: float = 0.5
    """acceptances for each that the probabilities promise"""
    of_source: tuple[str, float] = ("", 1.0)
    """a source, and a factor on the acceptances of people whom it found"""
    promise: float = 1.0
    """factor on the probabilities that are shown"""
    stale: float = 0.01
    cold_start: float = 0.05
    empty: float = 0.02
    """shares of the lists"""


def outcome_log(
    days: int, seed: int, habits: Habits, later: Habits | None = None, *, drifted: int = 0, viewers: int = 200
) -> OutcomeLog:
    """The log of so many days, from day `drifted` on by the habits `later`.

    Some viewers accept far more than others, so that what they do is not independent. A viewer asks on two days in
    three, and one ranked list in three is given again five minutes later.
    """
    random = np.random.default_rng(seed)
    eager, nothing = random.gamma(2, 0.5, viewers), pl.DataFrame(schema=EVENT_COLUMNS)
    made = [_day(random, day, eager, later if later is not None and day >= drifted else habits) for day in range(days)]
    events = pl.concat([nothing, *(own for _, own in made)])
    return at_day(OutcomeLog(pl.concat([own for own, _ in made]), events, Windows(), 0), days)


def at_day(log: OutcomeLog, day: int) -> OutcomeLog:
    """A log as it was at the beginning of a day."""
    now = START + day * DAY_US
    return OutcomeLog(
        log.exposures.filter(pl.col("at").dt.epoch("us") <= now).sort("at", maintain_order=True),
        log.events.filter(pl.col("acknowledged") <= now).sort("acknowledged"),
        log.windows,
        now,
    )


def _having(source: str) -> list[int]:
    """The bits of people whom a source found."""
    return [bits for bits, found in enumerate(_FOUND.to_list()) if source in found]


def _day(
    random: np.random.Generator, day: int, eager: NDArray[np.float64], own: Habits
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The lists of a day, and the events that follow from them: acceptances two to sixty hours after their invites."""
    viewers = np.flatnonzero(random.random(len(eager)) < 2 / 3)
    poor = [own.stale, own.cold_start, own.empty]
    served = random.choice(["stale", "cold_start", "empty", "ranked"], len(viewers), p=[*poor, 1 - sum(poor)])
    at = START + day * DAY_US + random.integers(DAY_US - HOUR_US, size=len(viewers))
    scores = -np.sort(-np.clip(random.beta(1, 6, (len(viewers), PLACES)), 0.001, 0.45), axis=1)
    found = random.integers(1, len(_FOUND), len(viewers) * PLACES)
    lists = pl.DataFrame(
        {
            "request_id": [f"r{day}-{viewer}" for viewer in viewers.tolist()],
            "at": pl.Series(at, dtype=EXPOSURE_COLUMNS["at"]),
            "served": served.tolist(),
            "viewer": [f"v{viewer}" for viewer in viewers.tolist()],
        }
    )
    position = pl.Series("position", np.tile(np.arange(1, PLACES + 1), len(viewers)), dtype=pl.UInt16)
    exposures = (
        lists[np.repeat(np.arange(len(viewers)), PLACES).tolist()]
        .with_columns(
            position,
            candidate=pl.format("c-{}-{}", "request_id", position),
            offset=pl.lit(0, pl.UInt16),
            score=pl.Series(scores.ravel() * own.promise, dtype=pl.Float32),
            sources=_FOUND.gather(found),
            draw=pl.lit("none"),
        )
        .with_columns(pl.lit(None, EXPOSURE_COLUMNS[name]).alias(name) for name in READ if name not in _MADE)
        .select(READ)
    )
    # what viewers and those invited do
    source, factor = own.of_source
    factors = np.where(np.isin(found, _having(source)), factor, 1.0)
    likely = scores.ravel() * own.accepted * np.repeat(eager[viewers], PLACES) * factors
    is_invited = (random.random(len(likely)) < 1.5 * likely) & (np.repeat(served, PLACES) != "empty")
    is_accepted = is_invited & (random.random(len(likely)) < 2 / 3)
    invited_at = np.repeat(at, PLACES) + HOUR_US
    answered_at = invited_at + random.integers(*_ANSWERED, len(likely))
    pairs = exposures.select("request_id", "viewer", "candidate").with_columns(invited=invited_at, answered=answered_at)
    events = pl.concat(
        [
            pairs.filter(pl.Series(is_invited)).select(
                kind=pl.lit("invite"),
                user_id="viewer",
                other_id="candidate",
                acknowledged="invited",
                request_id="request_id",
            ),
            pairs.filter(pl.Series(is_accepted)).select(
                kind=pl.lit("accept"),
                user_id="candidate",
                other_id="viewer",
                acknowledged="answered",
                request_id=pl.lit(None, pl.String),
            ),
        ]
    )
    # lists without people, and lists that are given again
    is_empty = pl.col("served") == "empty"
    again = exposures.filter((pl.col("served") == "ranked") & (pl.col("viewer").hash(seed=day) % 3 == 0)).with_columns(
        pl.col("request_id") + "-again", pl.lit("cache").alias("served"), pl.col("at") + datetime.timedelta(minutes=5)
    )
    nobody = {"candidate": pl.lit(None, pl.String), "position": pl.lit(0, pl.UInt16)}
    empty = exposures.filter(is_empty & (pl.col("position") == 1)).with_columns(**nobody)
    return pl.concat([exposures.filter(~is_empty), again, empty]), events
