"""The dataset that a simulation starts from, who joins when, and what a configuration may say."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.errors import UsageError
from models.system import files
from models.system.toml_file import read_model
from offline.simulation import dataset
from offline.simulation.config import SimulationConfig
from offline.simulation.month import LOCK, MARKER, check_target, simulate
from offline.simulation.people import People
from offline.synth.network import Network, generate

START = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def network() -> Network:
    return generate(200, 10, 3)


def test_it_has_the_people_who_are_there_and_ends_when_the_month_begins(network: Network, tmp_path: Path) -> None:
    dataset.write(network, 180, tmp_path / "DATA", START)
    users, pairs = (pl.read_csv(tmp_path / "DATA" / f"{name}.csv") for name in ("users", "connections"))
    assert len(users) == 180
    assert set(pairs["user_id"]) | set(pairs["other_id"]) <= set(users["user_id"])
    assert "2026-11-01" < pairs["created_at"].max() < "2026-11-29T12:00:00Z"  # type: ignore[operator]
    assert 'as_of = "2026-11-29T12:00:00Z"' in (tmp_path / "DATA" / "schema.toml").read_text()
    assert not (tmp_path / "DATA" / "held_out.csv").exists()
    read = People.of(network, SimulationConfig().behaviour, 3, 180)
    assert sum(map(len, read.friends)) == 2 * len(pairs)


def test_those_who_join_are_spread_over_the_days_and_bring_friends(network: Network) -> None:
    joining = dataset.joining_days(200, 180, 10)
    assert sorted(person for some in joining.values() for person in some) == list(range(180, 200))
    assert set(joining) == set(range(1, 11))
    assert dataset.joining_days(200, 200, 10) == {}
    friends = [dataset.first_friends(network, person, person, 3) for person in range(180, 200)]
    assert all(len(some) <= 3 and max(some, default=0) < person for person, some in enumerate(friends, 180))
    assert sum(map(len, friends)) > 20


def test_a_profile_is_what_a_put_takes(network: Network) -> None:
    profiles = [dataset.profile_of(network, person) for person in range(200)]
    assert any(isinstance(one.get("interests"), list) for one in profiles)
    assert all(None not in one.values() and "user_id" not in one for one in profiles)
    assert isinstance(profiles[0]["active"], bool)


def test_people_are_the_same_from_the_same_seed(network: Network) -> None:
    behaviour = SimulationConfig().behaviour
    first, second, other = (People.of(network, behaviour, seed, 180) for seed in (3, 3, 4))
    assert first.truth().equals(second.truth())
    assert not np.allclose(first.taste, other.taste)
    assert first.visits.mean() == pytest.approx(behaviour.visits, abs=0.1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limt = 3", "limt is no setting; did you mean limit?"),
        ("[behaviour]\nvisit = 1", "behaviour.visit is no setting; did you mean behaviour.visits?"),
        ("[settings]\nfatigue_limt = 3", "did you mean fatigue_limit?"),
        ('[settings]\nhome = "x"', "home is no setting of a simulation"),
        ("[experiment]\nday = 2", "experiment.file is missing"),
        ("[settings]\napproval = true", "approval is no setting of a simulation"),
    ],
)
def test_what_is_wrong_in_a_configuration_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        read_model(file, SimulationConfig)


def test_a_directory_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("{}")
    with files.locked(tmp_path / LOCK, 0) as is_locked:
        assert is_locked
        with pytest.raises(UsageError, match="another pymk simulate writes"):
            simulate(tmp_path, 60, 1, 0, SimulationConfig(), lambda *_: None)
    assert (tmp_path / MARKER).exists()


def test_a_directory_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert check_target(tmp_path / "mine") == tmp_path / "mine"
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="was not made by pymk simulate"):
        check_target(tmp_path / "mine")
    with pytest.raises(UsageError, match="is a file"):
        check_target(tmp_path / "mine" / "thesis.txt")
