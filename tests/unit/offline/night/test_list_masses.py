"""The mass of lists, of many at once."""

import numpy as np

from models.ranker.ranker import MASS_OF, list_mass
from offline.night.outcomes.learn import mass_of_lists


def test_masses_of_many_lists_are_those_of_each() -> None:
    random = np.random.default_rng(0)
    lists = random.permutation(np.repeat(np.arange(60), random.integers(1, 3 * MASS_OF, 60)))
    logits = random.normal(0, 3, len(lists)).astype(np.float32)
    logits[lists == 7] = -90.0
    found = mass_of_lists(lists, logits)
    for number in range(60):
        own = lists == number
        np.testing.assert_allclose(found[own], list_mass(logits[own]), rtol=1e-5, atol=1e-5)
