"""User ids and rows: sorted by bytes, found by binary search, None if unknown."""

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.schema.vocabulary import Vocabulary

IDS = st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8), max_size=20)


@given(IDS)
def test_every_id_has_its_row_and_every_row_its_id(ids: list[str]) -> None:
    vocabulary = Vocabulary.from_ids(ids)
    expected = sorted(set(ids), key=str.encode)
    assert len(vocabulary) == len(expected)
    assert vocabulary.user_ids() == expected
    assert [vocabulary.row(one) for one in expected] == list(range(len(expected)))
    assert vocabulary.rows(reversed(expected)).tolist() == list(reversed(range(len(expected))))


@given(IDS, st.text(st.characters(exclude_categories=("Cs",)), max_size=8))
def test_an_id_that_is_not_there_has_no_row(ids: list[str], other: str) -> None:
    vocabulary = Vocabulary.from_ids(one for one in ids if one != other)
    assert vocabulary.row(other) is None
    assert vocabulary.rows([other, other]).tolist() == [-1, -1]


def test_an_id_is_no_prefix_of_another_and_no_number() -> None:
    vocabulary = Vocabulary.from_ids(["a", "ab", "abc", "10", "9", "é", "z"])
    assert vocabulary.user_ids() == ["10", "9", "a", "ab", "abc", "z", "é"]  # by bytes: é comes after z
    for unknown in ("", "abcd", "b", "1", "e", "éa", "\U0001f600"):
        assert vocabulary.row(unknown) is None


@pytest.mark.parametrize("n", [63, 64, 65, 128, 1000])
def test_many_ids_are_found_and_none_between_them(n: int) -> None:
    ids = [f"{number:04}" for number in range(n)]
    vocabulary = Vocabulary.from_ids(ids)
    assert vocabulary.rows(ids).tolist() == list(range(n))
    assert all(vocabulary.row(f"{one}x") is None for one in ids)
    assert vocabulary.row("") is None


def test_nobody() -> None:
    vocabulary = Vocabulary.from_ids([])
    assert len(vocabulary) == 0
    assert vocabulary.user_ids() == []
    assert vocabulary.row("ann") is None
    assert vocabulary.rows([]).dtype == np.int32
    assert vocabulary.rows([]).shape == (0,)


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_outside_is_refused(row: int) -> None:
    with pytest.raises(IndexError):
        Vocabulary.from_ids(["ann", "bea"]).user_id(row)


def test_a_digest_depends_on_ids_and_their_boundaries() -> None:
    digest = Vocabulary.from_ids(["ab", "c"]).digest
    assert Vocabulary.from_ids(["c", "ab", "c"]).digest == digest
    assert Vocabulary.from_ids(["a", "bc"]).digest != digest
    assert Vocabulary.from_ids(["ab", "d"]).digest != digest
    assert Vocabulary.from_ids(["ab"]).digest != digest


def test_ids_are_read_from_the_arrays_they_are_kept_in() -> None:
    written = Vocabulary.from_ids(["ann", "bea", "héloïse"])
    read = Vocabulary(np.frombuffer(written.text.tobytes(), np.uint8), written.offsets.copy())
    assert read.user_ids() == ["ann", "bea", "héloïse"]
    assert read.row("héloïse") == 2
    assert read.digest == written.digest


@pytest.mark.parametrize("ids", [["ann", "héloïse", "李", "🦊/x"], ["ann", 'say "hi"', "back\\slash", "🦊"]])
def test_quoted_ids_are_json(ids: list[str]) -> None:
    vocabulary = Vocabulary.from_ids(ids)
    vocabulary.prepare()
    rows = np.array([3, 0, 2, 1, 0])
    text, starts = vocabulary.as_json
    written = [b'"' + text[starts[row] : starts[row + 1]].tobytes() + b'"' for row in rows]
    assert [orjson.loads(one) for one in written] == [vocabulary.user_id(row) for row in rows]
    assert vocabulary.longest_json == max(len(one) for one in written) - 2
