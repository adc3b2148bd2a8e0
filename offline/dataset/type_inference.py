"""Infers the kind of a column without a declared kind from its name and values."""

import re
from collections.abc import Callable

import polars as pl

from models.schema.columns import REASON_KINDS, Kind
from offline.dataset.cell_parsing import DECIMAL_COMMA, column_of_numbers, location, number
from offline.dataset.table import Shape
from offline.dataset.timestamps import iso_seconds, seconds_of

SET_SHARE = 0.05
"""least share of cells with a `|` from which a CSV column is a set"""
FEW_VALUES = 20
REPEATED = 20
"""integers are codes if there are at most FEW_VALUES of them, or each occurs REPEATED times on average"""
TEXT_WORDS = 4
"""mean words a cell from which a column is free text, if most of its texts are distinct"""
COUNTED_TIMESTAMP = r"^[0-9]{8,19}(?:\.0*)?$"
"""numbers in a column with a timestamp's name are timestamps if each has that many digits"""

_TIMESTAMP_WORDS = {"at", "time", "date", "timestamp", "since", "on"}
_CODE_WORDS = {"id", "code", "zip", "postcode", "year"}
_QUANTITY_WORDS = {"age", "count", "score", "height", "weight", "income", "salary", "price", "rate", "total", "number"}
_REASON_STEMS = re.compile(r"compan(y|ies)|school|universit(y|ies)", re.IGNORECASE)
_REASON_WORDS = {"city", "cities"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def infer_kind(column: str, cells: pl.Series, shape: Shape, *, splits_sets: bool) -> Kind:
    """The kind of a column; its cells are String, or lists, in any order, null if empty.

    A column without a value is ignored. The kind does not depend on the file format, except that only CSV has sets
    separated by `|`. `52,13` is a location only in a column where a point, a sign or a space shows that its commas are
    no decimal commas.
    """
    filled = cells.drop_nulls()
    if filled.is_empty():
        return Kind.IGNORE
    if shape is Shape.LIST:
        return _kind_of_lists(filled)
    text = pl.col("text")
    measures = (
        filled.alias("text")
        .to_frame()
        .lazy()
        .select(
            numbers=column_of_numbers(text).is_not_null().all(),
            integers=text.str.contains(r"^[+-]?[0-9]+$").all(),
            counted=text.str.contains(COUNTED_TIMESTAMP).all(),
            padded=text.str.contains(r"^0[0-9]").any(),
            commas=text.str.contains(DECIMAL_COMMA).all(),
            sets=text.str.contains("|", literal=True).mean(),
            words=(text.str.strip_chars().str.count_matches(r"\s+") + 1).mean(),
            distinct=text.n_unique(),
        )
    )
    found = measures.collect().row(0, named=True)
    if found["counted"] and _words(column) & _TIMESTAMP_WORDS and _all(seconds_of, filled):
        return Kind.TIMESTAMP
    if found["numbers"]:
        return _kind_of_numbers(column, found, len(filled))
    if _all(iso_seconds, filled):
        return Kind.TIMESTAMP
    if not found["commas"] and _all(lambda texts: texts.to_frame("text").select(location(text))["text"], filled):
        return Kind.LOCATION
    if splits_sets and found["sets"] >= SET_SHARE:
        return Kind.MULTI
    if found["words"] >= TEXT_WORDS and found["distinct"] > len(filled) / 2:
        return Kind.TEXT
    return Kind.CATEGORICAL


def default_reasons(kinds: dict[str, Kind]) -> list[str]:
    """The reason columns if schema.toml names none: companies, schools, universities and cities.

    `city` has to be a word of the name, so that `ethnicity` does not match.
    """
    return [column for column, kind in kinds.items() if kind in REASON_KINDS and _is_reason(column)]


def _kind_of_lists(lists: pl.Series) -> Kind:
    """A location if each list is a latitude and a longitude. Other lists of numbers that are not whole are no sets."""
    values = lists.explode().drop_nulls().to_frame("value").select(number(pl.col("value")).alias("value"))["value"]
    if values.is_empty() or values.null_count() or (values == values.floor()).all():
        return Kind.MULTI
    places = lists.list.join(",").to_frame("place").select(location(pl.col("place")))["place"]
    return Kind.IGNORE if places.null_count() else Kind.LOCATION


def _all(parse: Callable[[pl.Series], pl.Series], texts: pl.Series) -> bool:
    """Whether every text can be parsed; the first texts decide for most columns."""
    return all(not parse(some).null_count() for some in (texts.head(100), texts))


def _kind_of_numbers(column: str, found: dict[str, float], filled: int) -> Kind:
    words = _words(column)
    if not found["integers"]:
        return Kind.NUMERIC
    if found["padded"] or words & _CODE_WORDS or _is_reason(column):
        return Kind.CATEGORICAL
    if words & _QUANTITY_WORDS or found["distinct"] > max(FEW_VALUES, filled / REPEATED):
        return Kind.NUMERIC
    return Kind.CATEGORICAL


def _is_reason(column: str) -> bool:
    return bool(_REASON_STEMS.search(column) or _words(column) & _REASON_WORDS)


def _words(column: str) -> set[str]:
    """The words of a column name in lower case: `home_city` and `homeCity` give the same."""
    return {word.lower() for word in _WORD.findall(column)}
