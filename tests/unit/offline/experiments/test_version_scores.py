"""The candidates of viewers in a version on disk, under soft rules."""

from pathlib import Path

import numpy as np
import pytest

from models.setting_texts import ContextLimit
from models.system import files
from models.version.local_versions import Versions
from offline.experiments.policy import Rules
from offline.experiments.version_policy import ScoredCandidates
from offline.experiments.version_scores import DiskVersionScores
from tests.support.versions import PEOPLE, MakeVersion, make_servable


@pytest.fixture
def directory(tmp_path: Path, make_version: MakeVersion) -> Path:
    version = make_version()
    make_servable(tmp_path, version)
    return Versions(tmp_path).path(version)


def scored(directory: Path, rules: Rules, context: str = "web") -> ScoredCandidates:
    found = DiskVersionScores(directory, rules)("bea", context)
    assert found is not None
    return found


def test_without_rules_they_stand_by_their_scores(directory: Path) -> None:
    found = scored(directory, Rules())
    assert len(found.user_ids) == 3, "whoever hides is no candidate"
    assert (np.diff(found.scores) < 0).all()
    assert (found.eligible, found.places, found.groups.tolist()) == (3, 20, [-1] * 3)
    assert DiskVersionScores(directory, Rules())("nobody", "web") is None


def test_a_context_has_limits(directory: Path) -> None:
    whole = scored(directory, Rules())
    least = float(whole.scores[1])
    rules = Rules(contexts={"email": ContextLimit(2, least)})
    found = scored(directory, rules, "email")
    assert (found.user_ids, found.places) == (whole.user_ids[:2], 2)
    assert scored(directory, rules).user_ids == whole.user_ids


def test_suspicious_accounts_come_last_or_not_at_all(directory: Path) -> None:
    whole = scored(directory, Rules())
    first = whole.user_ids[0]
    suspicion = np.zeros(8, np.float16)
    suspicion[PEOPLE.index(first)] = 1
    files.write_array(directory / "tables" / "suspicion.npy", suspicion)
    described = files.read_json(directory / "tables" / "tables.json")
    files.write_json(directory / "tables" / "tables.json", described | {"suspicion": True})
    demoted = scored(directory, Rules(suspicious="demote"))
    assert demoted.user_ids == [*whole.user_ids[1:], first]
    assert demoted.eligible == 2
    assert scored(directory, Rules(suspicious="drop")).user_ids == whole.user_ids[1:]
    assert scored(directory, Rules(suspicious="off")).user_ids == whole.user_ids


def test_diversity_goes_by_the_column(directory: Path) -> None:
    found = scored(directory, Rules(diversity_column="company", diversity_most=1))
    assert (found.groups.tolist(), found.most) == ([1] * 3, 1)
