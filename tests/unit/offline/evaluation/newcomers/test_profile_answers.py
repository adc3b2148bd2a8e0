"""What answers are worth to newcomers, on a network in which one column tells all."""

import numpy as np

from models.cold_start.network import Network
from models.graph import Graph
from offline.evaluation.newcomers.profile_answers import ALL, ASKED, NOTHING, RANDOM, profile_answers
from offline.features.edge_splits import hide_people
from tests.support.strangers import team_network


def judged(network: Network, seed: int = 0):
    kept, hidden, drawn = hide_people(network.graph, 0.1, seed)
    here = np.ones(network.graph.n, np.bool_)
    here[drawn] = False
    left = Network(kept, network.suggestible & here, network.popular, network.columns, network.codes, network.sizes)
    newcomers = drawn[hidden.degrees[drawn] > 0].astype(np.int64)
    return profile_answers(left, newcomers, hidden, here), newcomers, hidden


def test_the_column_asked_for_finds_what_all_columns_find() -> None:
    found, newcomers, _ = judged(team_network())
    assert found is not None
    assert found.users == len(newcomers)
    assert found.ask == "team"
    assert found.recall[ASKED].value == found.columns["team"].value == 1.0
    assert found.recall[ALL].value == 1.0
    assert found.recall[NOTHING].value < found.recall[RANDOM].value < 0.7
    assert found.ratio is not None
    assert found.ratio.low > 1.3


def test_the_figures_of_columns_are_those_of_lists_made_by_hand() -> None:
    network = team_network()
    found, newcomers, hidden = judged(network)
    assert found is not None
    recalls = []
    for user in newcomers:
        mates = np.flatnonzero(network.codes[:, 0] == network.codes[user, 0])
        mates = mates[~np.isin(mates, newcomers)][:20]
        recalls.append(np.isin(hidden.neighbours(int(user)), mates).mean())
    assert found.columns["team"].value == np.mean(recalls)


def test_nobody_or_no_column_is_not_judged() -> None:
    network = team_network()
    nobody = np.zeros(0, np.int64)
    assert profile_answers(network, nobody, network.graph, network.suggestible) is None
    bare = Network(
        network.graph, network.suggestible, network.popular, [], np.zeros((network.graph.n, 0), np.int32), []
    )
    assert profile_answers(bare, np.array([0]), Graph.from_pairs(network.graph.n, [0], [1]), bare.suggestible) is None
