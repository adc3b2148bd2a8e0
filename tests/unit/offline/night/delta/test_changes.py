"""Whose friends or profile changed: on small graphs whose changes are obvious."""

import numpy as np
import pytest

from models.graph import Graph
from models.schema.vocabulary import Vocabulary
from offline.night.delta.changes import RowMap, changed_edges, changed_profiles

BEFORE = Vocabulary.from_ids(["ann", "bea", "cid", "dan"])
AFTER = Vocabulary.from_ids(["aaron", "ann", "cid", "dan"])


def graph(vocabulary: Vocabulary, *pairs: tuple[str, str]) -> Graph:
    a, b = (vocabulary.rows(one) for one in zip(*pairs, strict=True))
    return Graph.from_pairs(len(vocabulary), a, b)


def named(vocabulary: Vocabulary, changed: np.ndarray) -> set[str]:
    return {vocabulary.user_id(row) for row in np.flatnonzero(changed).tolist()}


def test_the_same_people_keep_their_rows() -> None:
    rows = RowMap.of(BEFORE, Vocabulary.from_ids(["ann", "bea", "cid", "dan"]))
    assert rows.is_same
    assert not len(rows.new)


def test_whether_they_are_the_same_is_looked_at_once() -> None:
    """It is asked for each row: looked at each time, a delta night takes the square of the people."""
    rows = RowMap.of(BEFORE, Vocabulary.from_ids(["ann", "bea", "cid", "dan"]))
    assert rows.is_same
    rows.then[0] = 3
    assert rows.is_same


def test_who_came_and_who_left() -> None:
    rows = RowMap.of(BEFORE, AFTER)
    assert not rows.is_same
    assert rows.then.tolist() == [-1, 0, 2, 3]
    assert rows.now.tolist() == [1, -1, 2, 3]
    assert rows.new.tolist() == [0]


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        ([("ann", "bea"), ("cid", "dan")], set()),
        ([("ann", "bea"), ("cid", "dan"), ("bea", "cid")], {"bea", "cid"}),
        ([("ann", "bea")], {"cid", "dan"}),
        ([("ann", "cid"), ("bea", "dan")], {"ann", "bea", "cid", "dan"}),
    ],
)
def test_ends_of_friendships_made_and_ended(now: list[tuple[str, str]], changed: set[str]) -> None:
    before = graph(BEFORE, ("ann", "bea"), ("cid", "dan"))
    assert named(BEFORE, changed_edges(before, graph(BEFORE, *now), RowMap.of(BEFORE, BEFORE))) == changed


def test_friends_of_who_is_gone_and_of_who_is_new() -> None:
    before = graph(BEFORE, ("ann", "bea"), ("ann", "cid"), ("cid", "dan"))
    after = graph(AFTER, ("ann", "cid"), ("cid", "dan"), ("aaron", "dan"))
    assert named(AFTER, changed_edges(before, after, RowMap.of(BEFORE, AFTER))) == {"ann", "dan", "aaron"}


def test_profiles_that_changed() -> None:
    def stored(*texts: bytes) -> tuple[np.ndarray, np.ndarray]:
        return np.frombuffer(b"".join(texts), np.uint8), np.cumsum([0, *map(len, texts)])

    before = stored(b'{"a":1}', b"", b'{"a":2}', b'{"a":3}')
    after = stored(b'{"a":9}', b'{"a":1}', b'{"a":5}', b'{"a":33}')
    assert named(AFTER, changed_profiles(before, after, RowMap.of(BEFORE, AFTER))) == {"cid", "dan"}
