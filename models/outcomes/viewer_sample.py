"""A share of the viewers, drawn by a hash of their ids: of each of them all lists are read, or none."""

from dataclasses import dataclass

import polars as pl

_RANGE = 1 << 64


@dataclass(frozen=True, slots=True)
class ViewerSample:
    """The viewers whose hash is in the first `share` of the range: with one release of Polars always the same ones."""

    share: float = 1.0

    @classmethod
    def of_rows(cls, rows: int, most: int) -> "ViewerSample":
        """Everybody, or so many that about `most` of the rows are theirs."""
        return cls() if rows <= most else cls(most / rows)

    def has(self, column: str) -> pl.Expr:
        """Whether the id in a column is of the sample; an id that is null is not, where not everybody is."""
        if self.share >= 1:
            return pl.lit(value=True)
        is_drawn = pl.col(column).hash(seed=0) < int(self.share * _RANGE)
        return pl.col(column).is_not_null() & is_drawn


EVERYBODY = ViewerSample()
