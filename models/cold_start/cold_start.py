"""Candidates of a viewer of whom a profile is all that is known: the best of her groups and of the network."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.cold_start.groups import Groups, joint_groups, single_groups
from models.cold_start.network import Network
from models.cold_start.questions import Questions
from models.schema.candidate_sources import Source

JOINT_COLUMNS = 5
"""columns of which each two make groups together: those that help most alone"""


class Found(NamedTuple):
    """Candidates by ascending row."""

    rows: NDArray[np.uint32]
    """(m,) uint32"""
    shares: NDArray[np.float32]
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
        singles = single_groups(network, people)
        best = sorted(Questions(network, singles, {}, people).gains().items(), key=lambda gain: -gain[1])
        places = [network.columns.index(name) for name, _ in best[:JOINT_COLUMNS]]
        joint = {(one.columns[0], one.columns[1]): one for one in joint_groups(network, places, people)}
        self._groups: list[Groups] = [*singles, *joint.values()]
        self.questions = Questions(network, singles, joint, people)

    def candidates(self, codes: NDArray[np.int32] | None) -> Found:
        """The candidates of a profile (C,) of codes; None gets the popular of the whole network."""
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
        people, share, bit = np.concatenate(rows), np.concatenate(shares), np.concatenate(bits)
        order = np.lexsort((-bit.astype(np.int16), -share, people))
        people, share, bit = people[order], share[order], bit[order]
        first = np.ones(len(people), dtype=np.bool_)
        first[1:] = people[1:] != people[:-1]
        return Found(people[first], share[first], bit[first])
