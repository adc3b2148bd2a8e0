"""A complex fusion has to beat the simple one by more than chance."""

import numpy as np
import pytest

from offline.compare.justification import verdicts

RANDOM = np.random.default_rng(0)
BASE = RANDOM.random(400)


def test_a_gain_within_chance_justifies_nothing() -> None:
    noisy = BASE + RANDOM.normal(0, 0.1, size=400)
    found = verdicts({"average": BASE, "mlp": BASE + 0.05, "linucb": noisy, "dqn": BASE + 0.2}, "average")
    assert [(one.row, one.base, one.is_justified) for one in found] == [
        ("mlp", "average", True),
        ("linucb", "average", False),
        ("dqn", "average", True),
    ]
    assert str(found[0]) == "mlp is justified: NDCG@20 +0.0500 [+0.0500, +0.0500] against average"
    assert str(found[1]).startswith("linucb is not justified: NDCG@20 ")
    assert found[2].gain.value == pytest.approx(0.2)


def test_the_same_figures_justify_nothing() -> None:
    (found,) = verdicts({"average": BASE, "moe": BASE}, "average")
    assert (found.gain.value, found.is_justified) == (0.0, False)
    assert verdicts({"average": BASE}, "average") == []
