"""Infers the kind of a column without a declared kind from its name and values."""

import re
from collections.abc import Callable

import polars as pl

from models.schema.columns import REASON_KINDS, Kind
from offline.dataset.cell_parsing import location, number
from offline.dataset.table import Shape
from offline.dataset.timestamps import iso_seconds

SET_SHARE = 0.05
"""least share of cells with a `|` from which a CSV column is a set"""
FEW_VALUES = 20
REPEATED = 20
"""integers are codes if there are at most FEW_VALUES of them, or each occurs REPEATED times on average"""
TEXT_WORDS = 4
"""mean words a cell from which a column is free text, if most of its texts are distinct"""
FIRST_TIMESTAMP, LAST_TIMESTAMP = 10**8, 10**10
"""integers in a column with a timestamp's name are epoch seconds between these (1973 to 2286)"""

_TIMESTAMP_WORDS = {"at", "time", "date", "timestamp", "since", "on"}
_CODE_WORDS = {"id", "code", "zip", "postcode", "year"}
_QUANTITY_WORDS = {"age", "count", "score", "height", "weight", "income", "salary", "price", "rate", "total", "number"}
_REASON_STEMS = re.compile(r"compan(y|ies)|school|universit(y|ies)", re.IGNORECASE)
_REASON_WORDS = {"city", "cities"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def infer_kind(column: str, cells: pl.Series, shape: Shape, *, splits_sets: bool) -> Kind:
    """The kind of a column; its cells are String, or lists, in any order, null if empty.

    A column without a value is ignored. The kind does not depend on the file format, except that only CSV has sets
    separated by `|`.
    """
    filled = cells.drop_nulls()
    if filled.is_empty():
        return Kind.IGNORE
    if shape is Shape.LIST:
        return Kind.MULTI
    text = pl.col("text")
    measures = (
        filled.alias("text")
        .to_frame()
        .lazy()
        .select(
            numbers=number(text).is_not_null().all(),
            integers=text.str.contains(r"^[+-]?\d+$").all(),
            padded=text.str.contains(r"^0\d").any(),
            lowest=number(text).min(),
            highest=number(text).max(),
            sets=text.str.contains("|", literal=True).mean(),
            words=(text.str.strip_chars().str.count_matches(r"\s+") + 1).mean(),
            distinct=text.n_unique(),
        )
    )
    found = measures.collect().row(0, named=True)
    if found["numbers"]:
        return _kind_of_numbers(column, found, len(filled))
    if _all(iso_seconds, filled):
        return Kind.TIMESTAMP
    if _all(lambda texts: texts.to_frame("text").select(location(text))["text"], filled):
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


def _all(parse: Callable[[pl.Series], pl.Series], texts: pl.Series) -> bool:
    """Whether every text can be parsed; the first texts decide for most columns."""
    return all(not parse(some).null_count() for some in (texts.head(100), texts))


def _kind_of_numbers(column: str, found: dict[str, float], filled: int) -> Kind:
    words = _words(column)
    if not found["integers"]:
        return Kind.NUMERIC
    if words & _TIMESTAMP_WORDS and found["lowest"] >= FIRST_TIMESTAMP and found["highest"] <= LAST_TIMESTAMP:
        return Kind.TIMESTAMP
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
