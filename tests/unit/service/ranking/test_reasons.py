"""What a person is told, on a graph that shows it at a glance."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.schema import candidate_sources
from models.schema.candidate_sources import Source
from models.version.tables import Tables
from service.ranking.json_encoder import JsonEncoder
from service.ranking.kernels.json_encoder import write_score
from service.ranking.reasons import attribute_text, nameable_friends

MakeTables = Callable[..., Tables]


def told(tables: Tables, viewer: int, *shown: int) -> list[list[dict[str, object]]]:
    return [one["reasons"] for one in entries(tables, viewer, np.zeros(len(shown), np.uint8), *shown)]


def entries(tables: Tables, viewer: int | None, bits: NDArray[np.uint8], *shown: int) -> list[Any]:
    rows, scores = np.array(shown, dtype=np.uint32), np.ones(len(shown), np.float32)
    made = JsonEncoder(tables).entries(viewer, nameable_friends(tables, viewer), rows, scores, bits)
    found: list[Any] = orjson.loads(b"[" + made.text + b"]")
    assert [one["position"] for one in found] == list(range(1, len(shown) + 1))
    return found


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
    bits = np.array([near, near, near_and_alike, Source.POPULAR], np.uint8)
    walked, walked_and_alike = Source.RANDOM_WALK, Source.RANDOM_WALK | Source.EMBEDDING
    told = [one["sources"] for one in entries(tables, 0, bits, 3, 4, 4, 4)]
    assert told == [candidate_sources.names(one) for one in (near, walked, walked_and_alike, Source.POPULAR)]


def test_nobody_shared_is_no_reason(make_tables: MakeTables) -> None:
    tables = make_tables(["ann", "bea", "cid", "dan"], [(0, 1), (2, 3)])
    assert told(tables, 0, 2, 3) == [[], []]


def test_marks_are_clear_after_each_viewer(make_tables: MakeTables) -> None:
    tables = star(make_tables)
    encoder = JsonEncoder(tables)
    rows, bits = np.array([8, 7], np.uint32), np.zeros(2, np.uint8)
    encoder.entries(0, nameable_friends(tables, 0), rows, np.ones(2, np.float32), bits)
    nobody = np.zeros(0, dtype=np.int32)
    told = orjson.loads(b"[" + encoder.entries(None, nobody, rows, np.ones(2, np.float32), bits).text + b"]")
    assert [one["reasons"] for one in told] == [[], []], "the friends of the viewer before are forgotten"


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
    encoder = JsonEncoder(tables)
    rows, nobody = np.arange(400, dtype=np.uint32), np.zeros(0, dtype=np.int32)
    tracemalloc.start()
    try:
        encoder.entries(None, nobody, rows, np.ones(400, np.float32), np.ones(400, np.uint8))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 400 * 400, f"{kept / 400:.0f} bytes of each"


BITS_OF_ONE = 0x3F800000
"""all float32 from 0 to 1 are these bits and below"""
TENS = np.float32(10.0 ** -np.arange(45)).view(np.int32).tolist()


@given(st.integers(0, BITS_OF_ONE) | st.sampled_from(TENS))
def test_a_score_is_written_with_six_digits(bits: int) -> None:
    shown = np.array([bits], np.uint32).view(np.float32)[0]
    out = np.zeros(64, dtype=np.uint8)
    end = write_score(out, 3, np.float64(shown))
    assert out[3:end].tobytes() == b"%.6g" % float(shown)
    assert not out[:3].any()
    assert not out[end:].any()


def test_a_score_that_is_no_number_is_written_as_none() -> None:
    out = np.zeros(64, dtype=np.uint8)
    assert out[: write_score(out, 0, np.float64("nan"))].tobytes() == b"0"
