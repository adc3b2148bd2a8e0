"""Which statistics a version keeps for the nights after it."""

from datetime import UTC, datetime, timedelta

import pytest

from offline.monitor.compare_data import compare_data
from offline.monitor.reference import (
    POINTS,
    ColumnReference,
    GraphReference,
    ModelReference,
    ReferenceStatistics,
    quantiles_of,
)
from offline.night.monitor import reference_to_keep

TRAINED = datetime(2026, 3, 1, tzinfo=UTC)


def statistics(shift: float) -> ReferenceStatistics:
    """Of 5,000 people whose ages have moved."""
    ages = ColumnReference(
        kind="numeric", people=5000, filled=5000, quantiles=quantiles_of([age + shift for age in range(20, 60)])
    )
    graph = GraphReference(people=5000, friendships=20_000, isolated=0, components=1, largest=1)
    return ReferenceStatistics(cut=0, columns={"age": ages}, graph=graph, features={})


@pytest.mark.parametrize("nights_a_day", [1, 2])
def test_a_drift_of_small_steps_adds_up_until_weights_are_trained(nights_a_day: int) -> None:
    kept, alarmed = None, 0
    for night in range(14 * nights_a_day):
        started_at = TRAINED + timedelta(days=night / nights_a_day)
        now = statistics(night / nights_a_day)
        checks = [] if kept is None else compare_data(kept, now)
        alarmed += any(check.verdict == "alarm" for check in checks)
        kept = reference_to_keep(kept, now, TRAINED, started_at)
    assert kept == statistics(0)
    assert alarmed >= 3
    trained = statistics(20)
    assert reference_to_keep(kept, trained, TRAINED, TRAINED) == trained
    assert reference_to_keep(None, trained, TRAINED, TRAINED + timedelta(days=1)) == trained


def test_what_the_active_version_lacks_is_as_of_this_night() -> None:
    lists = ModelReference(users=10)
    now = statistics(1).model_copy(update={"model": lists})
    kept = reference_to_keep(statistics(0), now, TRAINED, TRAINED + timedelta(days=1))
    assert kept == statistics(0).model_copy(update={"model": lists})


def test_what_may_tell_of_somebody_erased_is_not_passed_on() -> None:
    def told(values: dict[str, int]) -> ReferenceStatistics:
        column = ColumnReference(kind="categorical", people=100, filled=sum(values.values()), values=values)
        return statistics(0).model_copy(update={"columns": {"company": column, **statistics(0).columns}})

    then = told({"Acme": 60, "Bolt": 6, "Twain & Co": 2, "Solo & Co": 1, "Uno": 1, "gone since (1)": 5})
    now = told({"Acme": 60, "Uno": 1, "gone since (1)": 5})
    kept = then.without_gone(now)
    passed_on = {"Acme": 60, "Bolt": 6, "gone since (2)": 2, "gone since (3)": 1, "Uno": 1, "gone since (1)": 5}
    assert kept.columns["company"] == then.columns["company"].model_copy(update={"values": passed_on})
    assert compare_data(kept, now) == compare_data(then, now)
    # and in the nights after it, with the column gone at last
    assert kept.without_gone(now) == kept
    without = kept.without_gone(statistics(0)).columns["company"].values
    assert list(without.values()) == list(passed_on.values())
    assert {name for name in without if not name.startswith("gone since")} == {"Acme", "Bolt"}


def test_the_oldest_and_the_youngest_are_not_passed_on_where_nobody_is_as_old_any_more() -> None:
    def aged(low: float, high: float) -> ReferenceStatistics:
        ages = [low, *range(20, 60), high]
        column = ColumnReference(kind="numeric", people=42, filled=42, quantiles=quantiles_of(ages))
        return statistics(0).model_copy(update={"columns": {"age": column}})

    kept = aged(7, 99).without_gone(aged(7, 98)).columns["age"].quantiles
    assert (kept[0], kept[-1], len(kept)) == (7, aged(7, 99).columns["age"].quantiles[-2], POINTS)
    assert aged(7, 99).without_gone(aged(5, 99)) == aged(7, 99)
    gone = aged(7, 99).without_gone(statistics(0).model_copy(update={"columns": {}})).columns["age"].quantiles
    assert (gone[0], gone[-1]) == (aged(7, 99).columns["age"].quantiles[1], aged(7, 99).columns["age"].quantiles[-2])
