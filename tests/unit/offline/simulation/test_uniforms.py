"""Random numbers that depend on nothing but what they are for."""

import numpy as np
import pytest

from offline.simulation.uniforms import Draw, uniforms

PEOPLE = np.arange(50_000)


def test_they_are_spread_evenly_and_have_nothing_to_do_with_each_other() -> None:
    first, second = uniforms(1, 2, Draw.LOOK, PEOPLE, 7), uniforms(1, 2, Draw.INVITE, PEOPLE, 7)
    assert ((first >= 0) & (first < 1)).all()
    assert np.histogram(first, bins=10, range=(0, 1))[0] == pytest.approx(5000, abs=300)
    for other in (second, uniforms(2, 2, Draw.LOOK, PEOPLE, 7), uniforms(1, 3, Draw.LOOK, PEOPLE, 7)):
        assert np.corrcoef(first, other)[0, 1] == pytest.approx(0, abs=0.02)


def test_neighbours_and_swapped_pairs_differ() -> None:
    pairs = uniforms(0, 1, Draw.LOOK, PEOPLE[:-1], PEOPLE[1:])
    swapped = uniforms(0, 1, Draw.LOOK, PEOPLE[1:], PEOPLE[:-1])
    assert np.corrcoef(pairs, swapped)[0, 1] == pytest.approx(0, abs=0.02)
    assert np.corrcoef(pairs[:-1], pairs[1:])[0, 1] == pytest.approx(0, abs=0.02)


def test_the_order_of_the_pairs_changes_nothing() -> None:
    shuffled = np.random.default_rng(0).permutation(PEOPLE)
    assert (uniforms(0, 1, Draw.LOOK, shuffled, 3) == uniforms(0, 1, Draw.LOOK, PEOPLE, 3)[shuffled]).all()
