"""The graph of mutual connections: nobody in it who may not be named, and nobody counted."""

from collections.abc import Callable
from typing import Any

import pytest

from models.schema.columns import Flag
from models.version.tables import Tables
from service.explain.mutual_connections import DRAWN, mutuals
from service.ranking.reasons import nameable_friends

PEOPLE = ["ann", "bob", "m1", "m2", "m3", "m4"]
PAIRS = [(0, 2), (0, 3), (0, 4), (0, 5), (1, 2), (1, 3), (1, 4), (1, 5), (2, 3), (4, 5)]
"""ann and bob share four; two of these know each other, and the other two"""


def told(tables: Tables, viewer: int = 0, other: int = 1) -> tuple[int, list[str], list[tuple[int, int]]]:
    found = mutuals(tables, nameable_friends(tables, viewer), tables.graph.neighbours(other))
    return found.count, [one.user_id for one in found.people], found.ties


def test_all_mutual_connections_and_their_ties(make_tables: Callable[..., Tables]) -> None:
    assert told(make_tables(PEOPLE, PAIRS)) == (4, ["m1", "m2", "m3", "m4"], [(0, 1), (2, 3)])


@pytest.mark.parametrize(
    "apart",
    [
        {"flags": {3: Flag.ACTIVE | Flag.DISCOVERABLE}},
        {"flags": {3: Flag.DISCOVERABLE | Flag.CONNECTIONS_VISIBLE}},
        {"forbidden": [(0, 3)]},
    ],
    ids=["hidden", "inactive", "blocked"],
)
def test_who_may_not_be_named_is_not_counted_either(make_tables: Callable[..., Tables], apart: dict[str, Any]) -> None:
    assert told(make_tables(PEOPLE, PAIRS, **apart)) == (3, ["m1", "m3", "m4"], [(1, 2)])


def test_no_mutual_connection(make_tables: Callable[..., Tables]) -> None:
    assert told(make_tables(PEOPLE, [(0, 2), (1, 3)])) == (0, [], [])
    assert told(make_tables(PEOPLE, [])) == (0, [], [])


def test_a_large_set_is_counted_whole_and_drawn_in_part(make_tables: Callable[..., Tables]) -> None:
    n = DRAWN + 12
    people = [f"p{number:03}" for number in range(n)]
    tables = make_tables(people, [(end, row) for end in (0, 1) for row in range(2, n)])
    found = mutuals(tables, nameable_friends(tables, 0), tables.graph.neighbours(1))
    assert (found.count, len(found.people), found.ties) == (n - 2, DRAWN, [])
