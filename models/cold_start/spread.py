"""Exposure caps of cold starts: who was in many of the latest lists comes later in the next, so that stars rotate."""

from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s

PLACES = 20
"""places of a list that count as shown"""
STRENGTH = 1.02
"""how much the share of somebody who was shown very often falls, in means of the list's best"""
ENOUGH_COLUMNS = 3
"""columns of the viewer's profile from which on it falls so much. Of whom less is known, shares are flat, and the same
price moves them further: without a column it is a quarter"""
HALF = 0.5
"""times shown for which it falls half as much; somebody who is shown as often as the average counts 1"""
LOWEST = 0.1
"""of the mean of the list's best: shares that fall further stay above 0, in their order"""
LEAST_PEOPLE = 200
"""in a network of fewer people nothing is spread: everybody is shown anyhow"""
HELD = 1000
"""viewers whose list stays the same when they ask again"""
_LARGEST = 1e6


class Spread:
    """How often each of n people was shown in the latest cold starts of this process. One thread at a time.

    Times shown fade: with each list by PLACES / n, so that a person shown as often as the average counts 1, whatever
    the number of people and of lists. A share falls by STRENGTH x t / (t + HALF) of the mean of the list's best, t
    being the times shown. A price for each person, the same for all viewers, is what lets those see her who have nobody
    better (the dual of an assignment with limits); a price that saturates spreads lists over more people for the
    same loss, since Gini's coefficient counts ranks.
    """

    def __init__(self, n: int, strength: float = STRENGTH) -> None:
        self._times = np.zeros(n, np.float32)
        self._unit = 1.0
        """what one showing counts at the moment: it grows instead of all others fading"""
        self._growth = 1 / (1 - PLACES / max(n, LEAST_PEOPLE))
        self._strength = strength if n >= LEAST_PEOPLE else 0.0
        self._held: OrderedDict[Hashable, Float32s] = OrderedDict()

    def shares(
        self, viewer: Hashable, rows: NDArray[np.uint32], shares: Float32s, columns: int = ENOUGH_COLUMNS
    ) -> Float32s:
        """(m,) float32: the shares of a viewer's candidates, less for those who were shown much.

        `viewer` is the viewer with what the candidates depend on: the first list counts, and the same viewer gets the
        same again. `columns` is how many columns of the profile are known.
        """
        if not self._strength:
            return shares
        best = float(np.sort(shares)[-PLACES:].mean()) if len(shares) else 0.0
        if not best:
            return shares
        prices = self._held.get(viewer)
        if prices is not None and len(prices) == len(rows):
            self._held.move_to_end(viewer)
            return _lowered(shares, prices, best)
        times = self._times[rows] / np.float32(self._unit)
        strength = self._strength * min((1 + columns) / (1 + ENOUGH_COLUMNS), 1)
        prices = (strength * times / (times + np.float32(HALF))).astype(np.float32)
        spread = _lowered(shares, prices, best)
        self._note(rows[np.lexsort((rows, -spread))[:PLACES]])
        self._held[viewer] = prices
        if len(self._held) > HELD:
            self._held.popitem(last=False)
        return spread

    def _note(self, rows: NDArray[np.uint32]) -> None:
        """Counts the people of a list."""
        self._times[rows] += np.float32(self._unit)
        self._unit *= self._growth
        if self._unit > _LARGEST:
            self._times /= np.float32(self._unit)
            self._unit = 1.0


def _lowered(shares: Float32s, prices: Float32s, best: float) -> Float32s:
    """(m,) shares less prices, which are in units of `best`; above 0, in the order of the differences."""
    left = shares / np.float32(best) - prices
    low = np.float32(LOWEST) * np.exp(np.minimum(left / np.float32(LOWEST) - 1, 0))
    found: Float32s = np.where(left < LOWEST, low, left).astype(np.float32) * np.float32(best)
    return found
