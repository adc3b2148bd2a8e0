"""A network in which the best question is obvious: cliques by team, and columns that tell less."""

import numpy as np

from models.cold_start.network import Network
from models.graph import Graph
from models.version.tables import most_connected

TEAMS, MEMBERS = 12, 10
TEAM, HALL, SHOE, HOBBY = range(4)
"""columns: the clique; the half of the network, made of six whole cliques; drawn by lot; answered by three people"""


def team_network(*, twins: bool = False) -> Network:
    """Cliques of MEMBERS people, one for each team. With `twins` the column of shoes repeats the team."""
    n = TEAMS * MEMBERS
    team = np.repeat(np.arange(TEAMS), MEMBERS)
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n) if team[a] == team[b]]
    graph = Graph.from_pairs(n, *np.array(pairs).T)
    hobby = np.full(n, -1)
    hobby[:3] = 0
    shoe = team if twins else np.random.default_rng(5).integers(0, TEAMS, n)
    codes = np.stack([team, team // (TEAMS // 2), shoe, hobby], axis=1).astype(np.int32)
    shown = np.full(n, 7, np.uint8)
    popular = most_connected(graph, shown)
    return Network(graph, np.ones(n, np.bool_), popular, ["team", "hall", "shoe", "hobby"], codes, [TEAMS, 2, TEAMS, 1])
