"""Which column somebody is asked for, on networks in which the best answer is obvious."""

import numpy as np
import pytest

from models.cold_start.cold_start import ColdStart
from models.cold_start.network import Network
from models.graph import Graph
from tests.support.strangers import HALL, HOBBY, MEMBERS, SHOE, TEAM, TEAMS, team_network


def told(**values: int) -> np.ndarray:
    codes = np.full(4, -1, np.int32)
    for name, value in values.items():
        codes[["team", "hall", "shoe", "hobby"].index(name)] = value
    return codes


def test_a_stranger_is_asked_for_the_column_that_tells_who_her_friends_are() -> None:
    questions = ColdStart(team_network()).questions
    gains = questions.gains()
    assert questions.best() == "team"
    assert gains["team"] > 3 * max(gains["hall"], gains["shoe"], gains["hobby"])


def test_the_gain_is_the_number_of_friends_that_the_answer_brings() -> None:
    network = team_network()
    few = PLACES_OF_POPULAR * (MEMBERS - 1) / (network.graph.n - 1)
    most = MEMBERS * (MEMBERS - 1) / MEMBERS  # all of a clique but herself, each with certainty
    assert most / 2 < ColdStart(network).questions.gains()["team"] + few < most + few


PLACES_OF_POPULAR = 20


def test_what_is_known_is_not_asked_again() -> None:
    questions = ColdStart(team_network()).questions
    assert questions.best(told(team=3)) is None, "the clique is known: nothing is left to tell"
    assert "team" not in questions.gains(told(hall=1), frozenset({"team"}))
    assert questions.best(told(hall=1)) == "team"


def test_a_column_that_repeats_a_known_one_gains_nothing() -> None:
    questions = ColdStart(team_network(twins=True)).questions
    assert questions.gains()["shoe"] == pytest.approx(questions.gains()["team"])
    assert questions.gains(told(shoe=4))["team"] == pytest.approx(0, abs=0.05)


def test_a_column_that_hardly_anybody_answers_gains_little() -> None:
    network = team_network()
    codes = network.codes.copy()
    codes[5:, TEAM] = -1
    silent = Network(network.graph, network.suggestible, network.popular, network.columns, codes, network.sizes)
    assert ColdStart(silent).questions.gains()["team"] < ColdStart(network).questions.gains()["team"] / 10
    assert {HALL, SHOE, HOBBY} == set(range(4)) - {TEAM}


def test_an_answer_that_the_version_does_not_know_counts_as_an_answer() -> None:
    questions = ColdStart(team_network()).questions
    assert questions.best(told(), frozenset({"team"})) != "team"
    assert questions.best(None, frozenset({"team", "hall", "shoe", "hobby"})) is None


def test_a_network_without_friendships_or_columns_asks_nothing() -> None:
    nobody = Graph.from_pairs(3, [], [])
    shown = np.ones(3, np.bool_)
    alone = Network(nobody, shown, np.zeros(0, np.int32), ["team"], np.array([[0], [0], [-1]], np.int32), [1])
    assert ColdStart(alone).questions.best() is None
    without = Network(nobody, shown, np.zeros(0, np.int32), [], np.zeros((3, 0), np.int32), [])
    assert ColdStart(without).questions.best() is None
    assert len(ColdStart(without).candidates(np.zeros(0, np.int32)).rows) == 0


def test_every_value_has_its_own_next_question() -> None:
    """Where one half of the network is told apart by one column and the other half by another."""
    n, half = TEAMS * MEMBERS, TEAMS * MEMBERS // 2
    network = team_network()
    codes = network.codes.copy()
    random = np.random.default_rng(1)
    codes[:half, SHOE], codes[half:, SHOE] = codes[:half, TEAM], random.integers(0, TEAMS, half)
    codes[:half, TEAM] = random.integers(0, TEAMS, half)
    questions = ColdStart(
        Network(network.graph, network.suggestible, network.popular, network.columns, codes, network.sizes)
    ).questions
    assert questions.best(told(hall=0)) == "shoe"
    assert questions.best(told(hall=1)) == "team"
    assert n == network.graph.n
