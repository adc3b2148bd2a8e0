"""When requests shall start and whom they shall ask for, fixed before the first of them is sent."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.loadtest.mix import Mix


class Zipf:
    """Draws people as unevenly as they come: the k-th most frequent with a weight of 1 / k to the `exponent`.

    Who is the k-th is a matter of the seed, the same in every process; an exponent of 0 makes all alike.
    """

    def __init__(self, people: int, exponent: float, seed: int) -> None:
        weights = np.arange(1, people + 1, dtype=np.float64) ** -exponent
        self._until = np.cumsum(weights) / weights.sum()
        self._order = np.random.default_rng(seed).permutation(people).astype(np.int32)

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.int32]:
        """(count,) int32 positions of people."""
        ranks = np.searchsorted(self._until, random.random(count), side="right")
        return self._order[np.minimum(ranks, len(self._order) - 1)]


@dataclass(frozen=True)
class Plan:
    """The requests of one process, by rising intended start."""

    starts_s: NDArray[np.float64]
    """(k,) float64 after the common beginning"""
    kinds: NDArray[np.uint8]
    """(k,) positions in service.loadtest.mix.KINDS"""
    people: NDArray[np.int32]
    """(k,) positions of people"""

    def __len__(self) -> int:
        return len(self.starts_s)


def poisson(rate: float, seconds: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Starts of a Poisson process of `rate` a second, from 0 to `seconds`, rising."""
    likely = rate * seconds
    drawn = math.ceil(likely + 6 * math.sqrt(likely) + 10)
    starts = np.cumsum(random.exponential(1 / rate, drawn))
    while starts[-1] < seconds:  # one in a billion
        starts = np.append(starts, starts[-1] + np.cumsum(random.exponential(1 / rate, drawn)))
    return starts[: int(np.searchsorted(starts, seconds))]


def planned(rate: float, seconds: float, mix: Mix, zipf: Zipf, random: np.random.Generator) -> Plan:
    """The requests of one process. Poisson processes added up are one of the summed rate."""
    starts = poisson(rate, seconds, random)
    return Plan(starts, mix.draw(random, len(starts)), zipf.draw(random, len(starts)))
