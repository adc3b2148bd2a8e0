"""Random numbers that depend on nothing but what they are for: the same pair on the same day draws the same number.

So a month is the same whatever order requests are answered in, and two policies face the same luck wherever they show
the same person to the same viewer.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Draw(IntEnum):
    """What a number is for."""

    VISIT = 1
    CONTEXT = 2
    LOOK = 3
    INVITE = 4
    CLICK = 5
    DISMISS = 6
    KIND = 7
    ANSWER = 8
    ACCEPT = 9
    DECLINE = 10


def uniforms(seed: int, day: int, draw: Draw, first: Numbers, second: Numbers | int = 0) -> NDArray[np.float64]:
    """Numbers in [0, 1) of the shape of `first`, one for each pair of people (SplitMix64; Steele, Lea, Flood 2014)."""
    state = np.full(first.shape, np.uint64(seed), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in (np.uint64(day), np.uint64(draw), first.astype(np.uint64), np.asarray(second).astype(np.uint64)):
            state = _mixed(state + _GOLDEN * (part + np.uint64(1)))
    return (state >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
