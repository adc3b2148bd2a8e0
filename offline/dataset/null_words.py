"""The words by which exports write that a cell has no value."""

from collections.abc import Collection, Sequence

import polars as pl

from offline.dataset.table import column_named

DEFAULT = ("NULL", "null", r"\N", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "None")
"""of databases, spreadsheets, R and pandas; whole cells, in this spelling alone"""


def emptied(frame: pl.LazyFrame, words: Sequence[str], ids: Collection[str]) -> pl.LazyFrame:
    """The frame with null for the words in all columns of text but those of user ids, and without them in lists."""
    if not words:
        return frame
    named = pl.Series(words, dtype=pl.String).implode()
    cells = []
    for column, dtype in frame.collect_schema().items():
        cell = column_named(column)
        if dtype == pl.String and column not in ids:
            cells.append(pl.when(~cell.is_in(named)).then(cell).alias(column))
        elif dtype == pl.List(pl.String):
            cells.append(cell.list.eval(pl.element().filter(~pl.element().is_in(named))))
    return frame.with_columns(cells)


def counts(before: pl.DataFrame, after: pl.DataFrame) -> dict[str, int]:
    """How many cells of text were emptied, by column; columns without any are left out."""
    found = {
        column: after[column].null_count() - before[column].null_count()
        for column, dtype in before.schema.items()
        if dtype == pl.String
    }
    return {column: number for column, number in found.items() if number}
