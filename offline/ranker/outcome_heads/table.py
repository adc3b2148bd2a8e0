"""The table that heads learn from: people shown in lists, what the ranker read of them, and what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.arrays import Float32s
from models.live_state.erased_ids import ErasedPeople
from models.outcomes.schema import UNIFORM, VIEWER_FEATURES
from models.schema.pair_features import PAIR_FEATURES, extra_input_names

AGAINST = ("dismissed", "blocked", "reported")
"""outcomes that the head of dismissals learns"""
ACTED = ("clicked", "invited", *AGAINST)
"""outcomes that only a person who was looked at can have"""
OFFSET_AT_MOST = 1000
"""places further down count as this one"""

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class OutcomeTable:
    """m people shown in lists, by time."""

    lists: NDArray[np.int64]
    """(m,) number of the list"""
    viewers: NDArray[np.int64]
    """(m,) number of the viewer"""
    inputs: Float32s
    """(m, p) of the ranker, unscaled, in the order of RankerHead"""
    places: NDArray[np.int64]
    """(m,) place in the whole list, from 1"""
    contexts: NDArray[np.int64]
    """(m,) number in `context_names`"""
    context_names: tuple[str, ...]
    is_uniform: Flags
    """(m,) whether the place was drawn uniformly among the best; people of the same list who were not drawn, as those
    after the best, are not among them"""
    acted: Flags
    """(m,) whether the viewer did anything that needs a look"""
    invited: Flags
    accepted: Flags
    dismissed: Flags
    """(m,) or blocked, or reported"""
    weights: NDArray[np.float64]
    """(m,) people whom a row stands for"""

    def __len__(self) -> int:
        return len(self.viewers)

    def take(self, at: NDArray[np.int64] | Flags) -> "OutcomeTable":
        """The rows at these positions."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return OutcomeTable(**{name: one if name == "context_names" else one[at] for name, one in fields.items()})

    def thinned(self, most: int, seed: int) -> tuple["OutcomeTable", NDArray[np.int64]]:
        """At most `most` rows, and their positions.

        Of those invited or dismissed, of the others who were acted on, and of the rest, each has up to half of the room
        that is left. They are drawn over all days, and those drawn stand for all of their kind: sums over rows, each
        times its weight, stay unbiased, those over the rows of any one list or person too.
        """
        if len(self) <= most:
            return self, np.arange(len(self))
        random, weights, room, left = np.random.default_rng(seed), self.weights.copy(), most, len(self)
        has_heads = self.invited | self.dismissed
        kinds = (has_heads, self.acted & ~has_heads, ~self.acted & ~has_heads)
        kept = []
        for own in map(np.flatnonzero, kinds):
            left -= len(own)
            drawn = random.permutation(own)[: max(-(-room // 2), room - left)]
            if len(drawn):
                weights[drawn] *= len(own) / len(drawn)
            kept.append(drawn)
            room -= len(drawn)
        at = np.sort(np.concatenate(kept))
        return replace(self, weights=weights).take(at), at

    def of_lists(self) -> NDArray[np.float64]:
        """(m, c + 1) what the list of each row is: its context, of c, and its length, the logarithm of the last place
        less the mean.
        """
        length = np.zeros(int(self.lists.max(initial=-1)) + 1, np.int64)
        np.maximum.at(length, self.lists, self.places)
        far = np.log(np.maximum(length, 1))[self.lists]
        return np.column_stack([self.contexts[:, None] == np.arange(len(self.context_names)), far - far.mean()])

    def whole_lists(self, having: Flags, most: int, seed: int) -> NDArray[np.int64]:
        """(k,) positions of all rows of the lists that have one of the rows `having` (m,); above `most` rows so many of
        these lists as have no more, drawn over all days.
        """
        wanted = np.random.default_rng(seed).permutation(np.unique(self.lists[having]))
        rows = np.cumsum(np.bincount(self.lists)[wanted])
        return np.flatnonzero(np.isin(self.lists, wanted[rows <= most]))


def outcome_table(outcomes: pl.DataFrame, erased: ErasedPeople, statistics: int) -> OutcomeTable:
    """The table of outcomes (models.outcomes.schema), for a ranker that reads so many statistics of a user.

    Left out are people of whom the ranker read nothing or other features, and rows that name somebody, as viewer or
    candidate, who was erased after the list was given out.
    """
    kept, further = list(PAIR_FEATURES), list(extra_input_names(statistics))
    viewer = list(VIEWER_FEATURES[:statistics])
    has_all = pl.all_horizontal(
        pl.col(name).is_not_null() & pl.col(name).is_finite() for name in kept + further + viewer
    )
    is_read = pl.col("codes").bin.size() == len(PAIR_FEATURES)
    found = outcomes.filter(is_read.fill_null(value=False) & has_all)
    if len(erased) and len(found):
        found = found.filter(~_names_erased(found, erased))
    codes = np.frombuffer(b"".join(found["codes"].to_list()), np.uint8).reshape(len(found), len(PAIR_FEATURES))
    values, extra, own = (found.select(names).to_numpy().astype(np.float32) for names in (kept, further, viewer))
    names = sorted(found["context"].unique().to_list())

    def any_of(columns: Sequence[str]) -> Flags:
        return np.asarray(found.select(pl.any_horizontal(*columns)).to_series().to_numpy(), dtype=np.bool_)

    places = found["position"].cast(pl.Int64) + found["offset"].cast(pl.Int64).fill_null(0)
    return OutcomeTable(
        lists=_numbers(found.select(pl.struct("request_id", "viewer")).to_series()),
        viewers=_numbers(found["viewer"]),
        inputs=np.concatenate([values, codes * np.float32(1 / 255), extra, own], axis=1),
        places=places.to_numpy().clip(1, OFFSET_AT_MOST),
        contexts=np.searchsorted(np.array(names, dtype=object), found["context"].to_numpy().astype(object))
        if names
        else np.zeros(0, np.int64),
        context_names=tuple(names),
        is_uniform=found.select((pl.col("draw") == UNIFORM) & (pl.col("propensity") < 1))
        .to_series()
        .fill_null(value=False)
        .to_numpy(),
        acted=any_of(ACTED),
        invited=any_of(["invited"]),
        accepted=any_of(["accepted"]),
        dismissed=any_of(AGAINST),
        weights=np.ones(len(found)),
    )


def _names_erased(found: pl.DataFrame, erased: ErasedPeople) -> pl.Series:
    """(m,) whether a row names somebody who was erased at its time or later."""
    at = found["at"].dt.epoch("us")
    gone = pl.Series([False]).new_from_index(0, len(found))
    for column in ("viewer", "candidate"):
        ids = found[column].unique()
        upto = pl.Series([erased.timestamp_us(one) for one in ids.to_list()], dtype=pl.Int64)
        of_row = found[column].replace_strict(ids, upto, return_dtype=pl.Int64)
        gone = gone | ((of_row > 0) & (of_row >= at))
    return gone


def _numbers(values: pl.Series) -> NDArray[np.int64]:
    """(m,) the same number for the same value, in the order in which they come."""
    return values.rank("dense").cast(pl.Int64).to_numpy() - 1 if len(values) else np.zeros(0, np.int64)
