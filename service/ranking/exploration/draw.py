"""Draws the order of a list's best people.

Either by Plackett and Luce (Luce 1959; Plackett 1975): below the first places, which stay, the next person is drawn
with a probability proportional to odds^(1 / temperature), again and again. With Gumbel noise that is one sort (Yellott
1977). Or, in a small share of requests, uniformly among the best n: what comes of these lists is unbiased by rank.

The noise of a person follows from the person's id and from the draw's seed. So whoever leaves a list moves nobody else,
and further pages are of the same draw.
"""

import hashlib
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s
from models.outcomes.exposure_record import DRAWS, DrawnPlaces
from models.outcomes.placement import log_odds
from models.settings import Settings
from service.ranking.kernels.sorting import mixed

NONE, SAMPLED, UNIFORM = DRAWS


@dataclass(frozen=True, slots=True)
class Exploration:
    """The parameters of draws; off by default."""

    temperature: float = 0.0
    """of the Plackett-Luce draw; 0: off"""
    fixed: int = 3
    """first places that it leaves"""
    uniform_share: float = 0.0
    """share of draws that are uniform; 0: off"""
    best: int = 50
    """people whose order is drawn"""
    boost: float = 1.0
    """factor on the weight of people who were hardly shown"""
    hold_s: float = 1800.0
    """how long a viewer's draw stays the same"""

    @property
    def is_on(self) -> bool:
        """Whether any list is drawn."""
        return self.temperature > 0 or self.uniform_share > 0

    @classmethod
    def of(cls, settings: Settings) -> "Exploration":
        """The parameters of these settings."""
        return cls(
            settings.exploration_temperature,
            settings.exploration_fixed,
            settings.exploration_uniform_share,
            settings.exploration_best,
            settings.exploration_boost,
            settings.exploration_hold_minutes * 60,
        )


NO_EXPLORATION = Exploration()


class Draw(NamedTuple):
    """The order of a list's people, and how it came about."""

    how: str
    """NONE, SAMPLED or UNIFORM"""
    order: NDArray[np.intp]
    """(m,) positions in the list before the draw"""
    first: int
    """people at the front who were not drawn"""
    weights: Float64s
    """(k,) logarithms of the weights of those who were, in the order of the list before"""


class Drawn(NamedTuple):
    """The people of a page of a drawn list."""

    draw: Draw
    at: NDArray[np.intp]
    """(n,) which places of the whole list they have"""

    def pack(self) -> bytes:
        """The draw as the record of a list holds it; empty if nothing was drawn."""
        how, order, first, weights = self.draw
        if how == NONE:
            return b""
        return DrawnPlaces(
            first, weights.astype(np.float32), order[self.at].astype(np.uint16), self.at.astype(np.uint16)
        ).pack()


def draw(
    exploration: Exploration,
    seed: int,
    scores: NDArray[np.float32],
    hashes: NDArray[np.uint32],
    eligible: int,
    seldom: NDArray[np.bool_] | None = None,
) -> Draw:
    """The draw of a list (m,), best first, of which the first `eligible` people may be drawn.

    `hashes` (m,) are those of the people's ids (service.ranking.tie_break.id_hashes), `seed` 64 bits (seed_of).
    `seldom` (m,) are those who were hardly shown, None if that is not known.
    """
    m = min(exploration.best, eligible, len(scores))
    whole = np.arange(len(scores), dtype=np.intp)
    is_uniform = _unit(mixed(np.array([seed ^ 0x9E3779B97F4A7C15], np.uint64)))[0] < exploration.uniform_share
    first = 0 if is_uniform else min(exploration.fixed, m)
    if m - first < 2 or not (is_uniform or exploration.temperature > 0):
        return Draw(NONE, whole, m, np.zeros(0))
    weights = np.zeros(m)
    if not is_uniform:
        weights = log_odds(scores[first:m]) / exploration.temperature
        if seldom is not None:
            weights += np.log(exploration.boost) * seldom[first:m]
    noise = -np.log(-np.log(_unit(mixed(mixed(hashes[first:m].astype(np.uint64) + np.uint64(1)) ^ np.uint64(seed)))))
    order = whole.copy()
    order[first:m] = first + np.argsort(-(weights + noise), kind="stable")
    return Draw(UNIFORM if is_uniform else SAMPLED, order, first, weights)


def seed_of(viewer: str, version: str, context: str, span: int) -> int:
    """64 bits that the draws of a viewer follow from, as long as `span` (span_of) is the same."""
    text = f"{viewer}\0{version}\0{context}\0{span}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def span_of(exploration: Exploration, now_s: float) -> int:
    """The number of the span of `hold_s` seconds that a time is in."""
    return ceil(now_s / exploration.hold_s)


def _unit(words: NDArray[np.uint64]) -> Float64s:
    """(m,) numbers above 0 and below 1 of 64 random bits each."""
    return np.asarray(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)
