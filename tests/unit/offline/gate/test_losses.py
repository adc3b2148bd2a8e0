"""What a dataset may lose against the active version, and what refuses it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from models.live_state.erased_ids import ErasedPeople
from models.version.local_versions import Versions
from offline.evaluation.gate_check import GateCheck
from offline.features.temporal_graph import friendships
from offline.gate.config import GateConfig
from offline.gate.decision import refusals
from offline.gate.losses import ActiveVersion, beyond, loss_checks
from offline.snapshot.snapshot import Snapshot, write_snapshot
from tests.support.nights import make_untrained_night, untrained_bundle

PEOPLE = 400
STARTED = datetime(2026, 3, 1, tzinfo=UTC)
Tables = dict[str, pl.DataFrame]
Change = Callable[[Tables], Tables]


def network() -> Tables:
    """People of four towns, of whom each knows the next five; a quarter name no firm."""
    ids = [f"p{number:03}" for number in range(PEOPLE)]
    users = pl.DataFrame(
        {
            "user_id": ids,
            "town": [f"town {number % 4}" for number in range(PEOPLE)],
            "firm": [None if number % 4 == 0 else f"firm {number % 7}" for number in range(PEOPLE)],
            "age": [20 + number % 40 for number in range(PEOPLE)],
            "active": [True] * PEOPLE,
        }
    )
    pairs = [(a, (a + step) % PEOPLE) for a in range(PEOPLE) for step in range(1, 6)]
    connections = pl.DataFrame({"user_id": [ids[a] for a, _ in pairs], "other_id": [ids[b] for _, b in pairs]})
    blocked = [(ids[a], ids[(a + 50) % PEOPLE]) for a in range(0, PEOPLE, 10)]
    interactions = pl.DataFrame(
        {
            "user_id": [a for a, _ in blocked],
            "other_id": [b for _, b in blocked],
            "kind": ["block", "dismiss", "report", "invite"] * 10,
            "at": ["2026-02-01T00:00:00Z"] * len(blocked),
        }
    )
    return {"users": users, "connections": connections, "interactions": interactions}


def written(directory: Path, tables: Tables) -> Path:
    directory.mkdir()
    for name, frame in tables.items():
        frame.write_csv(directory / f"{name}.csv")
    kinds = {"town": "categorical", "firm": "categorical", "age": "numeric"}
    there = "".join(f'{name} = "{kind}"\n' for name, kind in kinds.items() if name in tables["users"].columns)
    (directory / "schema.toml").write_text(f"[users]\n{there}")
    return directory


@pytest.fixture(scope="module")
def active(tmp_path_factory: pytest.TempPathFactory) -> ActiveVersion:
    directory = tmp_path_factory.mktemp("active")
    versions = Versions(directory / "home")
    made = make_untrained_night(written(directory / "DATA", network()), versions, 1, None, untrained_bundle)
    return ActiveVersion.of(versions, versions.manifest(made))


def checks(
    active: ActiveVersion,
    directory: Path,
    change: Change,
    config: GateConfig | None = None,
    erased: ErasedPeople | None = None,
) -> list[GateCheck]:
    data = written(directory / "DATA", change(network()))
    snapshot: Snapshot = write_snapshot(data, directory / "snapshot", started_at=STARTED)
    graph = friendships(snapshot).graph
    return loss_checks(active, snapshot, graph, erased or ErasedPeople.nobody(), config or GateConfig())


def of_users(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Change:
    return lambda tables: tables | {"users": change(tables["users"])}


def of_connections(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Change:
    return lambda tables: tables | {"connections": change(tables["connections"])}


def of_interactions(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Change:
    return lambda tables: tables | {"interactions": change(tables["interactions"])}


def lifted(done: pl.DataFrame) -> pl.DataFrame:
    """The interactions with each block and dismissal lifted a day later, and those rows of before gone."""
    words = {"block": "unblock", "dismiss": "undismiss"}
    later = done.filter(pl.col("kind").is_in(list(words))).with_columns(
        pl.col("kind").replace_strict(words), at=pl.lit("2026-02-02T00:00:00Z")
    )
    return pl.concat([done.filter(~pl.col("kind").is_in(list(words))), later])


FIRST_HALF = pl.col("user_id") < "p200"


def half_of_the_people(tables: Tables) -> Tables:
    """What is left of the tables if half of the people are not."""
    among = pl.col("other_id") < "p200"
    return {name: table.filter(FIRST_HALF, *(() if name == "users" else (among,))) for name, table in tables.items()}


WHOLE = {
    "people_lost",
    "friendships_lost",
    "forbidden_lost",
    "columns_lost",
    "values_lost_town",
    "values_lost_firm",
    "values_lost_age",
}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda tables: tables, set()),
        (of_connections(lambda pairs: pairs.head(0)), {"friendships_lost"}),
        (of_connections(lambda pairs: pairs.sample(fraction=0.9, seed=1)), set()),
        (of_connections(lambda pairs: pairs.sample(fraction=0.6, seed=1)), {"friendships_lost"}),
        (of_users(lambda people: people.drop("firm")), {"columns_lost"}),
        (of_users(lambda people: people.rename({"town": "city"})), {"columns_lost"}),
        (
            of_users(lambda people: people.with_columns(firm=pl.when(FIRST_HALF).then(None).otherwise("firm"))),
            {"values_lost_firm"},
        ),
        (of_users(lambda people: people.with_columns(age=pl.lit(None, pl.Int64))), {"values_lost_age"}),
        (of_users(lambda people: people.with_columns(active=FIRST_HALF)), {"people_lost"}),
        (
            half_of_the_people,
            {"people_lost", "friendships_lost"},
        ),
        (of_users(lambda people: people.filter(pl.col("user_id") > "p020")), set()),
        (of_interactions(lambda done: done.head(0)), {"forbidden_lost"}),
        (of_interactions(lambda done: done.filter(pl.col("kind") != "block")), {"forbidden_lost"}),
        (of_interactions(lambda done: done.filter(pl.col("kind") != "invite")), set()),
        (of_interactions(lifted), set()),
    ],
    ids=[
        "the same",
        "a header alone",
        "a tenth of the friendships ended",
        "two fifths of the friendships ended",
        "a column is gone",
        "a column is renamed",
        "half of a column is empty",
        "a column is empty",
        "half are inactive",
        "half of the people are gone",
        "a few profiles are gone",
        "interactions have a header alone",
        "blocks are gone",
        "invites are gone",
        "blocks and dismissals are lifted",
    ],
)
def test_what_is_lost_is_refused_by_its_name(
    active: ActiveVersion, tmp_path: Path, change: Change, names: set[str]
) -> None:
    found = checks(active, tmp_path, change)
    assert {check.name for check in refusals(found)} == names
    assert {check.name for check in found} >= WHOLE - {"values_lost_firm", "values_lost_town"}
    for check in refusals(found):
        assert active.manifest.version in check.sentence
        assert "gate.most_" in check.sentence


def test_settings_allow_what_is_meant(active: ActiveVersion, tmp_path: Path) -> None:
    config = GateConfig(columns_dropped=["firm"], most_friendships_lost=1)

    def change(tables: Tables) -> Tables:
        return tables | {"users": tables["users"].drop("firm"), "connections": tables["connections"].head(0)}

    assert not refusals(checks(active, tmp_path, change, config))


def test_the_erased_are_not_missed(active: ActiveVersion, tmp_path: Path) -> None:
    gone = {f"p{number:03}": 1 for number in range(200, PEOPLE)}
    assert not refusals(checks(active, tmp_path, half_of_the_people, erased=ErasedPeople.nobody().joined(gone)))


def test_without_files_of_the_active_version_numbers_are_compared(active: ActiveVersion, tmp_path: Path) -> None:
    remote = ActiveVersion(active.manifest, None)
    found = checks(remote, tmp_path, of_connections(lambda pairs: pairs.head(100)))
    assert {check.name for check in refusals(found)} == {"friendships_lost"}


def test_nothing_published_loses_nothing(tmp_path: Path) -> None:
    data = written(tmp_path / "DATA", network())
    snapshot = write_snapshot(data, tmp_path / "snapshot", started_at=STARTED)
    graph = friendships(snapshot).graph
    (check,) = loss_checks(None, snapshot, graph, ErasedPeople.nobody(), GateConfig())
    assert check.verdict == "skipped"


def test_a_few_blocks_that_an_export_no_longer_has_may_have_been_lifted(
    active: ActiveVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offline.gate.losses.LEAST_FORBIDDEN", 41)
    (check,) = [
        one
        for one in checks(active, tmp_path, of_interactions(lambda done: done.head(0)))
        if one.name == "forbidden_lost"
    ]
    assert (check.verdict, check.value) == ("passed", 1.0), "of forty"


@pytest.mark.parametrize(
    ("lost", "of", "expected"),
    [(0, 0, False), (1, 8, False), (8, 8, True), (12, 100, False), (30, 100, True), (1100, 10_000, True)],
)
def test_chance_in_a_small_network_refuses_nothing(lost: int, of: int, expected: bool) -> None:
    assert beyond(lost, of, 0.1) is expected
