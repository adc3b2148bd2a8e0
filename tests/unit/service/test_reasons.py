"""What a person is told, on a graph that shows it at a glance."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import orjson
import pytest

from models.sources import Source
from models.tables import Tables
from service.entries import EntryEncoder
from service.reasons import attribute_text, mutual_connections, nameable_friends

MakeTables = Callable[..., Tables]


def told(tables: Tables, viewer: int, *shown: int) -> list[list[dict[str, object]]]:
    friends = nameable_friends(tables, viewer)
    reasons = EntryEncoder(tables).told(viewer, np.array(shown, dtype=np.intp), friends).reasons
    return [orjson.loads(b"[" + one + b"]") for one in reasons]


def star(make_tables: MakeTables, **changed: object) -> Tables:
    """ann and zed share bea, cid, dan, eva; each of them has one more friend than the one before."""
    people = ["ann", "bea", "cid", "dan", "eva", "fay", "gus", "hal", "zed"]
    pairs = [(0, 1), (0, 2), (0, 3), (0, 4), (8, 1), (8, 2), (8, 3), (8, 4)]
    pairs += [(2, 5), (3, 5), (3, 6), (4, 5), (4, 6), (4, 7)]
    return make_tables(people, pairs, **changed)


def test_mutuals_are_counted_and_the_least_connected_named(make_tables: MakeTables) -> None:
    assert told(star(make_tables), 0, 8, 7) == [
        [
            {
                "code": "mutual_connections",
                "count": 4,
                "examples": ["bea", "cid", "dan"],
                "text": "4 mutual connections",
            }
        ],
        [{"code": "mutual_connections", "count": 1, "examples": ["eva"], "text": "1 mutual connection"}],
    ]


@pytest.mark.parametrize(
    "hidden",
    [{"flags": {1: 3}}, {"flags": {1: 5}}, {"forbidden": [(0, 1)]}],
    ids=["hides connections", "inactive", "blocked"],
)
def test_the_hidden_are_neither_named_nor_counted(make_tables: MakeTables, hidden: dict[str, object]) -> None:
    (((reason),),) = told(star(make_tables, **hidden), 0, 8)
    assert reason["count"] == 3
    assert reason["examples"] == ["cid", "dan", "eva"]


def test_a_source_betrays_no_hidden_friend(make_tables: MakeTables) -> None:
    """ann knows zed through bea alone, eva through dan as well."""
    tables = make_tables(["ann", "bea", "dan", "eva", "zed"], [(0, 1), (0, 2), (1, 3), (2, 3), (1, 4)], flags={1: 3})
    near, near_and_alike = Source.FRIENDS_OF_FRIENDS, Source.FRIENDS_OF_FRIENDS | Source.EMBEDDING
    told = EntryEncoder(tables).told(0, np.array([3, 4, 4, 4]), nameable_friends(tables, 0))
    assert told.mutuals.tolist() == [1, 0, 0, 0]
    bits = np.array([near, near, near_and_alike, Source.POPULAR], np.uint8)
    walked, walked_and_alike = Source.RANDOM_WALK, Source.RANDOM_WALK | Source.EMBEDDING
    assert told.sources(bits).tolist() == [near, walked, walked_and_alike, Source.POPULAR]


def test_nobody_shared_is_no_reason(make_tables: MakeTables) -> None:
    tables = make_tables(["ann", "bea", "cid", "dan"], [(0, 1), (2, 3)])
    assert told(tables, 0, 2, 3) == [[], []]


def test_scratch_is_clean_after_each_viewer(make_tables: MakeTables) -> None:
    tables = star(make_tables)
    marks = np.zeros(tables.n, dtype=np.int32)
    mutual_connections(tables.graph, nameable_friends(tables, 0), np.array([8, 7]), marks)
    assert not marks.any()


def test_shared_values_are_told_in_the_order_of_the_reason_columns(make_tables: MakeTables) -> None:
    tables = make_tables(
        ["ann", "bea", "cid"],
        [],
        categories={
            "city": ["Ulm", "Ulm", "Bonn"],
            "salary": ["high", "high", "high"],
            "company": ["Acme", "Acme", None],
        },
        sets={"schools": [["Elm", "Oak"], ["Oak", "Elm"], ["Oak"]], "diagnoses": [["flu"], ["flu"], ["flu"]]},
        reasons=["company", "schools", "city"],
    )
    first, second = told(tables, 0, 1, 2)
    assert [reason["text"] for reason in first] == [
        "Both at Acme",
        "Both went to Elm",
        "Both went to Oak",
        "Both in Ulm",
    ]
    assert second == [
        {"code": "same_attribute", "attribute": "schools", "value": "Oak", "text": "Both went to Oak"},
    ]


def test_a_missing_value_is_shared_with_nobody(make_tables: MakeTables) -> None:
    tables = make_tables(["ann", "bea"], [], categories={"company": [None, None]}, reasons=["company"])
    assert told(tables, 0, 1) == [[]]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("company", "Both at X"),
        ("high_school", "Both went to X"),
        ("university", "Both went to X"),
        ("home city", "Both in X"),
        ("dorm", "Same dorm: X"),
        ("schooling", "Same schooling: X"),
        ("job_title", "Same job title: X"),
    ],
)
def test_the_words_follow_the_column(column: str, text: str) -> None:
    assert attribute_text(column, "X") == text


def test_what_an_encoder_keeps_of_a_person_is_small(make_tables: MakeTables) -> None:
    people = [f"person {number:03}" for number in range(400)]
    tables = make_tables(people, [(0, 1)])
    encoder = EntryEncoder(tables)
    rows = np.arange(400, dtype=np.uint32)
    nobody = np.zeros(0, dtype=np.int32)
    told = encoder.told(None, rows.astype(np.intp), nobody)
    tracemalloc.start()
    try:
        encoder.halves(rows, np.ones(400, np.float32), np.ones(400, np.uint8), told)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 400 * 400, f"{kept / 400:.0f} bytes of each"
