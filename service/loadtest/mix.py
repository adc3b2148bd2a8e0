"""What kinds of request there are, and how much of each."""

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
    """a known person's list, from the cache where it is there"""
    NO_CACHE = "no-cache"
    """a known person's list, ranked anew"""
    COLD = "cold"
    """the list of somebody nobody has heard of"""
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
