"""Real networks against themselves with other friendships hidden, and against copies that drifted in one way each."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from offline.evaluation.drift_check import DriftCheck
from offline.features.temporal_graph import friendships
from offline.monitor.compare_data import compare_data
from offline.monitor.describe import describe
from offline.monitor.reference import ReferenceStatistics
from offline.snapshot.snapshot import write_snapshot

ROOT = Path(__file__).resolve().parents[4]
PLACES = (ROOT / "shared" / "data", ROOT.parent / "shared" / "data")
NETWORKS = next((place for place in PLACES if place.is_dir()), PLACES[0])
FACEBOOK = ("caltech36", "cornell5")
"""people of one university each, with seven columns; the columns whose friends are alike in each are below"""
SHUFFLED = ("status", "major", "dorm", "year")


class Network:
    """A network, and the statistics of changed copies of it."""

    def __init__(self, name: str, directory: Path) -> None:
        self._directory, self._copies = directory, 0
        self.users = pl.read_csv(NETWORKS / name / "users.csv", infer_schema=False)
        columns = ("user_id", "other_id")
        known, hidden = (
            pl.read_csv(NETWORKS / name / f"{table}.csv", infer_schema=False).select(columns)
            for table in ("connections", "held_out")
        )
        self.connections = pl.concat([known, hidden])
        self.schema = (NETWORKS / name / "schema.toml").read_text()

    def described(
        self,
        seed: int,
        users: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
        connections: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
        schema: str | None = None,
    ) -> ReferenceStatistics:
        """The statistics with a tenth of the friendships hidden, drawn with `seed`, and what else is changed."""
        self._copies += 1
        data = self._directory / str(self._copies)
        data.mkdir()
        left = self.connections.sample(fraction=0.9, seed=seed)
        (self.users if users is None else users(self.users)).write_csv(data / "users.csv")
        (left if connections is None else connections(left)).write_csv(data / "connections.csv")
        (data / "schema.toml").write_text(schema or self.schema)
        snapshot = write_snapshot(data, data / "snapshot", started_at=datetime(2026, 3, 1, tzinfo=UTC))
        return describe(snapshot, friendships(snapshot))


@pytest.fixture(scope="module", params=FACEBOOK)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Network:
    if not (NETWORKS / request.param).is_dir():
        pytest.skip(f"{NETWORKS / request.param} is not here")
    return Network(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def then(network: Network) -> ReferenceStatistics:
    return network.described(seed=1)


def alarms(checks: list[DriftCheck]) -> set[str]:
    return {check.name for check in checks if check.verdict == "alarm"}


@pytest.mark.parametrize("seed", [2, 3])
def test_other_hidden_friendships_give_no_alarm(network: Network, then: ReferenceStatistics, seed: int) -> None:
    checks = compare_data(then, network.described(seed))
    assert not [check.sentence for check in checks if check.verdict != "ok"]


@pytest.mark.parametrize("column", SHUFFLED)
def test_a_shuffled_column_is_named_and_nothing_else(network: Network, then: ReferenceStatistics, column: str) -> None:
    now = network.described(2, users=lambda people: people.with_columns(pl.col(column).shuffle(seed=3)))
    assert alarms(compare_data(then, now)) == {f"meaning_{column}"}


def test_a_renamed_column_is_named_with_its_new_name(network: Network, then: ReferenceStatistics) -> None:
    schema = network.schema.replace("high_school", "school")
    now = network.described(2, users=lambda people: people.rename({"high_school": "school"}), schema=schema)
    (check,) = (check for check in compare_data(then, now) if check.verdict == "alarm")
    assert check.name == "gone_high_school"
    assert "school, which is new, looks like it: was it renamed?" in check.sentence


def test_a_third_of_the_people_without_friends_are_named(network: Network, then: ReferenceStatistics) -> None:
    gone = network.users["user_id"].sample(fraction=1 / 3, seed=1).implode()
    ends = pl.col("user_id").is_in(gone) | pl.col("other_id").is_in(gone)
    now = network.described(2, connections=lambda pairs: pairs.filter(~ends))
    assert alarms(compare_data(then, now)) >= {"friends", "isolated", "ks_log_degree"}


def test_a_third_of_the_friendships_lost_is_named(network: Network, then: ReferenceStatistics) -> None:
    now = network.described(2, connections=lambda pairs: pairs.sample(fraction=2 / 3, seed=4))
    assert "friends" in alarms(compare_data(then, now))
