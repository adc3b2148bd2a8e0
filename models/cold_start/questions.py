"""Which column to ask somebody for: the one whose answer is expected to bring most friends into the first places.

The shares of a group's best people add up to the friends that its list is expected to hold. The gain of a column c is
the mean, over the people of the version, of how much the better of their lists of c, or of c and a known column
together, holds above the list of what is known; people who do not answer c gain nothing. So it is a gain times the rate
of answers. With several columns known, the gain over each of them is computed and the least counts: what one of them
tells already need not be asked.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s
from models.cold_start.groups import Groups
from models.cold_start.network import Network

PLACES = 20
"""places of the lists"""
PRIOR_PEOPLE = 10.0
"""people of a value who count for the gain over the whole network's"""
LEAST_GAIN = 0.01
"""friends below which no column is worth a question"""


class Questions:
    """The expected gains of one version, by which a column is chosen."""

    def __init__(
        self,
        network: Network,
        singles: Sequence[Groups],
        joint: Mapping[tuple[int, int], Groups],
        people: NDArray[np.bool_] | None = None,
    ) -> None:
        """`joint` by its two columns, rising; `people` (n,) are those whom gains are means over, default all."""
        counted = np.arange(network.graph.n) if people is None else np.flatnonzero(people)
        codes, self._columns = network.codes[counted], network.columns
        popular = np.zeros(PLACES + 1)
        best = np.sort(network.shares(network.popular))[::-1][:PLACES]
        popular[1 : len(best) + 1] = np.cumsum(best)
        popular[len(best) + 1 :] = popular[len(best)]
        # what the list of each column holds for each person
        held = [_held(groups, codes, popular) for groups in singles]
        together = {columns: _held(groups, codes, popular) for columns, groups in joint.items()}
        answers = codes >= 0
        n = max(len(codes), 1)
        self._alone = [
            float(np.maximum(of - popular[PLACES], 0)[has].sum()) / n for of, has in zip(held, answers.T, strict=True)
        ]
        """(C,) the gain of each column for somebody of whom nothing is known"""
        self._given: dict[tuple[int, int], NDArray[np.float32]] = {}
        """by known column and column: by value of the known one, the gain of the column"""
        for known, column in ((a, b) for a in range(len(held)) for b in range(len(held)) if a != b):
            better = np.maximum(held[column], together.get((min(known, column), max(known, column)), 0.0))
            own = codes[:, known]
            has = own >= 0
            gained = np.where(answers[:, column], np.maximum(better - held[known], 0), 0)[has]
            size = network.sizes[known]
            total = np.bincount(own[has], weights=gained, minlength=size)
            mean = gained.mean() if len(gained) else 0.0
            counts = np.bincount(own[has], minlength=size)
            given = (total + PRIOR_PEOPLE * mean) / (counts + PRIOR_PEOPLE)
            self._given[known, column] = given.astype(np.float32)

    def gains(self, codes: NDArray[np.int32] | None = None, told: frozenset[str] = frozenset()) -> dict[str, float]:
        """The gain of each column that somebody has not answered, friends in PLACES places, the first column first.

        `codes` (C,) are those of the profile, None without one; `told` are columns answered with a value that the
        version does not know.
        """
        known = [] if codes is None else np.flatnonzero(codes >= 0).tolist()
        found: dict[str, float] = {}
        for column, name in enumerate(self._columns):
            if column not in known and name not in told and codes is not None and known:
                found[name] = min(float(self._given[one, column][codes[one]]) for one in known)
            elif column not in known and name not in told:
                found[name] = self._alone[column]
        return found

    def best(self, codes: NDArray[np.int32] | None = None, told: frozenset[str] = frozenset()) -> str | None:
        """The column that gains most, arguments as in `gains`; None if none is worth a question."""
        gains = self.gains(codes, told)
        name = max(gains, key=lambda one: gains[one], default=None)
        return None if name is None or gains[name] < LEAST_GAIN else name


def _held(groups: Groups, codes: NDArray[np.int32], popular: Float64s) -> Float64s:
    """(n,) the friends that the list of each profile's own group is expected to hold; 0 without a value.

    The network's popular people, whose first k hold `popular[k]`, fill what the group leaves of the places.
    """
    sums = np.concatenate([[0.0], np.cumsum(groups.shares, dtype=np.float64)])
    ends = np.minimum(groups.starts[:-1] + PLACES, groups.starts[1:])
    held = sums[ends] - sums[groups.starts[:-1]] + popular[PLACES - (ends - groups.starts[:-1])]
    own = groups.keys_of(codes)
    if not len(held):
        return np.where(own >= 0, popular[PLACES], 0.0)
    at = np.minimum(np.searchsorted(groups.keys, own), len(groups.keys) - 1)
    return np.where(own < 0, 0.0, np.where(groups.keys[at] == own, held[at], popular[PLACES]))
