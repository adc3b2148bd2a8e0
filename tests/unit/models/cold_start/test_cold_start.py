"""The lists of people of whom a profile is all that is known."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.cold_start.cold_start import ColdStart
from models.cold_start.groups import LEAST_JOINT_MEMBERS, PRIOR_MEMBERS, connections_within, joint_groups, single_groups
from models.cold_start.network import Network
from models.graph import Graph
from models.schema.candidate_sources import Source
from models.version.tables import most_connected
from tests.support.strangers import HALL, MEMBERS, SHOE, TEAM, team_network


def best(cold: ColdStart, codes: np.ndarray | None, count: int) -> list[int]:
    found = cold.candidates(codes)
    return found.rows[np.lexsort((found.rows, -found.shares))][:count].tolist()


def crossed() -> Network:
    """Forty people in two cities and two trades; the ten of each city and trade are a clique, all are popular alike."""
    n = 40
    city, trade = np.arange(n) // 20, np.arange(n) // 10 % 2
    pairs = [(a, b) for a, b in combinations(range(n), 2) if city[a] == city[b] and trade[a] == trade[b]]
    graph = Graph.from_pairs(n, *np.array(pairs).T)
    codes = np.stack([city, trade], axis=1).astype(np.int32)
    popular = most_connected(graph, np.full(n, 7, np.uint8))
    return Network(graph, np.ones(n, np.bool_), popular, ["city", "trade"], codes, [2, 2])


def test_people_of_the_same_city_and_trade_come_before_those_of_one_of_them() -> None:
    cold = ColdStart(crossed())
    assert set(best(cold, np.array([1, 0], np.int32), 10)) == set(range(20, 30))
    assert set(best(cold, np.array([1, -1], np.int32), 20)) == set(range(20, 40))


def test_without_a_profile_everybody_is_found_by_popularity() -> None:
    found = ColdStart(crossed()).candidates(None)
    assert sorted(found.rows.tolist()) == list(range(40))
    assert set(found.sources.tolist()) == {int(Source.POPULAR)}


def test_a_group_that_hardly_anybody_shares_is_no_evidence() -> None:
    network = crossed()
    codes = network.codes.copy()
    codes[LEAST_JOINT_MEMBERS - 1 : 10, 1] = -1  # of ten people too few are left to make a group of two columns
    left = Network(network.graph, network.suggestible, network.popular, network.columns, codes, network.sizes)
    (groups,) = joint_groups(left, [0, 1])
    assert groups.members(np.array([0, 0], np.int32)) == slice(0, 0)
    assert groups.members(np.array([0, 1], np.int32)) != slice(0, 0)


def test_nobody_who_may_not_be_shown_is_found() -> None:
    network = crossed()
    shown = np.ones(40, np.bool_)
    shown[20:25] = False
    popular = most_connected(network.graph, np.where(shown, 7, 0).astype(np.uint8))
    hidden = Network(network.graph, shown, popular, network.columns, network.codes, network.sizes)
    assert set(ColdStart(hidden).candidates(np.array([1, 0], np.int32)).rows.tolist()).isdisjoint(range(20, 25))


def test_where_nobody_may_be_shown_nobody_is_found() -> None:
    network = crossed()
    nobody, none = np.zeros(40, np.bool_), np.zeros(0, np.int32)
    hidden = Network(network.graph, nobody, none, network.columns, network.codes, network.sizes)
    for codes in (None, np.array([1, 0], np.int32)):
        assert not len(ColdStart(hidden).candidates(codes).rows)


def test_a_share_is_that_of_the_members_who_are_connected_shrunk_to_what_is_known_without_them() -> None:
    network = team_network()
    groups = single_groups(network)[TEAM]
    everywhere = (MEMBERS - 1) / (network.graph.n - 1)
    expected = (MEMBERS - 1 + PRIOR_MEMBERS * everywhere) / (MEMBERS - 1 + PRIOR_MEMBERS)
    assert np.allclose(groups.shares, expected)
    assert len(groups.rows) == network.graph.n


@given(st.integers(0, 2**32 - 1), st.integers(2, 25))
def test_connections_within_are_those_that_a_loop_counts(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    graph = Graph.from_pairs(n, *random.integers(0, n, (2, 3 * n)))
    codes = random.integers(-1, 3, (n, 3)).astype(np.int32)
    network = Network(graph, np.ones(n, np.bool_), np.zeros(0, np.int32), ["a", "b", "c"], codes, [3, 3, 3])
    for columns, within in connections_within(network, [(0,), (1, 2)]):
        for row in range(n):
            own = codes[row, list(columns)]
            alike = [
                one for one in graph.neighbours(row) if (own >= 0).all() and (codes[one, list(columns)] == own).all()
            ]
            assert within[row] == len(alike)


@given(st.integers(0, 2**32 - 1))
def test_a_list_has_each_person_once_by_rising_row_with_a_probability(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 60
    graph = Graph.from_pairs(n, *random.integers(0, n, (2, 300)))
    codes = random.integers(-1, 4, (n, 3)).astype(np.int32)
    popular = most_connected(graph, np.full(n, 7, np.uint8), 10)
    cold = ColdStart(Network(graph, np.ones(n, np.bool_), popular, ["a", "b", "c"], codes, [4, 4, 4]))
    found = cold.candidates(random.integers(-1, 4, 3).astype(np.int32))
    assert (np.diff(found.rows.astype(np.int64)) > 0).all()
    assert ((found.shares > 0) & (found.shares <= 1)).all()
    assert HALL != SHOE
