"""The columns of exposures and outcomes, one row for each person in each list that was given out; in the files also one
without a candidate for a list that shows nobody by rank.

An exposure says what a list showed and how it came about. Not recorded are the people in reserved places, and those
whom the viewer's contacts know: they would tell of the viewer's address book, and a newcomer is in no version; only how
many they are is said. Where such people are among the candidates, what the ranker read is recorded of nobody in the
list: no night knows contacts. An outcome is an exposure with what the viewer, and after an invite the candidate, did.
Both are Parquet; times are UTC with microseconds, ids are the caller's.
"""

from typing import Final

import polars as pl

from models.schema.pair_features import PAIR_FEATURES, extra_input_names
from models.schema.statistic_names import ALL_STATISTICS

VIEWER_FEATURES: Final = tuple(f"viewer_{name}" for name in ALL_STATISTICS)
"""the statistics of the viewer, which the ranker reads too"""
FEATURES: Final = (*PAIR_FEATURES, *extra_input_names(len(ALL_STATISTICS)), *VIEWER_FEATURES)
"""what the ranker read of the pair, in the units of models.schema.pair_features: float32 columns of these names.

Null where it read nothing: lists of a cold start have no pair features, versions without dates no dated statistics.
"""

NONE, SAMPLED, UNIFORM = "none", "sampled", "uniform"
"""how a place was filled: by rank alone; by a Plackett-Luce draw; by a uniform draw among the best people"""

ARMS: Final = pl.List(pl.Struct({"experiment": pl.String, "arm": pl.String}))
"""the experiments that the viewer was in, and the arm in each; empty: in none"""

_Types = dict[str, pl.DataType | type[pl.DataType]]
_EXPOSURES: Final[_Types] = {
    "request_id": pl.String,  # of the answer; events that name it are joined to this list
    "at": pl.Datetime("us", "UTC"),  # when the list was made
    "version": pl.String,
    "context": pl.String,
    "served": pl.String,  # ranked, cache, stale, cold_start or empty
    "arms": ARMS,
    "viewer": pl.String,
    "candidate": pl.String,  # null in the files alone, for a list without people: its other columns are null too
    "position": pl.UInt16,  # from 1, among the ranked people of the answer
    "offset": pl.UInt16,  # contacts above, and people of the pages before; added to the position: the place as shown
    "unrecorded": pl.UInt8,  # people in the answer who are not recorded
    "score": pl.Float32,  # as shown
    "sources": pl.List(pl.String),  # models.schema.candidate_sources.names
    "draw": pl.String,  # NONE, SAMPLED or UNIFORM
    "propensity": pl.Float32,  # the probability of this person in this position; 1 where nothing was drawn
    "codes": pl.Binary,  # (F,) uint8, the codes of PAIR_FEATURES in the viewer's block; null where there are none
    **dict.fromkeys(FEATURES, pl.Float32),
}
EXPOSURE_COLUMNS: Final = pl.Schema(_EXPOSURES)

OUTCOMES: Final = ("clicked", "invited", "accepted", "declined", "dismissed", "blocked", "reported")
"""clicked     the viewer opened the candidate (`click` or `view`)
invited     the viewer invited the candidate, or connected at once
accepted    the candidate accepted that invite, or the two were connected after it
declined    the candidate declined it
dismissed, blocked, reported    by the viewer
"""

_OUTCOMES: Final[_Types] = {
    **_EXPOSURES,
    **dict.fromkeys(OUTCOMES, pl.Boolean),  # never null
    "seen": pl.Boolean,  # the client reported an `impression` of it
    "ignored": pl.Boolean,  # none of OUTCOMES within the window; null while the window is open
    "joined_by": pl.String,  # "request_id", "viewer" (last list that showed the candidate), null without events
}
OUTCOME_COLUMNS: Final = pl.Schema(_OUTCOMES)
