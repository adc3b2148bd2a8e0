"""Datasets that drifted in one way each, and what the monitor names; and datasets that did not."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from offline.evaluation.drift_check import DriftCheck
from offline.features.temporal_graph import friendships
from offline.monitor.compare_data import compare_data
from offline.monitor.describe import describe
from offline.monitor.html import as_html
from offline.monitor.reference import ReferenceStatistics
from offline.night.monitor import report_of
from offline.snapshot.snapshot import write_snapshot

STARTED = datetime(2026, 3, 1, tzinfo=UTC)
SCHOOLS = ("Elm", "Oak", "Ash", "Yew")
Tables = dict[str, pl.DataFrame]
Change = Callable[[Tables], Tables]


def network(people: int = 600, seed: int = 1) -> Tables:
    """People of four schools and of all ages, friends within the school four times in five."""
    random = np.random.default_rng(seed)
    school = random.integers(4, size=people)
    ids = np.array([f"p{number:04}" for number in range(people)])
    a = np.repeat(np.arange(people), 12)
    same = random.random(len(a)) < 0.8
    b = random.integers(people, size=len(a))
    for code in range(4):
        mine = same & (school[a] == code)
        b[mine] = random.choice(np.flatnonzero(school == code), int(mine.sum()))
    users = pl.DataFrame(
        {
            "user_id": ids,
            "school": [SCHOOLS[code] for code in school],
            "genres": [f"{SCHOOLS[code][0]}|{'x' if random.random() < 0.5 else 'y'}" for code in school],
            "born": [1980 + 5 * int(code) + int(random.integers(4)) for code in school],
            "seen": [1_770_000_000 + int(random.integers(10**6)) for _ in range(people)],
            "city": [f"city {random.integers(30)}" for _ in range(people)],
        }
    )
    kept = a != b
    return {"users": users, "connections": pl.DataFrame({"user_id": ids[a[kept]], "other_id": ids[b[kept]]})}


KINDS = {"school": "categorical", "genres": "multi", "born": "numeric", "seen": "timestamp", "city": "categorical"}


def described(directory: Path, tables: Tables, kinds: dict[str, str] = KINDS) -> ReferenceStatistics:
    directory.mkdir()
    for name, frame in tables.items():
        frame.write_csv(directory / f"{name}.csv")
    lines = [f'{name} = "{kind}"' for name, kind in kinds.items() if name in tables["users"].columns]
    (directory / "schema.toml").write_text("[users]\n" + "\n".join(lines) + "\n")
    snapshot = write_snapshot(directory, directory / "snapshot", started_at=STARTED)
    return describe(snapshot, friendships(snapshot))


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory) -> ReferenceStatistics:
    return described(tmp_path_factory.mktemp("then") / "DATA", network())


def alarms(checks: list[DriftCheck]) -> set[str]:
    return {check.name for check in checks if check.verdict == "alarm"}


def users(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Change:
    return lambda tables: tables | {"users": change(tables["users"])}


def pairs(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Change:
    return lambda tables: tables | {"connections": change(tables["connections"])}


FIRST_THIRD = pl.col("user_id") < "p0200"
FRIENDLESS = {"friends", "isolated", "ks_log_degree", "ks_clustering", "ks_friends_log_degree"}


@pytest.mark.parametrize(
    ("change", "named", "said"),
    [
        (users(lambda people: people.with_columns(pl.col("school").shuffle(seed=1))), {"meaning_school"}, "school"),
        (
            users(lambda people: people.with_columns(pl.col("genres").shuffle(seed=1))),
            {"meaning_genres"},
            "genres with an assortativity of",
        ),
        (users(lambda people: people.with_columns(pl.col("born").shuffle(seed=1))), {"meaning_born"}, "born"),
        (
            users(lambda people: people.rename({"school": "place"})),
            {"gone_school"},
            "column school is gone; place, which is new, looks like it: was it renamed?",
        ),
        (users(lambda people: people.drop("born")), {"gone_born"}, "column born is gone"),
        (
            users(lambda people: people.with_columns(pl.col("born") + 20)),
            {"psi_born", "ks_born"},
            "the values of born shifted by a PSI of",
        ),
        (
            users(lambda people: people.with_columns(pl.when(FIRST_THIRD).then(None).otherwise("city").alias("city"))),
            {"missing_city"},
            "column city is empty for 33.3% of the people, and was for 0.0%",
        ),
        (
            users(
                lambda people: people.with_columns(
                    pl.when(FIRST_THIRD).then(pl.lit("New Town")).otherwise("city").alias("city")
                )
            ),
            {"psi_city", "new_values_city"},
            "33.3% of the values of city are new, most often New Town (33.3%)",
        ),
        (
            pairs(lambda made: made.filter(~FIRST_THIRD, pl.col("other_id") >= "p0200")),
            FRIENDLESS,
            "33.3% of the people have no friends, and 0.0% were",
        ),
    ],
    ids=["shuffled", "shuffled sets", "shuffled numbers", "renamed", "gone", "shifted", "emptied", "new", "friendless"],
)
def test_what_drifted_is_named(
    then: ReferenceStatistics, tmp_path: Path, change: Change, named: set[str], said: str
) -> None:
    kinds = KINDS | {"place": "categorical"}
    checks = compare_data(then, described(tmp_path / "DATA", change(network()), kinds))
    found = alarms(checks)
    assert found <= named
    assert found & named
    assert any(said in check.sentence for check in checks if check.verdict == "alarm")
    assert report_of("v", STARTED, checks).retrain


def test_a_column_of_another_kind_is_named(then: ReferenceStatistics, tmp_path: Path) -> None:
    checks = compare_data(then, described(tmp_path / "DATA", network(), KINDS | {"born": "categorical"}))
    assert alarms(checks) == {"kind_born"}
    assert any(check.sentence == "column born was numeric and is categorical" for check in checks)


def test_a_value_that_few_people_have_is_not_named(tmp_path: Path) -> None:
    def told(change: pl.Expr, name: str) -> str:
        tables = network(40)
        tables["users"] = tables["users"].with_columns(change.alias("city"))
        now = described(tmp_path / name, tables)
        return " ".join(check.sentence for check in compare_data(few, now))

    tables = network(40)
    telling = pl.when(pl.col("user_id") == "p0007").then(pl.lit("Telling Bay")).otherwise(pl.lit("Elm"))
    tables["users"] = tables["users"].with_columns(telling.alias("city"))
    few = described(tmp_path / "then", tables)
    assert "Telling Bay" not in told(pl.lit("Elm"), "gone"), "of somebody who is erased, for example"
    one = pl.when(pl.col("user_id") == "p0009").then(pl.lit("Other Bay")).otherwise(pl.lit("Elm"))
    assert "Other Bay" not in told(one, "new")
    several = pl.when(pl.col("user_id") < "p0009").then(pl.lit("Wide Bay")).otherwise(pl.lit("Elm"))
    assert "Wide Bay" in told(several, "several")


def test_a_last_visit_moves_with_the_calendar_and_is_no_drift(then: ReferenceStatistics, tmp_path: Path) -> None:
    week = 7 * 86_400
    tables = users(lambda people: people.with_columns(pl.col("seen") + week))(network())
    now = described(tmp_path / "DATA", tables)
    assert not alarms(compare_data(then, now.model_copy(update={"cut": then.cut + week})))


def test_places_that_moved_to_the_east_are_named(tmp_path: Path) -> None:
    def located(name: str, sign: int) -> ReferenceStatistics:
        tables, drawn = network(), np.random.default_rng(3)
        places = [f"{drawn.uniform(40, 60):.3f},{sign * drawn.uniform(1, 30):.3f}" for _ in range(600)]
        tables["users"] = tables["users"].with_columns(home=pl.Series(places))
        return described(tmp_path / name, tables, KINDS | {"home": "location"})

    there = located("there", 1)
    checks = compare_data(there, located("mirrored", -1))
    assert alarms(checks) == {"psi_home", "ks_home"}
    assert all("the median longitude from " in check.sentence for check in checks if check.verdict == "alarm")
    assert not alarms(compare_data(there, there))


@pytest.mark.parametrize("table", ["dates", "interactions"])
def test_features_that_go_or_come_are_named(then: ReferenceStatistics, tmp_path: Path, table: str) -> None:
    tables = network()
    if table == "dates":
        days = [f"2026-01-{1 + number % 28:02}T00:00:00Z" for number in range(tables["connections"].height)]
        tables["connections"] = tables["connections"].with_columns(created_at=pl.Series(days))
    else:
        seen = tables["connections"].head(500)
        tables["interactions"] = seen.with_columns(kind=pl.lit("view"), at=pl.lit("2026-02-20T00:00:00Z"))
    now = described(tmp_path / "DATA", tables)
    gone = {check.name: check for check in compare_data(now, then)}
    assert alarms(list(gone.values())) == ({"interactions"} if table == "interactions" else set())
    assert gone[table].verdict == ("alarm" if table == "interactions" else "warn")
    assert "any more" in gone[table].sentence
    come = {check.name: check for check in compare_data(then, now)}
    assert come[table].verdict == "warn"
    assert table not in {check.name for check in compare_data(now, now)}


def test_sets_whose_values_come_together_are_judged_by_people(tmp_path: Path) -> None:
    alarmed = 0
    for seed in range(60):
        drawn = np.random.default_rng(seed)
        told = []
        for part in range(2):
            tables = network(60)
            groups = drawn.integers(5, size=60)
            together = ["|".join(f"g{group}{number}" for number in range(4)) for group in groups]
            tables["users"] = tables["users"].with_columns(genres=pl.Series(together))
            told.append(described(tmp_path / f"{seed}-{part}", tables))
        alarmed += bool(alarms(compare_data(*told)) & {"psi_genres", "new_values_genres"})
    assert alarmed == 0, "by memberships: one or two"


@pytest.mark.parametrize("people", [80, 250, 1000])
def test_other_random_parts_of_a_network_give_no_alarm(tmp_path: Path, people: int) -> None:
    whole = network(people)
    for seed in range(4):
        drawn = []
        for part in (2 * seed, 2 * seed + 1):
            tables = {
                "users": whole["users"].sample(fraction=0.95, seed=part),
                "connections": whole["connections"].sample(fraction=0.9, seed=part),
            }
            drawn.append(described(tmp_path / f"{seed}-{part}", tables))
        checks = compare_data(*drawn)
        assert not alarms(checks), [check.sentence for check in checks if check.verdict == "alarm"]


def test_an_empty_network_is_compared_without_a_fault(then: ReferenceStatistics, tmp_path: Path) -> None:
    empty = {"users": network()["users"].head(0), "connections": network()["connections"].head(0)}
    now = described(tmp_path / "DATA", empty)
    assert "friends" in alarms(compare_data(then, now))
    assert not alarms(compare_data(now, now))


def test_the_page_has_every_check_and_escapes_what_a_dataset_says(then: ReferenceStatistics, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    tables = users(lambda people: people.with_columns(school=pl.lit(evil)))(network())
    now = described(tmp_path / "DATA", tables)
    checks = compare_data(then, now)
    page = as_html(report_of("v", STARTED, checks), then, now)
    assert "retraining is due" in page
    assert all(f">{check.name}<" in page for check in checks)
    assert page.count("<svg") == len(KINDS) + len(then.features)
    assert "<script>" not in page


def test_a_reference_is_read_back_as_it_was_written(then: ReferenceStatistics, tmp_path: Path) -> None:
    then.write(tmp_path)
    assert ReferenceStatistics.read(tmp_path) == then
    assert ReferenceStatistics.read(tmp_path / "elsewhere") is None
