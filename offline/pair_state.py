"""What holds between two people once all that is known of them is put in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from models.events import EventKind

DAY_S = 86_400

_JOINING = (EventKind.CONNECT, EventKind.ACCEPT)
_PARTING = (EventKind.DISCONNECT,)
_PAIR = ["a", "b"]
_DIRECTED = ["viewer", "other"]


@dataclass(frozen=True)
class PairState:
    """The friendships and the forbidden pairs."""

    connections: pl.DataFrame
    """`a` < `b` Int32, sorted, each pair once; `created_at` Int64 epoch seconds, null where nobody said"""
    forbidden: pl.DataFrame
    """`viewer`, `other` Int32, sorted, each once: the viewer must not see the other"""


def resolve(connections: pl.DataFrame, interactions: pl.DataFrame, *, as_of: int, forbidden_days: int) -> PairState:
    """The state of every pair at `as_of`, from rows without loops in any order.

    `connections`: `a` < `b` Int32, `created_at` Int64 or null. `interactions`: `user`, `other` Int32, `kind` UInt8 of
    EventKind, `at` Int64. Order is by time; where two rows of one pair carry the same time, what leads to something
    comes before what answers it (invite before accept, connect before disconnect), and what is lifted stays forbidden
    (unblock before block), so that the order of the rows decides nothing.

    A friendship holds where a row or an event made it after the last disconnect; a row without a date speaks as of
    `as_of`. It dates from the earliest of these. All later than `as_of` counts too: a block from tomorrow is a block.
    """
    events = interactions.lazy()
    connected = _connected(connections.lazy(), events, as_of).collect(engine="streaming")
    none = connected.lazy().select(_PAIR)
    forbidden = [
        _both_ways(_standing(events, EventKind.BLOCK, EventKind.UNBLOCK)),
        _standing(events, EventKind.DISMISS, EventKind.UNDISMISS),
        _latest(events, [EventKind.REPORT]).select(_DIRECTED),
        _both_ways(_apart(_pending(events), none)),
        _both_ways(_apart(_lately_refused(events, as_of - forbidden_days * DAY_S), none)),
    ]
    pairs = pl.concat(forbidden).unique().sort(_DIRECTED).collect(engine="streaming")
    return PairState(connected.sort(_PAIR), pairs)


def _connected(connections: pl.LazyFrame, events: pl.LazyFrame, as_of: int) -> pl.LazyFrame:
    """The pairs that are connected, with the earliest date after their last disconnect."""
    joins = _unordered(_of(events, _JOINING)).rename({"at": "created_at"})
    parted = _unordered(_of(events, _PARTING)).group_by(_PAIR).agg(pl.col("at").max().alias("parted_at"))
    claims = pl.concat([connections.select(*_PAIR, "created_at"), joins.select(*_PAIR, "created_at")])
    dated = claims.join(parted, on=_PAIR, how="left")
    holds = pl.col("parted_at").is_null() | (pl.col("created_at").fill_null(as_of) > pl.col("parted_at"))
    ordered = dated.filter(holds).select(*_PAIR, "created_at").sort([*_PAIR, "created_at"], nulls_last=True)
    return ordered.unique(_PAIR, keep="first", maintain_order=True)


def _pending(events: pl.LazyFrame) -> pl.LazyFrame:
    """Inviter and invited where nothing ended the invite: no answer, no withdrawal, no joining or parting since."""
    invited = _latest(events, [EventKind.INVITE])
    answered = _turned(_latest(events, [EventKind.ACCEPT, EventKind.DECLINE]))
    withdrawn = _latest(events, [EventKind.WITHDRAW])
    settled = _latest(events, [*_JOINING, *_PARTING])
    ends = pl.concat([answered, withdrawn, settled, _turned(settled)]).group_by(_DIRECTED).agg(pl.col("at").max())
    met = invited.join(ends, on=_DIRECTED, how="left", suffix="_end")
    return met.filter(pl.col("at_end").is_null() | (pl.col("at") > pl.col("at_end"))).select(_DIRECTED)


def _lately_refused(events: pl.LazyFrame, after: int) -> pl.LazyFrame:
    """Who declined or disconnected from whom later than `after`."""
    refused = _latest(events, [EventKind.DECLINE, EventKind.DISCONNECT])
    return refused.filter(pl.col("at") > after).select(_DIRECTED)


def _standing(events: pl.LazyFrame, forbids: EventKind, lifts: EventKind) -> pl.LazyFrame:
    """Viewer and other where the last of two kinds of event forbids; at the same time, forbidding wins."""
    met = _latest(events, [forbids]).join(_latest(events, [lifts]), on=_DIRECTED, how="left", suffix="_lifted")
    stands = pl.col("at_lifted").is_null() | (pl.col("at") >= pl.col("at_lifted"))
    return met.filter(stands).select(_DIRECTED)


def _latest(events: pl.LazyFrame, kinds: Sequence[EventKind]) -> pl.LazyFrame:
    """`viewer`, `other` and the last time `at` that the viewer did one of these to the other."""
    done = _of(events, kinds).rename({"user": "viewer"})
    return done.group_by(_DIRECTED).agg(pl.col("at").max())


def _of(events: pl.LazyFrame, kinds: Sequence[EventKind]) -> pl.LazyFrame:
    return events.filter(pl.col("kind").is_in([int(kind) for kind in kinds])).select("user", "other", "at")


def _unordered(events: pl.LazyFrame) -> pl.LazyFrame:
    low, high = pl.min_horizontal("user", "other"), pl.max_horizontal("user", "other")
    return events.select(low.alias("a"), high.alias("b"), "at")


def _turned(directed: pl.LazyFrame) -> pl.LazyFrame:
    """The same with viewer and other exchanged, columns in the same order."""
    rest = [column for column in directed.collect_schema().names() if column not in _DIRECTED]
    return directed.select(pl.col("other").alias("viewer"), pl.col("viewer").alias("other"), *rest)


def _both_ways(directed: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([directed, _turned(directed)])


def _apart(directed: pl.LazyFrame, connected: pl.LazyFrame) -> pl.LazyFrame:
    """Less the pairs that are connected."""
    low, high = pl.min_horizontal(_DIRECTED).alias("a"), pl.max_horizontal(_DIRECTED).alias("b")
    return directed.with_columns(low, high).join(connected, on=_PAIR, how="anti").select(_DIRECTED)
