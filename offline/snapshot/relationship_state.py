"""What holds between two people once all that is known of them is put in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from models.system.clock import MICROSECONDS

DAY_S = 86_400

_JOINING = (EventKind.CONNECT, EventKind.ACCEPT)
_PARTING = (EventKind.DISCONNECT,)
_PAIR = ["a", "b"]
_DIRECTED = ["viewer", "other"]


@dataclass(frozen=True)
class RelationshipState:
    """The friendships and the forbidden pairs."""

    connections: pl.DataFrame
    """`a` < `b` Int32, sorted, each pair once; `created_at` Int64 epoch seconds, null where nobody said"""
    forbidden: pl.DataFrame
    """`viewer`, `other` Int32, sorted, each once: the viewer must not see the other. `kinds` UInt8: why, the bits of
    models.schema.relationship.Relationship but CONNECTED"""


def dataset_order(at: pl.Expr, as_of: int) -> pl.Expr:
    """What rows of a dataset of `as_of` are ordered by, beside stamps: microseconds, Int64, of epoch seconds.

    Rows dated after the export cannot be: they count as made at its end, in their own order.
    """
    after = (at - as_of).clip(0, MICROSECONDS - 1)
    return pl.min_horizontal(at, pl.lit(as_of, dtype=pl.Int64)) * MICROSECONDS + after


def resolve(
    connections: pl.DataFrame, interactions: pl.DataFrame, *, as_of: int, forbidden_days: int, until: int | None = None
) -> RelationshipState:
    """The state of every pair at `until`, by default `as_of`, from rows without loops in any order.

    `connections`: `a` < `b` Int32, `created_at` Int64 or null. `interactions`: `user`, `other` Int32, `kind` UInt8 of
    EventKind, `at` Int64, `order` Int64 microseconds: the stamp of a live event, `dataset_order` of a row. Order is by
    that; where two rows of one pair carry the same, what leads to something comes before what answers it (invite before
    accept, connect before disconnect), and what is lifted stays forbidden (unblock before block), so that the order of
    the rows decides nothing.

    A friendship holds where a row or an event made it after the last disconnect; a row without a date speaks as of
    `as_of`. It dates from the earliest of these. All later than `as_of` counts too: a block from tomorrow is a block.
    """
    events = interactions.lazy()
    connected = _connected(connections.lazy(), events, as_of).collect(engine="streaming")
    none = connected.lazy().select(_PAIR)
    blocked = _standing(events, EventKind.BLOCK, EventKind.UNBLOCK)
    invited = _apart(_pending(events), none)
    after = ((as_of if until is None else until) - forbidden_days * DAY_S) * MICROSECONDS
    kinds = {
        Relationship.BLOCKED_BY_VIEWER: blocked,
        Relationship.BLOCKED_BY_OTHER: _turned(blocked),
        Relationship.DISMISSED: _standing(events, EventKind.DISMISS, EventKind.UNDISMISS),
        Relationship.REPORTED: _latest(events, [EventKind.REPORT]).select(_DIRECTED),
        Relationship.INVITED_BY_VIEWER: invited,
        Relationship.INVITED_BY_OTHER: _turned(invited),
        Relationship.REFUSED: _both_ways(_apart(_lately_refused(events, after), none)),
    }
    every = pl.concat(
        [pairs.with_columns(pl.lit(int(bit), dtype=pl.UInt8).alias("kinds")) for bit, pairs in kinds.items()]
    )
    joined = every.unique().group_by(_DIRECTED).agg(pl.col("kinds").sum().cast(pl.UInt8))
    return RelationshipState(connected.sort(_PAIR), joined.sort(_DIRECTED).collect(engine="streaming"))


def _connected(connections: pl.LazyFrame, events: pl.LazyFrame, as_of: int) -> pl.LazyFrame:
    """The pairs that are connected, with the earliest date after their last disconnect."""
    joins = _unordered(_of(events, _JOINING)).rename({"at": "created_at"})
    parted = _unordered(_of(events, _PARTING)).group_by(_PAIR).agg(pl.col("order").max().alias("parted"))
    rows = connections.with_columns(dataset_order(pl.col("created_at").fill_null(as_of), as_of).alias("order"))
    columns = [*_PAIR, "created_at", "order"]
    claims = pl.concat([rows.select(columns), joins.select(columns)])
    dated = claims.join(parted, on=_PAIR, how="left")
    holds = pl.col("parted").is_null() | (pl.col("order") > pl.col("parted"))
    ordered = dated.filter(holds).select(*_PAIR, "created_at").sort([*_PAIR, "created_at"], nulls_last=True)
    return ordered.unique(_PAIR, keep="first", maintain_order=True)


def _pending(events: pl.LazyFrame) -> pl.LazyFrame:
    """Inviter and invited where nothing ended the invite: no answer, no withdrawal, no joining or parting since."""
    invited = _latest(events, [EventKind.INVITE])
    answered = _turned(_latest(events, [EventKind.ACCEPT, EventKind.DECLINE]))
    withdrawn = _latest(events, [EventKind.WITHDRAW])
    shrink_towards_profile = _latest(events, [*_JOINING, *_PARTING])
    ends = (
        pl.concat([answered, withdrawn, shrink_towards_profile, _turned(shrink_towards_profile)])
        .group_by(_DIRECTED)
        .agg(pl.col("order").max())
    )
    met = invited.join(ends, on=_DIRECTED, how="left", suffix="_end")
    return met.filter(pl.col("order_end").is_null() | (pl.col("order") > pl.col("order_end"))).select(_DIRECTED)


def _lately_refused(events: pl.LazyFrame, after: int) -> pl.LazyFrame:
    """Who declined or disconnected from whom later than `after`, microseconds."""
    refused = _latest(events, [EventKind.DECLINE, EventKind.DISCONNECT])
    return refused.filter(pl.col("order") > after).select(_DIRECTED)


def _standing(events: pl.LazyFrame, forbids: EventKind, lifts: EventKind) -> pl.LazyFrame:
    """Viewer and other where the last of two kinds of event forbids; at the same time, forbidding wins."""
    met = _latest(events, [forbids]).join(_latest(events, [lifts]), on=_DIRECTED, how="left", suffix="_lifted")
    stands = pl.col("order_lifted").is_null() | (pl.col("order") >= pl.col("order_lifted"))
    return met.filter(stands).select(_DIRECTED)


def _latest(events: pl.LazyFrame, kinds: Sequence[EventKind]) -> pl.LazyFrame:
    """`viewer`, `other` and the `order` of the last time that the viewer did one of these to the other."""
    done = _of(events, kinds).rename({"user": "viewer"})
    return done.group_by(_DIRECTED).agg(pl.col("order").max())


def _of(events: pl.LazyFrame, kinds: Sequence[EventKind]) -> pl.LazyFrame:
    return events.filter(pl.col("kind").is_in([int(kind) for kind in kinds])).select("user", "other", "at", "order")


def _unordered(events: pl.LazyFrame) -> pl.LazyFrame:
    low, high = pl.min_horizontal("user", "other"), pl.max_horizontal("user", "other")
    return events.select(low.alias("a"), high.alias("b"), "at", "order")


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
