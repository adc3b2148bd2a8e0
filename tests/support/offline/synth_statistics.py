"""What makes a friendship graph look like one: clustering, the tail of the degrees, homophily."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.graph import Graph


@dataclass(frozen=True)
class Statistics:
    """Of one undirected graph; the field's usual definitions."""

    users: int
    mean_friends: float
    clustering: float
    """local clustering coefficient, mean over people with two friends or more (Watts, Strogatz 1998)"""
    transitivity: float
    """closed share of the paths of length two"""
    gini: float
    """Gini coefficient of the degrees: 0 where all are equal"""
    median_degree: float
    """over the mean"""
    p99_degree: float
    """99th percentile over the mean: a normal tail would give less than 2, a power law more than 6"""
    assortativity: float
    """correlation of the degrees at both ends of a friendship (Newman 2002)"""


@dataclass(frozen=True)
class Homophily:
    """How much more often friends share a value than people drawn by their degree would."""

    shared: float
    """share of the friendships, both values known, in which they are equal"""
    chance: float
    """the same where ends are drawn independently, each as often as it has friends"""

    @property
    def excess(self) -> float:
        """(shared − chance) / (1 − chance): 0 by chance, 1 where all friends agree (Newman's assortativity, 2003)."""
        return (self.shared - self.chance) / (1 - self.chance)


JOHNS_HOPKINS = Statistics(
    users=5180,
    mean_friends=64.84,
    clustering=0.2500,
    transitivity=0.1734,
    gini=0.4906,
    median_degree=0.7557,
    p99_degree=4.174,
    assortativity=0.0787,
)
"""connections.csv of johnshopkins55"""

JOHNS_HOPKINS_YEAR = Homophily(shared=0.5518, chance=0.2050)
JOHNS_HOPKINS_DORM = Homophily(shared=0.1751, chance=0.0606)


def measure(graph: Graph) -> Statistics:
    """The statistics of a graph with at least one path of length two."""
    degrees = graph.degrees.astype(np.float64)
    ones = np.ones(len(graph.indices), dtype=np.int64)
    adjacency = sparse.csr_array((ones, graph.indices, graph.indptr), shape=(graph.n, graph.n))
    closed: NDArray[np.int64] = np.asarray((adjacency @ adjacency).multiply(adjacency).sum(axis=1)).ravel()
    paths = degrees * (degrees - 1)
    some = paths > 0
    ranked, mean = np.sort(degrees), degrees.mean()
    a, b = graph.pairs()
    ends = np.concatenate([degrees[a], degrees[b]]), np.concatenate([degrees[b], degrees[a]])
    return Statistics(
        users=graph.n,
        mean_friends=float(mean),
        clustering=float((closed[some] / paths[some]).mean()),
        transitivity=float(closed.sum() / paths.sum()),
        gini=float((2 * np.arange(1, graph.n + 1) - graph.n - 1) @ ranked / (graph.n * ranked.sum())),
        median_degree=float(np.median(degrees) / mean),
        p99_degree=float(np.quantile(degrees, 0.99) / mean),
        assortativity=float(np.corrcoef(*ends)[0, 1]),
    )


def homophily(graph: Graph, codes: NDArray[np.integer]) -> Homophily:
    """The homophily of a graph on a column, (n,) codes with -1 where missing."""
    a, b = graph.pairs()
    known = (codes[a] >= 0) & (codes[b] >= 0)
    ends = np.bincount(codes[codes >= 0], weights=graph.degrees[codes >= 0])
    return Homophily(shared=float((codes[a] == codes[b])[known].mean()), chance=float(((ends / ends.sum()) ** 2).sum()))
