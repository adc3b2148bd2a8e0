"""What is sent and when, fixed before the first request: kinds of request, their shares, starts and viewers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError


class Kind(Enum):
    """A kind of request; the value is its name on the command line and in reports."""

    CACHED = "cached"
    """the list of a known user, from the cache if it holds one"""
    NO_CACHE = "no-cache"
    """the list of a known user, ranked for this request"""
    COLD = "cold"
    """the list of a user id that the service does not know"""
    EVENT = "event"
    """a batch of events"""


KINDS = tuple(Kind)


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds, adding up to 1."""

    shares: Mapping[Kind, float]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The mix of `kind=weight,...`. Raises UsageError that says what is allowed."""
        weights: dict[Kind, float] = {}
        allowed = ", ".join(kind.value for kind in KINDS)
        for part in text.split(","):
            name, equals, number = part.strip().partition("=")
            try:
                kind, weight = Kind(name), float(number)
            except ValueError as error:
                raise UsageError(f"--mix is KIND=WEIGHT,... with kinds {allowed}; {part.strip()!r} is not") from error
            if not equals or not 0 <= weight < float("inf"):
                raise UsageError(f"--mix: the weight of {name} must be 0 or more")
            if kind in weights:
                raise UsageError(f"--mix names {name} twice")
            weights[kind] = weight
        total = sum(weights.values())
        if not total:
            raise UsageError("--mix: all weights are 0, so there is nothing to send")
        return cls({kind: weight / total for kind, weight in weights.items() if weight})

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.uint8]:
        """(count,) uint8 positions in KINDS."""
        shares = [self.shares.get(kind, 0.0) for kind in KINDS]
        return random.choice(len(KINDS), size=count, p=shares).astype(np.uint8)


class Zipf:
    """Draws users with the skew of real traffic: the k-th most frequent with a weight of 1 / k to the `exponent`.

    The seed decides which user is the k-th, the same in every process. An exponent of 0 draws uniformly.
    """

    def __init__(self, users: int, exponent: float, seed: int) -> None:
        weights = np.arange(1, users + 1, dtype=np.float64) ** -exponent
        self._cumulative = np.cumsum(weights) / weights.sum()
        self._order = np.random.default_rng(seed).permutation(users).astype(np.int32)

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.int32]:
        """(count,) int32 positions of users."""
        ranks = np.searchsorted(self._cumulative, random.random(count), side="right")
        return self._order[np.minimum(ranks, len(self._order) - 1)]


@dataclass(frozen=True)
class Plan:
    """The requests of one process, by rising intended start."""

    starts_s: NDArray[np.float64]
    """(k,) float64 after the start of the run"""
    kinds: NDArray[np.uint8]
    """(k,) positions in KINDS"""
    users: NDArray[np.int32]
    """(k,) positions of users"""

    def __len__(self) -> int:
        return len(self.starts_s)


def poisson_starts(rate: float, seconds: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Starts of a Poisson process of `rate` a second, from 0 to `seconds`, rising."""
    expected = rate * seconds
    drawn = math.ceil(expected + 6 * math.sqrt(expected) + 10)
    starts = np.cumsum(random.exponential(1 / rate, drawn))
    while starts[-1] < seconds:  # one in a billion
        starts = np.append(starts, starts[-1] + np.cumsum(random.exponential(1 / rate, drawn)))
    return starts[: int(np.searchsorted(starts, seconds))]


def plan_requests(rate: float, seconds: float, mix: Mix, zipf: Zipf, random: np.random.Generator) -> Plan:
    """The requests of one process. The sum of Poisson processes is a Poisson process of the summed rate."""
    starts = poisson_starts(rate, seconds, random)
    return Plan(starts, mix.draw(random, len(starts)), zipf.draw(random, len(starts)))
