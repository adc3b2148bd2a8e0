"""Files of settings that are judged, and the scores of a version under them."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import UsageError
from models.setting_texts import ContextLimit
from models.settings import Settings
from offline.experiments.policy import NO_DRAWS, Draws, Policy, in_words

VERSION = "20260101T000000Z-0a1b2c"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bolder.toml"


def test_a_file_changes_what_it_names(file: Path) -> None:
    file.write_text(
        'outcome_blend = "accepted:2"\ndiversity_most = 5\nexploration_temperature = 0.5\n'
        'context_limits = "email:5:0.1"\nsuspicious = "drop"\n'
    )
    own = Settings(diversity_column="city", exploration_uniform_share=0.1, exploration_fixed=4)
    policy = Policy.read(file, own, VERSION)
    assert policy.version == VERSION
    rules = policy.rules
    assert (rules.diversity_column, rules.diversity_most, rules.suspicious) == ("city", 5, "drop")
    assert rules.blend == {"accepted": 2.0}
    assert rules.contexts == {"email": ContextLimit(5, 0.1)}
    assert policy.draws == Draws(temperature=0.5, fixed=4, uniform_share=0, best=own.exploration_best)
    said = in_words(policy.version, policy.changed)
    assert said.startswith(f"{VERSION} with context_limits = email:5:0.1, diversity_most = 5, ")
    assert "outcome_blend = accepted:2.0" in said


def test_a_version_is_judged_by_the_rules_of_the_installation_in_its_own_order() -> None:
    policy = Policy.of(VERSION, Settings(diversity_column="city", exploration_temperature=1.0))
    assert not policy.draws.is_on
    assert policy.draws.shares(np.array([0.5, 0.4]), 2, 2).tolist() == NO_DRAWS.shares(np.ones(2), 2, 2).tolist()
    assert policy.rules.diversity_column == "city"
    assert in_words(policy.version, policy.changed) == VERSION


def test_a_file_may_name_its_version(file: Path) -> None:
    file.write_text('version = "20250101T000000Z-000000"\n')
    assert Policy.read(file, Settings(), VERSION).version == "20250101T000000Z-000000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fatigue_factor = 0.5\n", "fatigue_factor cannot be judged from logged lists: the log does not say"),
        ("exploration_boost = 5\n", "exploration_boost cannot be judged from logged lists: the log does not say who"),
        ("exploration_hold_minutes = 5\n", "exploration_hold_minutes cannot be judged"),
        ("diversity_mst = 5\n", "line 1: diversity_mst is no setting; did you mean diversity_most?"),
        ("diversity_most = 0\n", "line 1: diversity_most = 0"),
        ('outcome_blend = "clicked:1"\n', "clicked is not among"),
        ("", "names no version, and none is active"),
    ],
)
def test_what_is_wrong_or_cannot_be_judged_is_named(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        Policy.read(file, Settings(), None)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)
