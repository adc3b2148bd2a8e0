"""A clever row has to beat the best simple one by more than chance."""

import numpy as np
import pytest

from offline.compare.justification import verdicts

RANDOM = np.random.default_rng(0)
BASE = RANDOM.random(400)


def test_a_gain_within_chance_justifies_nothing() -> None:
    noisy = BASE + RANDOM.normal(0, 0.1, size=400)
    told = verdicts({"weighted_average": BASE, "mlp": BASE + 0.05, "linucb": noisy, "dqn": BASE + 0.2})
    assert [(one.clever, one.simple, one.is_justified) for one in told] == [
        ("mlp", "weighted_average", True),
        ("linucb", "mlp", False),
        ("dqn", "mlp", True),
    ]
    assert "not justified: mlp does as well" in str(told[1])
    assert told[2].gain.value == pytest.approx(0.15)


def test_the_same_figures_justify_nothing() -> None:
    (told,) = verdicts({"weighted_average": BASE, "moe": BASE})
    assert (told.gain.value, told.is_justified) == (0.0, False)
    assert verdicts({"moe": BASE}) == []
