"""Whom the people of each value know, members of the group or not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cold_start import rates as rates_module
from models.cold_start.cold_start import ColdStart
from models.cold_start.network import Network
from models.cold_start.rates import LEAST_MEMBERS, PRIOR_MEMBERS, Rates, background, rates
from models.graph import Graph
from models.version.tables import most_connected


def network(seed: int, n: int = 30, shown: float = 1.0) -> Network:
    random = np.random.default_rng(seed)
    graph = Graph.from_pairs(n, *random.integers(0, n, (2, 4 * n)))
    codes = random.integers(-1, 4, (n, 2)).astype(np.int32)
    suggestible = random.random(n) < shown
    popular = most_connected(graph, np.where(suggestible, 7, 0).astype(np.uint8), 5)
    return Network(graph, suggestible, popular, ["team", "hall"], codes, [4, 4])


def gains(found: Rates, code: int, network: Network) -> np.ndarray:
    total = np.zeros(network.graph.n, np.float32)
    found.add_gains(code, np.arange(network.graph.n, dtype=np.uint32), background(network), total)
    return total


def share(network: Network, column: int, code: int, row: int) -> float:
    """The share of the members of a value who know a person, counted one by one."""
    members = [one for one in range(network.graph.n) if network.codes[one, column] == code]
    others = [one for one in members if one != row]
    know = sum(row in network.graph.neighbours(one) for one in others)
    return (know + PRIOR_MEMBERS * float(background(network)[row])) / (len(others) + PRIOR_MEMBERS)


@given(st.integers(0, 2**32 - 1))
def test_gains_are_those_that_a_loop_counts(seed: int) -> None:
    drawn = network(seed)
    shares = background(drawn)
    for column in range(2):
        found = rates(drawn, column)
        for code in range(4):
            if (drawn.codes[:, column] == code).sum() < LEAST_MEMBERS:
                assert not gains(found, code, drawn).any()
                continue
            expected = [np.log(share(drawn, column, code, row) / shares[row]) for row in range(drawn.graph.n)]
            known = np.isin(np.arange(drawn.graph.n), found.rows[found.starts[code] : found.starts[code + 1]])
            assert np.allclose(gains(found, code, drawn)[known], np.array(expected)[known], atol=1e-4)
            # whom nobody knows, among as many members as others
            lost = ~known & (drawn.codes[:, column] != code)
            assert np.allclose(gains(found, code, drawn)[lost], np.array(expected)[lost], atol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_a_table_that_is_cut_has_the_best_and_says_nothing_good_of_others(seed: int) -> None:
    drawn = network(seed)
    whole = rates(drawn, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates_module, "LEAST_TABLE", 0)
        patch.setattr(rates_module, "LEAST_PER_MEMBER", 1)
        patch.setattr(rates_module, "MOST_CANDIDATES", 2)
        cut = rates(drawn, 0)
    shares = background(drawn)
    for code in range(4):
        rows, all_rows = (one.rows[one.starts[code] : one.starts[code + 1]] for one in (cut, whole))
        members = int((drawn.codes[:, 0] == code).sum())
        assert len(rows) == min(members if members >= LEAST_MEMBERS else 0, len(all_rows))
        assert len(cut.best_of(code)) == min(2, len(rows))
        exact = {row: share(drawn, 0, code, row) for row in all_rows.tolist()}
        least = min((exact[row] for row in rows.tolist()), default=0.0)
        assert all(exact[row] <= least + 1e-6 for row in set(all_rows.tolist()) - set(rows.tolist()))
        for row in set(all_rows.tolist()) - set(rows.tolist()):
            assert gains(cut, code, drawn)[row] >= min(0.0, np.log(exact[row] / shares[row])) - 1e-4
            assert gains(cut, code, drawn)[row] <= 0


def test_members_are_drawn_from_large_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "MOST_MEMBERS", 3)
    drawn = network(3)
    found = rates(drawn, 0)
    for code in range(4):
        rows = found.rows[found.starts[code] : found.starts[code + 1]].tolist()
        assert len(rows) <= sum(sorted(drawn.graph.degrees[drawn.codes[:, 0] == code].tolist())[-3:])
    assert np.array_equal(rates(drawn, 0).gains, found.gains), "the same draw each time"


@given(st.integers(0, 2**32 - 1))
def test_nobody_who_may_not_be_shown_is_known(seed: int) -> None:
    drawn = network(seed, shown=0.6)
    found = rates(drawn, 0)
    assert drawn.suggestible[found.rows].all()
    assert drawn.suggestible[found.best].all()
    assert drawn.suggestible[ColdStart(drawn).candidates(np.array([1, 2], np.int32)).rows].all()


def test_somebody_outside_of_a_group_whom_all_of_it_know_comes_up() -> None:
    """The lecturer of a class is no pupil."""
    n = 400
    lecturer, pupils = n - 1, np.arange(10)
    random = np.random.default_rng(1)
    a, b = random.integers(20, n - 1, (2, 3000))
    graph = Graph.from_pairs(n, np.r_[a, pupils], np.r_[b, np.full(10, lecturer)])
    codes = np.full((n, 1), -1, np.int32)
    codes[:10] = 0
    popular = most_connected(graph, np.full(n, 7, np.uint8), 10)
    cold = ColdStart(Network(graph, np.ones(n, np.bool_), popular, ["class"], codes, [1]))
    found = cold.candidates(np.array([0], np.int32))
    assert int(found.rows[np.argmax(found.shares)]) == lecturer
