"""Candidates of a viewer of whom a profile is all that is known: the best of her groups and of the network."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.cold_start.groups import Groups, joint_groups, single_groups
from models.cold_start.network import Network
from models.cold_start.questions import Questions
from models.cold_start.rates import background, rates
from models.schema.candidate_sources import Source

JOINT_COLUMNS = 5
"""columns of which each two make groups together: those that help most alone"""
PLACES = 20
"""places of a list, in which both estimates are taken to hold as many friends"""


class Found(NamedTuple):
    """Candidates by ascending row."""

    rows: NDArray[np.uint32]
    """(m,) uint32"""
    shares: Float32s
    """(m,) float32, the estimated probability that somebody like the viewer is connected with each"""
    sources: NDArray[np.uint8]
    """(m,) uint8 of models.schema.candidate_sources.Source bits"""


class ColdStart:
    """Candidates without a block, and what to ask the viewer for; immutable, safe to share between threads."""

    def __init__(self, network: Network, people: NDArray[np.bool_] | None = None) -> None:
        """`people` (n,) are those whose profiles count, default all."""
        self._network = network
        self._popular = network.popular.astype(np.uint32)
        self._popular_shares = network.shares(network.popular)
        self._background = background(network)
        self._rates = [rates(network, column, people) for column in range(len(network.columns))]
        singles = single_groups(network, people)
        best = sorted(Questions(network, singles, {}, people).gains().items(), key=lambda gain: -gain[1])
        places = [network.columns.index(name) for name, _ in best[:JOINT_COLUMNS]]
        joint = {(one.columns[0], one.columns[1]): one for one in joint_groups(network, places, people)}
        self._groups: list[Groups] = [*singles, *joint.values()]
        self.questions = Questions(network, singles, joint, people)
        # no request waits for the machine code of a kernel
        self.candidates(np.array([0 if size else -1 for size in network.sizes], np.int32))

    def candidates(self, codes: NDArray[np.int32] | None) -> Found:
        """The candidates of a profile (C,) of codes; None gets the popular of the whole network.

        A share is the mean of two estimates: the best of the groups', and that of all columns together, scaled so that
        PLACES of its best hold as many friends.
        """
        # the best of the groups, and of the network
        rows = [self._popular]
        shares = [self._popular_shares]
        bits = [np.full(len(self._popular), Source.POPULAR, dtype=np.uint8)]
        for groups in self._groups:
            members = groups.members(codes) if codes is not None else slice(0, 0)
            if members.stop > members.start:
                rows.append(groups.rows[members].astype(np.uint32))
                shares.append(groups.shares[members])
                both = Source.POPULAR | Source.SAME_ATTRIBUTES
                bits.append(np.full(members.stop - members.start, both, dtype=np.uint8))
        people, share, bit = _once(np.concatenate(rows), np.concatenate(shares), np.concatenate(bits))
        told = [] if codes is None else [(one, code) for one in self._rates if (code := int(codes[one.column])) >= 0]
        if not told:
            return Found(people, share, bit)
        # whom the people of each value know, members of the groups or not
        known = np.sort(np.concatenate([people, *(one.best_of(code) for one, code in told)]))
        known = known[_is_first(known)]
        if not len(known):
            return Found(people, share, bit)
        at = np.searchsorted(known, people)
        everywhere = self._background[known]
        best, bits_of = everywhere.copy(), np.full(len(known), Source.POPULAR, np.uint8)
        best[at], bits_of[at] = share, bit
        # with what all columns tell together
        gains = np.log(everywhere)
        for one, code in told:
            one.add_gains(code, known, everywhere, gains)
        together = np.exp((gains - gains.max()).astype(np.float64))
        mean = (best + together * (_of_best(best) / _of_best(together))) / 2
        return Found(known, np.minimum(mean, 1).astype(np.float32), bits_of)


def _once(
    people: NDArray[np.uint32], shares: Float32s, bits: NDArray[np.uint8]
) -> tuple[NDArray[np.uint32], Float32s, NDArray[np.uint8]]:
    """Everybody once, by rising row, with the best share."""
    order = np.lexsort((-bits.astype(np.int16), -shares, people))
    people, shares, bits = people[order], shares[order], bits[order]
    first = _is_first(people)
    return people[first], shares[first], bits[first]


def _is_first(rising: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """(m,) whether each of some values, rising, differs from the one before."""
    first = np.ones(len(rising), dtype=np.bool_)
    first[1:] = rising[1:] != rising[:-1]
    return first


def _of_best(shares: NDArray[np.floating[Any]]) -> float:
    """The mean of the PLACES largest shares."""
    return float(np.partition(shares, -PLACES)[-PLACES:].mean()) if len(shares) > PLACES else float(shares.mean())
