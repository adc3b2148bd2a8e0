"""Lists that a source writes as JSON."""

import json

import polars as pl


def lists_of(cells: pl.Series) -> pl.Series:
    """Cells that hold JSON lists of plain values as lists of texts; the cells as they are if one does not."""
    lists: list[list[str] | None] = []
    for cell in cells:
        if cell is None:
            lists.append(None)
            continue
        try:
            values = json.loads(cell)
        except ValueError:
            return cells
        if not isinstance(values, list) or any(isinstance(value, (list, dict)) for value in values):
            return cells
        lists.append([value if isinstance(value, str) else json.dumps(value) for value in values if value is not None])
    return pl.Series(cells.name, lists, dtype=pl.List(pl.String))
