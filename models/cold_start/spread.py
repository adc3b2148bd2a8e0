"""Exposure caps of cold starts: who was in many of the latest lists comes later in the next, so that stars rotate."""

from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

PLACES = 20
"""places of a list that count as shown"""
STRENGTH = 0.2
"""how much a share falls, as a logarithm, for each time that a person was shown as often as the average is"""
LEAST_PEOPLE = 200
"""in a network of fewer people nothing is spread: everybody is shown anyhow"""
HELD = 1000
"""viewers whose list stays the same when they ask again"""
_LARGEST = 1e6

Floats = NDArray[np.float32]


class Spread:
    """How often each of n people was shown in the latest cold starts of this process. One thread at a time.

    Times shown fade: with each list by PLACES / n, so that a person shown as often as the average counts 1, whatever
    the number of people and of lists. A share is multiplied by exp(-STRENGTH x times shown).
    """

    def __init__(self, n: int, strength: float = STRENGTH) -> None:
        self._times = np.zeros(n, np.float32)
        self._unit = 1.0
        """what one showing counts at the moment: it grows instead of all others fading"""
        self._growth = 1 / (1 - PLACES / max(n, LEAST_PEOPLE))
        self._strength = strength if n >= LEAST_PEOPLE else 0.0
        self._held: OrderedDict[Hashable, Floats] = OrderedDict()

    def shares(self, viewer: Hashable, rows: NDArray[np.uint32], shares: Floats) -> Floats:
        """(m,) float32: the shares of a viewer's candidates, less for those who were shown much.

        `viewer` is the viewer with what the candidates depend on: the first list counts, and the same viewer gets the
        same again.
        """
        if not self._strength:
            return shares
        factors = self._held.get(viewer)
        if factors is not None and len(factors) == len(rows):
            self._held.move_to_end(viewer)
            return shares * factors
        factors = np.exp(self._times[rows] * np.float32(-self._strength / self._unit))
        spread: Floats = shares * factors
        self._note(rows[np.lexsort((rows, -spread))[:PLACES]])
        self._held[viewer] = factors
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
