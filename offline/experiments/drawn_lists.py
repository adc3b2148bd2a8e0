"""The lists of a log whose first places were drawn, place by place, and whom their viewers had refused before.

A place is the one that a list shows, not the number of its row: a person who was erased since is missing from the log,
and leaves a hole. A hole was filled, by somebody whom no other ranking shows any more.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.system.clock import MICROSECONDS

MINUTE_US = 60 * MICROSECONDS
_OWN = ("invite", "connect", "accept", "decline", "dismiss", "block", "report")
"""events after which the other one is no candidate of the user"""
_OF_OTHERS = ("invite", "connect", "accept", "decline", "block")
"""events after which the user is no candidate of the other one"""
_OWN_OUTCOMES = ("invited", "dismissed", "blocked", "reported")
_OUTCOMES_OF_OTHERS = ("invited", "blocked")
_LIST = ("request_id", "viewer", "context")

Refusals = dict[str, list[tuple[int, str]]]
"""by viewer, when (microseconds) and who"""


class DrawnList(NamedTuple):
    """A list whose first places were drawn."""

    viewer: str
    context: str
    at: int
    """microseconds"""
    version: str
    candidates: list[str]
    """of its first places; "" for a hole or where the list is shorter"""
    propensities: NDArray[np.float64]
    """(places,) 0 where the list is shorter; 1 for a hole"""
    outcomes: dict[str, NDArray[np.float64]]
    """by name, (places,)"""

    @property
    def has_hole(self) -> bool:
        """Whether somebody is missing from the log."""
        return any(not one and filled for one, filled in zip(self.candidates, self.propensities, strict=True))


class DrawnLists(NamedTuple):
    """The lists all of whose first `places` were drawn."""

    places: int
    """at most those asked for: as many as were drawn in most of the lists whose first place was"""
    lists: list[DrawnList]
    first_pages: int
    """lists among which they were found"""
    with_a_draw: int
    """lists any of whose places was drawn"""


def drawn_lists(outcomes: pl.DataFrame, places: int, rewards: tuple[str, ...]) -> DrawnLists:
    """The first pages of lists whose first places were all drawn."""
    first = outcomes.filter(pl.col("offset") == 0).sort(*_LIST, "position")
    own = first.with_columns(last=pl.col("position").max().over(_LIST)).filter(pl.col("position") <= places)
    # how many places were drawn from the first on; all of a list that ends before
    is_drawn = pl.col("propensity") < 1
    stays = pl.when(~is_drawn).then(pl.col("position")).min().over(_LIST)
    deepest = pl.when(is_drawn & (pl.col("position") < stays)).then(pl.col("position")).max().over(_LIST)
    depth = pl.when(stays.is_null()).then(places).otherwise(deepest.fill_null(0)).cast(pl.Int64)
    depths = own.with_columns(depth=depth)
    by_list = depths.group_by(_LIST, maintain_order=True).agg(pl.col("depth").first(), is_drawn.any().alias("is_drawn"))
    deep = by_list.filter(pl.col("depth") > 0)["depth"].sort()
    judged = int(deep[(len(deep) - 1) // 2]) if len(deep) else 0
    lists = list(_lists(depths.filter(pl.col("depth") >= judged), judged, rewards)) if judged else []
    return DrawnLists(judged, lists, len(by_list), int(by_list["is_drawn"].sum()))


def _lists(rows: pl.DataFrame, places: int, rewards: tuple[str, ...]) -> Iterator[DrawnList]:
    for own in rows.partition_by(_LIST, maintain_order=True):
        at = own["position"].to_numpy().astype(np.intp) - 1
        within = at < places
        at = at[within]
        candidates = [""] * places
        for place, who in zip(at.tolist(), own["candidate"].to_list(), strict=False):
            candidates[place] = who
        propensities = np.zeros(places)
        propensities[: int(own["last"][0])] = 1.0
        propensities[at] = own["propensity"].cast(pl.Float64).to_numpy()[within]
        outcomes = {name: np.zeros(places) for name in rewards}
        for name in rewards:
            outcomes[name][at] = own[name].cast(pl.Float64).to_numpy()[within]
        head = own.row(0, named=True)
        yield DrawnList(
            head["viewer"],
            head["context"],
            own["at"].dt.epoch("us")[0],
            head.get("version") or "",
            candidates,
            propensities,
            outcomes,
        )


def draws_of(lists: list[DrawnList], hold_minutes: float) -> NDArray[np.int64]:
    """(s,) the number of the draw that each list shows, from 0: within a span of `hold_minutes` a viewer's is the same,
    however often a page is loaded (service.ranking.exploration.draw.span_of). 0 minutes: each list is a draw.
    """
    if not hold_minutes:
        return np.arange(len(lists), dtype=np.int64)
    numbers: dict[tuple[str, str, str, int], int] = {}
    return np.array(
        [
            numbers.setdefault((one.viewer, one.version, one.context, _span(one.at, hold_minutes)), len(numbers))
            for one in lists
        ],
        dtype=np.int64,
    )


def _span(at: int, hold_minutes: float) -> int:
    return int(-(-at // round(hold_minutes * MINUTE_US)))


def refusals(outcomes: pl.DataFrame, events: pl.DataFrame | None) -> Refusals:
    """Who was no candidate of a viewer any more, and from when on.

    By the events (offline.outcomes.events.EVENT_COLUMNS), which also know what came of no list; without them by what
    came of lists, from the time of the list on.
    """
    found: Refusals = {}
    sources = []
    if events is None:
        at = pl.col("at").dt.epoch("us")
        for names, user, other in (
            (_OWN_OUTCOMES, "viewer", "candidate"),
            (_OUTCOMES_OF_OTHERS, "candidate", "viewer"),
        ):
            sources.append(outcomes.filter(pl.any_horizontal(*names)).select(user, at, other))
    else:
        for kinds, user, other in ((_OWN, "user_id", "other_id"), (_OF_OTHERS, "other_id", "user_id")):
            acted = events.filter(pl.col("kind").is_in(list(kinds)), pl.col("other_id").is_not_null())
            sources.append(acted.select(user, "acknowledged", other))
    for rows in sources:
        for user, at_us, other in rows.iter_rows():
            found.setdefault(user, []).append((at_us, other))
    return found
