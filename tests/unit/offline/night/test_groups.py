"""Groups in the report of a night."""

import numpy as np

from models.schema.profiles import CategoricalColumn, NumericColumn, Profiles
from offline.night.evaluate import compared_groups

PROFILES = Profiles(
    4,
    {
        "team": CategoricalColumn(np.array([0, 0, 1, 1], np.int32), ["blue", "red"]),
        "age": NumericColumn(np.arange(4.0)),
    },
)
SHOWN = np.array([[0, 1, 2], [0, 1, -1]], np.int32)
HITS = np.array([[True, False, False], [False, False, False]])


def test_groups_are_compared_by_what_the_lists_show_and_what_came_of_it() -> None:
    found = compared_groups(PROFILES, "team", SHOWN, HITS, np.ones(4, bool))
    assert found is not None
    rows = {row.value: (row.people, row.shown, row.accepted) for row in found.rows}
    assert rows == {"blue": (2, 2.0, 0.25), "red": (2, 0.5, 0.0)}


def test_people_who_may_not_be_shown_are_in_no_group() -> None:
    found = compared_groups(PROFILES, "team", SHOWN, HITS, np.array([True, True, True, False]))
    assert found is not None
    assert {row.value: row.people for row in found.rows} == {"blue": 2, "red": 1}


def test_a_column_that_cannot_be_compared_is_warned_of_and_stops_no_night() -> None:
    assert compared_groups(PROFILES, "age", SHOWN, HITS, np.ones(4, bool)) is None
    assert compared_groups(PROFILES, "nothing", SHOWN, HITS, np.ones(4, bool)) is None
