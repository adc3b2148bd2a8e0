"""Times of joining and of attempts at friendship, over the two years of a synthetic network."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY = 86_400
"""seconds"""

CUT = 1_767_225_600
"""2026-01-01T00:00:00Z in epoch seconds: time of the export; later friendships are held out"""

HELD_OUT_DAYS = 28
END = CUT + HELD_OUT_DAYS * DAY
START = END - 730 * DAY

OPENING_SHARE = 0.15
"""share of the users who join in the first two weeks"""

ARRIVAL_DAYS = 20.0
"""days in which a new user connects with people already known: the scale of an exponential decay"""

ARRIVAL_SHARE = 0.35
"""attempts on arrival, for each attempt in two steady years"""

GROWTH = 1.0
"""growth of activity from the first day to the last, as a share of the first day's"""


def joins(users: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The join time of each user, (users,) int64 epoch seconds, ascending, START to a day before CUT.

    The first two join at START, so that each has a possible friend.
    """
    span = CUT - DAY - START
    drawn = rng.random(users)
    later = (np.sqrt(1 + 3 * drawn) - 1) * span  # density 2/3 (1 + x) on [0, 1]: twice as many arrive late as early
    timestamps = np.where(rng.random(users) < OPENING_SHARE, drawn * 14 * DAY, later).astype(np.int64) + START
    timestamps.sort()
    timestamps[:2] = START
    return timestamps


@dataclass(frozen=True)
class Attempts:
    """Initiators of attempts at friendship, and the times: two (m,) arrays in the order of time."""

    initiators: NDArray[np.int32]
    timestamps: NDArray[np.int64]


def _steady(since: NDArray[np.float64]) -> NDArray[np.float64]:
    """The integral of the growing activity 1 + GROWTH x from 0 to `since`, both in shares of the two years."""
    return since + GROWTH * since**2 / 2


def _unsteady(area: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `_steady`."""
    return (np.sqrt(1 + 2 * GROWTH * area) - 1) / GROWTH


def attempts(
    joined: NDArray[np.int64],
    sociability: NDArray[np.float64],
    hidden: NDArray[np.bool_],
    friendships: int,
    rng: np.random.Generator,
) -> tuple[Attempts, Attempts]:
    """The attempts at friendship before the cut (exactly `friendships` of them) and after it (at the same rate).

    A user's rate is their sociability times a sum: a burst on arrival that decays within weeks, and a steady part that
    grows with the network. Hidden users make no attempt after the cut.
    """
    # expected attempts of each user before and after the cut
    span, decay = float(END - START), ARRIVAL_DAYS * DAY
    since_join, until_end = (CUT - joined).astype(np.float64), (END - joined).astype(np.float64)
    at_join, at_cut = (joined - START) / span, np.full(len(joined), (CUT - START) / span)
    faded, all_faded = -np.expm1(-since_join / decay), -np.expm1(-until_end / decay)
    before = sociability * (ARRIVAL_SHARE * faded + _steady(at_cut) - _steady(at_join))
    steady_after = _steady(np.ones(len(joined))) - _steady(at_cut)
    after = np.where(hidden, 0.0, sociability * (ARRIVAL_SHARE * (all_faded - faded) + steady_after))
    held_out = round(friendships * after.sum() / before.sum()) if friendships else 0

    def draw(count: int, pace: NDArray[np.float64], until: NDArray[np.float64], low: int, high: int) -> Attempts:
        cumulative = np.cumsum(pace)
        who = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right").clip(max=len(pace) - 1)
        begin = np.maximum(joined[who], low)
        first, last = (begin - START) / span, np.full(count, (high - START) / span)
        gone, past = np.exp(-(begin - joined[who]) / decay), np.exp(-until[who] / decay)
        burst = ARRIVAL_SHARE * (gone - past)
        steady = _steady(last) - _steady(first)
        spot = rng.random(count)
        fading = joined[who] - decay * np.log(gone - spot * (gone - past))
        growing = START + span * _unsteady(_steady(first) + spot * steady)
        timestamps = np.where(rng.random(count) * (burst + steady) < burst, fading, growing).astype(np.int64)
        timestamps = timestamps.clip(begin, high - 1)
        order = np.argsort(timestamps, kind="stable")
        return Attempts(who[order].astype(np.int32), timestamps[order])

    return draw(friendships, before, since_join, START, CUT), draw(held_out, after, until_end, CUT, END)
