"""Whom people of each value of a column know, members of the group or not, and what the columns tell together.

The people of a year also know those of the year before, and those of a department its lecturers: whoever shares no
value with somebody may still be known by many who do. The estimate of all columns together takes them as independent
given who is known (naive Bayes): the share of the whole network that knows a person, times, for each value of the
profile, how much larger the share is among its people. It counts related columns twice, where the groups of two columns
(models.cold_start.groups) do not, and reads all columns, where they read two: the two err differently.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.cold_start.network import Network
from models.kernels.group_rates import add_gains, best_known

MOST_CANDIDATES = 800
"""people of a value who are candidates"""
LEAST_TABLE = 1_000_000
"""shares that are kept of a column, those of all people in a network of a few thousand"""
LEAST_PER_MEMBER = 2
"""shares that are kept for each member of a value in a large one: tables stay of the size of the network"""
MOST_MEMBERS = 5_000
"""members of a value who are asked whom they know, drawn at random where there are more"""
FEWEST_MEMBERS = 50
"""and of fewer, down to so many, if all of a column have more friends than MOST_FRIENDS"""
MOST_FRIENDS = 10_000_000
LEAST_MEMBERS = 2
PRIOR_MEMBERS = 10.0
"""a share is shrunk as if so many more members knew as is known without the value"""
LEAST_SHARE = 1e-9


@dataclass(frozen=True, slots=True)
class Rates:
    """Whom the people of each value of one column know.

    Of value v at `starts[v]` to `starts[v + 1]`: `rows` uint32 rising, and `gains` float32, ln of how much larger the
    share is than in the whole network. `left` (V,) float32 is the largest share there of anybody else, 0 if nobody else
    is known, and `unknown` (V,) float32 the gain of somebody whom nobody of the value knows. The best known of value v
    are `best[best_starts[v] : best_starts[v + 1]]`.
    """

    column: int
    starts: NDArray[np.int64]
    rows: NDArray[np.uint32]
    gains: Float32s
    left: Float32s
    unknown: Float32s
    best_starts: NDArray[np.int64]
    best: NDArray[np.uint32]

    def best_of(self, code: int) -> NDArray[np.uint32]:
        """Whom most people of a value know."""
        return self.best[self.best_starts[code] : self.best_starts[code + 1]]

    def add_gains(self, code: int, people: NDArray[np.uint32], background: Float32s, total: Float32s) -> None:
        """Adds to `total` (m,) what a value tells of people (m,), rising, whom `background` (m,) of all others know."""
        own = slice(self.starts[code], self.starts[code + 1])
        left, unknown = float(self.left[code]), float(self.unknown[code])
        add_gains(self.rows[own], self.gains[own], left, unknown, people, background, total)


def background(network: Network) -> Float32s:
    """(n,) float32: the share of all others who know each person, above 0."""
    return np.maximum(network.shares(), np.float32(LEAST_SHARE))


def rates(network: Network, column: int, among: NDArray[np.bool_] | None = None) -> Rates:
    """The rates of one column; `among` (n,) are the people who are members, default all."""
    codes, size = network.codes[:, column], network.sizes[column]
    is_member = (codes >= 0) if among is None else (codes >= 0) & among
    members = np.flatnonzero(is_member).astype(np.int32)
    # in each value at most so many, drawn
    drawn = np.random.default_rng(column).permutation(len(members))
    members = members[drawn][np.argsort(codes[members[drawn]], kind="stable")]
    sizes = np.bincount(codes[members], minlength=size)
    place = np.arange(len(members)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    most, friends = MOST_MEMBERS, network.graph.degrees[members]
    while most > FEWEST_MEMBERS and int(friends[place < most].sum()) > MOST_FRIENDS:
        most = max(most // 2, FEWEST_MEMBERS)
    asked = (place < most) & (sizes[codes[members]] >= LEAST_MEMBERS)
    members = members[asked]
    sizes = np.bincount(codes[members], minlength=size)
    starts = _bounds(sizes)
    per_member = max(LEAST_TABLE // max(len(members), 1), LEAST_PER_MEMBER)
    rooms = _bounds(np.minimum(sizes * per_member, network.graph.n))
    # whom they know
    shares = background(network)
    rows, found = np.zeros(rooms[-1], np.int32), np.zeros(rooms[-1], np.float32)
    counts, left = np.zeros(size, np.int64), np.zeros(size, np.float32)
    own = np.where(np.isin(np.arange(len(codes)), members), codes, -1).astype(np.int32)
    best_known(
        network.graph.indptr,
        network.graph.indices,
        members,
        starts,
        own,
        network.suggestible,
        shares,
        PRIOR_MEMBERS,
        rooms,
        rows,
        found,
        counts,
        left,
    )
    # without the rooms that stayed empty: the best, and all by rising row
    value = np.repeat(np.arange(size), counts)
    place = np.arange(len(value)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = place + rooms[value]
    best = rows[kept[place < MOST_CANDIDATES]].astype(np.uint32)
    kept = kept[np.lexsort((rows[kept], value))]
    gains = np.log(found[kept] / shares[rows[kept]])
    unknown = np.log(PRIOR_MEMBERS / (sizes + PRIOR_MEMBERS))
    return Rates(
        column,
        _bounds(counts),
        rows[kept].astype(np.uint32),
        gains.astype(np.float32),
        left,
        unknown.astype(np.float32),
        _bounds(np.minimum(counts, MOST_CANDIDATES)),
        best,
    )


def _bounds(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(len + 1,) where each of some runs begins, and the last one ends."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
