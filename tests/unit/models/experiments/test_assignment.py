"""Arms and holdouts by hash: the shares, that nothing else decides, and that salts are independent."""

from collections import Counter

import numpy as np
import pytest

from models.experiments.assignment import ArmDraw, arms_of, held_out
from models.experiments.experiment import Experiment
from tests.support.experiments.arms import two_arms

VIEWERS = [f"viewer-{at}" for at in range(20_000)]


def shares(*arms: float) -> Experiment:
    settings = [{"fatigue_limit": at + 1} for at in range(len(arms))]
    return Experiment.model_validate(
        {
            "name": "x",
            "arms": [{"name": f"arm{at}", "share": share, "settings": settings[at]} for at, share in enumerate(arms)],
        }
    )


def test_shares_are_kept_and_the_rest_is_in_no_arm() -> None:
    counted = Counter(arms_of(shares(0.1, 0.05), VIEWERS))
    assert counted["arm0"] == pytest.approx(2000, abs=130)
    assert counted["arm1"] == pytest.approx(1000, abs=100)
    assert counted[None] == len(VIEWERS) - counted["arm0"] - counted["arm1"]


def test_three_thirds_are_everybody() -> None:
    assert None not in arms_of(shares(0.1, 0.2, 0.7), VIEWERS)
    assert None not in arms_of(shares(*[1 / 3] * 3), VIEWERS)


def test_an_arm_is_the_same_forever() -> None:
    """Viewers whose arm changed with a release would spoil every experiment that runs."""
    people = ["ann", "eva", "fay", "héloïse"]
    experiment = two_arms(holdout=0.4, fatigue_limit=3)
    assert arms_of(experiment, people) == ["control", "treatment", "treatment", "control"]
    assert held_out(experiment, people).tolist() == [False, False, True, False]


def test_two_salts_split_independently_and_one_salt_alike() -> None:
    first, second = (ArmDraw(two_arms(salt=salt, fatigue_limit=3)) for salt in ("one", "two"))
    drawn = np.array([[first.arm(one), second.arm(one)] for one in VIEWERS])
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0, abs=0.03)
    other = ArmDraw(two_arms("other", salt="one", fatigue_limit=3))
    assert [other.arm(one) for one in VIEWERS[:100]] == drawn[:100, 0].tolist()


def test_the_holdout_has_its_share_and_nothing_to_do_with_the_arms() -> None:
    experiment = two_arms(holdout=0.2, fatigue_limit=3)
    held = held_out(experiment, VIEWERS)
    assert held.mean() == pytest.approx(0.2, abs=0.01)
    arms = np.array([arm == "treatment" for arm in arms_of(experiment, VIEWERS)])
    assert np.corrcoef(held, arms)[0, 1] == pytest.approx(0, abs=0.03)
    assert not held_out(two_arms(fatigue_limit=3), VIEWERS).any()
