"""The codes of profile values: those of a plain search through all values, at the cost of a few comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ArtefactError
from models.version.new_user_record import ProfileCodes, codes_of
from models.version.tables import Tables
from models.version.value_codes import MISSING, CategoricalCodes, SetCodes, ValueCodes
from tests.support.tables import tables_in_memory

MANY = 500_000
STEPS = 21
"""values that a search among so many reads at most, the last comparison included"""

words = st.text("aäzß😀", min_size=1, max_size=3)
columns = st.fixed_dictionaries(
    {},
    optional={
        "company": st.none() | words,
        "city": st.none() | words,
        "schools": st.none() | st.lists(words, max_size=4),
        "genres": st.none() | words | st.lists(words, max_size=4),
        "name": words,
    },
)


def strings(value: Any) -> list[str]:
    return [str(member) for member in value] if isinstance(value, list) else []


def slowly_changed(before: ProfileCodes, columns: Mapping[str, Any], tables: Tables) -> tuple[list[int], list[int]]:
    """The codes after a change, by reading every value of every column."""
    codes = before.categorical.tolist()
    for at, (column, values) in enumerate(zip(tables.categorical_columns, tables.categorical_values, strict=True)):
        if column in columns:
            value = columns[column]
            codes[at] = values.index(value) if value in values else MISSING
    own = set(before.sets.tolist())
    sets = [
        code
        for code, (column, value) in enumerate(tables.multi_values)
        if (value in strings(columns[column]) if column in columns else code in own)
    ]
    return codes, sets


class Counted(Sequence[Any]):
    """A sequence that counts the values read of it."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self.reads = 0

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, at: Any) -> Any:
        self.reads += 1
        return self._values[at]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return tables_in_memory(
        ("ann", "bea", "cid"),
        [(0, 1)],
        categories={"company": ["a", "ß", "😀"], "city": ["az", None, "ä"]},
        sets={"schools": [["a", "ä"], ["z"], ["😀"]], "genres": [["z"], ["a", "ß"], []]},
    )


@given(row=st.integers(0, 2), given=columns, backwards=st.booleans())
def test_changed_profiles_have_the_codes_of_a_plain_search(
    tables: Tables, row: int, given: dict[str, Any], backwards: bool
) -> None:
    if backwards:  # as no writer sorts them, so that a version written by hand is read too
        tables = replace(tables, categorical_values=[values[::-1] for values in tables.categorical_values])
    before = codes_of(row, tables)
    after = before.changed(given, tables)
    assert (after.categorical.tolist(), after.sets.tolist()) == slowly_changed(before, given, tables)
    assert (after.categorical.dtype, after.sets.dtype) == (np.int32, np.int32)
    nothing = ProfileCodes(np.full(2, MISSING, np.int32), np.zeros(0, np.int32))
    new = ProfileCodes.of(given, tables)
    assert (new.categorical.tolist(), new.sets.tolist()) == slowly_changed(nothing, given, tables)


def test_a_value_among_half_a_million_is_found_by_reading_twenty_of_them() -> None:
    values = [f"{number:06d}" for number in range(MANY)]
    single, several = Counted(values), Counted([("skills", value) for value in values])
    of_category, of_set = CategoricalCodes(single), SetCodes(several, 0, MANY)
    for value, code in (("000000", 0), ("499999", MANY - 1), ("250000x", MISSING), ("", MISSING)):
        single.reads = several.reads = 0
        assert of_category.code(value) == code
        assert of_set.codes([value]) == ([] if code == MISSING else [code])
        assert single.reads <= STEPS
        assert several.reads <= STEPS


def test_values_in_another_order_are_found() -> None:
    codes = ValueCodes([("company", ["b", "a", "b"])], [("x", "z"), ("x", "a"), ("y", "a")])
    assert [codes.categorical[0].code(value) for value in ("a", "b", "c")] == [1, 0, MISSING]
    assert codes.sets["x"].codes(["a", "q", "z"]) == [1, 0]
    assert codes.sets["y"].codes(["a", "z"]) == [2]


def test_sets_that_are_not_side_by_side_are_refused() -> None:
    with pytest.raises(ArtefactError, match="column x"):
        ValueCodes([], [("x", "a"), ("y", "a"), ("x", "b")])
