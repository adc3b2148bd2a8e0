"""Draws: what they may move, how often, and that their probabilities are those of the frequencies."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.outcomes.exposure_record import ListHead, PackedPeople, pack_list, unpack_list
from models.outcomes.placement import placements, propensities
from service.ranking.exploration.draw import Draw, Drawn, Exploration, draw, log_odds, seed_of

SCORES = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.2, 0.1, 0.05], np.float32)
HASHES = np.arange(8, dtype=np.uint32)


def stated(drawn: Drawn) -> NDArray[np.float32]:
    """The propensities of people, by way of the record of their list."""
    n = len(drawn.at)
    head = ListHead(0, "r", "v", "web", "ann", "ranked", {}, 0, drawn.draw.how)
    return propensities(unpack_list(pack_list(head, PackedPeople(n, 0, b"", bytes(9 * n)), b"", drawn.pack())))


def drawn(exploration: Exploration, seed: int, eligible: int = 8) -> Draw:
    return draw(exploration, seed, SCORES, HASHES, eligible)


def test_what_is_off_moves_nobody() -> None:
    off = drawn(Exploration(), 1)
    assert (off.how, off.order.tolist()) == ("none", list(range(8)))
    assert stated(Drawn(off, np.arange(8))).tolist() == [1] * 8
    assert not Exploration().is_on


def test_only_the_best_below_the_first_places_are_drawn() -> None:
    exploration = Exploration(temperature=1, fixed=2, best=6)
    orders = np.array([drawn(exploration, seed_of("ann", "v", "web", span)).order for span in range(300)])
    assert (orders[:, :2] == [0, 1]).all()
    assert (orders[:, 6:] == [6, 7]).all()
    assert all(sorted(order) == list(range(8)) for order in orders.tolist())
    assert len({tuple(order) for order in orders.tolist()}) > 20
    assert (np.array([drawn(exploration, seed, 3).order for seed in range(50)]) == np.arange(8)).all(), "one alone"


def test_the_frequencies_are_the_probabilities() -> None:
    exploration = Exploration(temperature=0.7, fixed=1, best=6)
    draws = 8_000
    counts = np.zeros((8, 8))
    for span in range(draws):
        counts[drawn(exploration, seed_of("ann", "v", "web", span)).order, np.arange(8)] += 1
    one = drawn(exploration, 5)
    for person in range(8):
        own = one._replace(order=np.full(8, person))
        found = stated(Drawn(own, np.arange(8)))[1:6]
        if 1 <= person < 6:
            error = np.sqrt(found * (1 - found) / draws)
            assert np.abs(counts[person, 1:6] / draws - found).max() < 4.5 * error.max()


def test_the_probabilities_are_those_of_all_orders() -> None:
    weights = log_odds(SCORES[:6]) / 0.5
    rates = np.exp(weights)
    exact = np.zeros((6, 6))
    for order in permutations(range(6)):
        left = np.cumsum(rates[list(order)][::-1])[::-1]
        exact[order, range(6)] += np.prod(rates[list(order)] / left)
    for person in range(6):
        found = placements(weights, np.full(6, person), np.arange(6))
        assert found == pytest.approx(exact[person], abs=1e-6)


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_a_person_is_in_some_place_and_a_place_has_some_person(spread: float) -> None:
    weights = np.linspace(0, -spread, 50)
    every = np.array([placements(weights, np.full(50, person), np.arange(50)) for person in range(50)], np.float64)
    assert every.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert every.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_uniform_draw_is_uniform_and_has_its_share() -> None:
    exploration = Exploration(temperature=1, uniform_share=0.25, best=5)
    made = [drawn(exploration, seed_of(f"viewer {number}", "v", "web", 0)) for number in range(4000)]
    uniform = [one for one in made if one.how == "uniform"]
    assert 0.22 < len(uniform) / len(made) < 0.28
    firsts = np.bincount([one.order[0] for one in uniform], minlength=5)
    assert (np.abs(firsts / len(uniform) - 0.2) < 0.06).all()
    assert stated(Drawn(uniform[0], np.arange(8))) == pytest.approx([0.2] * 5 + [1] * 3)


def test_whoever_leaves_moves_nobody_else() -> None:
    exploration = Exploration(temperature=1, fixed=0, best=8)
    seed = seed_of("ann", "v", "web", 3)
    whole = draw(exploration, seed, SCORES, HASHES, 8).order.tolist()
    left = np.array([at for at in range(8) if at != whole[2]])
    without = left[draw(exploration, seed, SCORES[left], HASHES[left], 7).order].tolist()
    assert without == [at for at in whole if at != whole[2]]


def test_a_draw_is_of_its_viewer_version_context_and_turn() -> None:
    seeds = {seed_of(*one) for one in (("a", "v", "web", 1), ("b", "v", "web", 1), ("a", "w", "web", 1))}
    seeds |= {seed_of("a", "v", "email", 1), seed_of("a", "v", "web", 2)}
    assert len(seeds) == 5


def test_who_is_hardly_shown_is_favoured() -> None:
    exploration = Exploration(temperature=1, fixed=0, best=8, boost=20)
    seldom = HASHES == 7
    places = {False: [], True: []}
    for span in range(400):
        seed = seed_of("ann", "v", "web", span)
        for favoured, mask in ((False, None), (True, seldom)):
            order = draw(exploration, seed, SCORES, HASHES, 8, mask).order.tolist()
            places[favoured].append(order.index(7))
    assert np.mean(places[True]) < np.mean(places[False]) - 1.5
    plain, boosted = (draw(exploration, 1, SCORES, HASHES, 8, mask).weights for mask in (None, seldom))
    assert (boosted - plain).tolist() == pytest.approx([0] * 7 + [np.log(20)])
