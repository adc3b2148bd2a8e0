"""Hard rules: who is dropped, and what the drop is called."""

from collections.abc import Callable

import numpy as np
import pytest

from models.version.tables import Tables
from service.ranking.filters import (
    HIDING,
    FilterMasks,
    Rule,
    apply_filters,
)

MakeTables = Callable[..., Tables]

EVERYBODY = np.arange(7, dtype=np.uint32)


@pytest.fixture
def tables(make_tables: MakeTables) -> Tables:
    """ann knows bea; ann must not see cid; dan is undiscoverable, eva inactive, fay both; gus is free."""
    return make_tables(
        ["ann", "bea", "cid", "dan", "eva", "fay", "gus"],
        [(0, 1), (1, 6)],
        forbidden=[(0, 2), (0, 1)],
        flags={3: 6, 4: 5, 5: 4},
    )


def test_every_rule_that_drops_is_in_the_mask(tables: Tables) -> None:
    masks = FilterMasks(tables).of(0, EVERYBODY, tables.flags)
    assert [Rule(mask) for mask in masks.tolist()] == [
        Rule.SELF,
        Rule.CONNECTED | Rule.REPORTED,
        Rule.REPORTED,
        Rule.UNDISCOVERABLE,
        Rule.INACTIVE,
        Rule.UNDISCOVERABLE | Rule.INACTIVE,
        Rule(0),
    ]


def test_forbidden_is_directed(tables: Tables) -> None:
    assert FilterMasks(tables).of(2, np.array([0], np.uint32), tables.flags)[0] == 0


def test_one_viewer_leaves_no_mark_on_the_next(tables: Tables) -> None:
    masks = FilterMasks(tables)
    masks.of(0, EVERYBODY, tables.flags)
    assert masks.of(6, np.array([0, 2], np.uint32), tables.flags)[:].tolist() == [0, 0]


def test_a_viewer_without_a_row_meets_the_flags_alone(tables: Tables) -> None:
    assert np.flatnonzero(FilterMasks(tables).of(None, EVERYBODY, tables.flags)).tolist() == [3, 4, 5]


def test_a_drop_counts_under_the_first_rule(tables: Tables) -> None:
    left = apply_filters(FilterMasks(tables).of(0, EVERYBODY, tables.flags))
    dropped = {"self": 1, "connected": 1, "reported": 1, "undiscoverable": 2, "inactive": 1}
    assert (left.places.tolist(), left.dropped, left.hidden_now) == ([6], dropped, 0)


def test_people_whom_exempted_rules_drop_are_left_and_counted(tables: Tables) -> None:
    left = apply_filters(FilterMasks(tables).of(0, EVERYBODY, tables.flags), int(HIDING))
    assert (left.places.tolist(), left.hidden_now) == ([3, 4, 5, 6], 3)
    assert left.dropped["undiscoverable"] == 2


def test_no_one_is_dropped_if_no_rule_drops_them() -> None:
    left = apply_filters(np.zeros(3, np.uint16))
    assert (left.places.tolist(), left.dropped, left.hidden_now) == ([0, 1, 2], {}, 0)
