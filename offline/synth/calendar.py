"""When people join, and when they make friends: the two years that a synthetic network spans."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY = 86_400
"""seconds"""

CUT = 1_767_225_600
"""2026-01-01T00:00:00Z in epoch seconds: the moment of the export; what comes after it is held out"""

HELD_OUT_DAYS = 28
END = CUT + HELD_OUT_DAYS * DAY
START = END - 730 * DAY

OPENING_SHARE = 0.15
"""share of the people who are there within the first two weeks"""

ARRIVAL_DAYS = 20.0
"""how long a newcomer goes on looking for the people already known: the scale of an exponential decay"""

ARRIVAL_SHARE = 0.35
"""friendships begun on arrival, for each begun in two steady years"""

GROWTH = 1.0
"""how much busier the last day is than the first, as a share of the first day"""


def joins(users: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """When each person joined, (users,) int64 epoch seconds, ascending, START to a day before CUT.

    The first two are there from the start, so that there is somebody to befriend.
    """
    span = CUT - DAY - START
    drawn = rng.random(users)
    later = (np.sqrt(1 + 3 * drawn) - 1) * span  # density 2/3 (1 + x) on [0, 1]: twice as many arrive late as early
    moments = np.where(rng.random(users) < OPENING_SHARE, drawn * 14 * DAY, later).astype(np.int64) + START
    moments.sort()
    moments[:2] = START
    return moments


@dataclass(frozen=True)
class Beginnings:
    """Who sets out to make a friend, and when: two (m,) arrays in the order of time."""

    initiators: NDArray[np.int32]
    moments: NDArray[np.int64]


def _steady(since: NDArray[np.float64]) -> NDArray[np.float64]:
    """The integral of the growing activity 1 + GROWTH x from 0 to `since`, both in shares of the two years."""
    return since + GROWTH * since**2 / 2


def _unsteady(area: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `_steady`."""
    return (np.sqrt(1 + 2 * GROWTH * area) - 1) / GROWTH


def beginnings(
    joined: NDArray[np.int64],
    sociability: NDArray[np.float64],
    hidden: NDArray[np.bool_],
    friendships: int,
    rng: np.random.Generator,
) -> tuple[Beginnings, Beginnings]:
    """The attempts at friendship before the cut (exactly `friendships` of them) and after it (at the same pace).

    A person's pace is their sociability times the sum of a burst on arrival that fades within weeks and a steady
    part that grows with the network. Hidden people begin nothing after the cut.
    """
    span, decay = float(END - START), ARRIVAL_DAYS * DAY
    since_join, until_end = (CUT - joined).astype(np.float64), (END - joined).astype(np.float64)
    at_join, at_cut = (joined - START) / span, np.full(len(joined), (CUT - START) / span)
    faded, all_faded = -np.expm1(-since_join / decay), -np.expm1(-until_end / decay)
    before = sociability * (ARRIVAL_SHARE * faded + _steady(at_cut) - _steady(at_join))
    steady_after = _steady(np.ones(len(joined))) - _steady(at_cut)
    after = np.where(hidden, 0.0, sociability * (ARRIVAL_SHARE * (all_faded - faded) + steady_after))
    held_out = round(friendships * after.sum() / before.sum()) if friendships else 0

    def draw(count: int, pace: NDArray[np.float64], until: NDArray[np.float64], low: int, high: int) -> Beginnings:
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
        moments = np.where(rng.random(count) * (burst + steady) < burst, fading, growing).astype(np.int64)
        moments = moments.clip(begin, high - 1)
        order = np.argsort(moments, kind="stable")
        return Beginnings(who[order].astype(np.int32), moments[order])

    return draw(friendships, before, since_join, START, CUT), draw(held_out, after, until_end, CUT, END)
