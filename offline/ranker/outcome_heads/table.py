"""The table that heads learn from: people shown in lists, what the ranker read of them, and what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.live_state.erased_ids import ErasedPeople
from models.outcomes.schema import UNIFORM, VIEWER_FEATURES
from models.schema.pair_features import PAIR_FEATURES, extra_input_names

AGAINST = ("dismissed", "blocked", "reported")
"""outcomes that the head of dismissals learns"""
ACTED = ("clicked", "invited", *AGAINST)
"""outcomes that only a person who was looked at can have"""
OFFSET_AT_MOST = 1000
"""places further down count as this one"""

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class OutcomeTable:
    """m people shown in lists, by time."""

    lists: NDArray[np.int64]
    """(m,) number of the list"""
    viewers: NDArray[np.int64]
    """(m,) number of the viewer"""
    inputs: Floats
    """(m, p) of the ranker, unscaled, in the order of RankerHead"""
    places: NDArray[np.int64]
    """(m,) place in the whole list, from 1"""
    contexts: NDArray[np.int64]
    """(m,) number in `context_names`"""
    context_names: tuple[str, ...]
    is_uniform: Flags
    """(m,) whether the place was drawn uniformly among the best"""
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

    def thinned(self, most: int, seed: int) -> "OutcomeTable":
        """At most `most` rows: those with an outcome, the latest of them, and a draw of the others, which stand for all
        of these.
        """
        if len(self) <= most:
            return self
        chosen = np.flatnonzero(self.acted)[-most // 2 :]
        rest = np.flatnonzero(~self.acted)
        drawn = np.random.default_rng(seed).permutation(rest)[: most - len(chosen)]
        weights = self.weights.copy()
        weights[drawn] *= len(rest) / len(drawn)
        at = np.sort(np.concatenate([chosen, drawn]))
        return OutcomeTable(**{**self.__dict__, "weights": weights}).take(at)


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
        is_uniform=(found["draw"] == UNIFORM).to_numpy(),
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
