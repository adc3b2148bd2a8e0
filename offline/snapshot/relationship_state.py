"""The state of every pair of users, from all their events in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from models.system.clock import DAY_S, MICROSECONDS

_CONNECTS = (EventKind.CONNECT, EventKind.ACCEPT)
_DISCONNECTS = (EventKind.DISCONNECT,)
_PAIR = ["a", "b"]
_DIRECTED = ["viewer", "other"]


@dataclass(frozen=True)
class RelationshipState:
    """The friendships and the forbidden pairs."""

    connections: pl.DataFrame
    """`a` < `b` Int32, sorted, each pair once; `created_at` Int64 epoch seconds, null if unknown"""
    forbidden: pl.DataFrame
    """`viewer`, `other` Int32, sorted, each once: the viewer must not see the other. `kinds` UInt8: the reasons, bits
    of models.schema.relationship.Relationship without CONNECTED"""


def dataset_order(at: pl.Expr, as_of: int) -> pl.Expr:
    """The order of dataset rows beside live timestamps: microseconds, Int64, from epoch seconds.

    Rows dated after `as_of` count as made at its end, in their own order.
    """
    after = (at - as_of).clip(0, MICROSECONDS - 1)
    return pl.min_horizontal(at, pl.lit(as_of, dtype=pl.Int64)) * MICROSECONDS + after


def resolve(
    connections: pl.DataFrame, interactions: pl.DataFrame, *, as_of: int, forbidden_days: int, until: int | None = None
) -> RelationshipState:
    """The state of every pair at `until`, by default `as_of`, from rows without self-pairs in any order.

    `connections`: `a` < `b` Int32, `created_at` Int64 or null. `interactions`: `user`, `other` Int32, `kind` UInt8 of
    EventKind, `at` Int64, `order` Int64 microseconds: the timestamp of a live event, `dataset_order` of a row. Events
    apply by `order`. Ties of one pair apply causes before answers (invite before accept, connect before disconnect) and
    lifts before prohibitions (unblock before block), so the order of the rows changes nothing.

    A friendship exists if a row or an event made it after the last disconnect; a row without a date counts as of
    `as_of`. Its date is the earliest of these. Events later than `as_of` count too: a block from tomorrow is a block.
    """
    events = interactions.lazy()
    connected = _connected(connections.lazy(), events, as_of).collect(engine="streaming")
    connected_pairs = connected.lazy().select(_PAIR)
    blocked = _in_force(events, EventKind.BLOCK, EventKind.UNBLOCK)
    invited = _unconnected(_pending(events), connected_pairs)
    after = ((as_of if until is None else until) - forbidden_days * DAY_S) * MICROSECONDS
    kinds = {
        Relationship.BLOCKED_BY_VIEWER: blocked,
        Relationship.BLOCKED_BY_OTHER: _reversed_pairs(blocked),
        Relationship.DISMISSED: _in_force(events, EventKind.DISMISS, EventKind.UNDISMISS),
        Relationship.REPORTED: _latest(events, [EventKind.REPORT]).select(_DIRECTED),
        Relationship.INVITED_BY_VIEWER: invited,
        Relationship.INVITED_BY_OTHER: _reversed_pairs(invited),
        Relationship.REFUSED: _both_ways(_unconnected(_recently_refused(events, after), connected_pairs)),
    }
    every = pl.concat(
        [pairs.with_columns(pl.lit(int(bit), dtype=pl.UInt8).alias("kinds")) for bit, pairs in kinds.items()]
    )
    joined = every.unique().group_by(_DIRECTED).agg(pl.col("kinds").sum().cast(pl.UInt8))
    return RelationshipState(connected.sort(_PAIR), joined.sort(_DIRECTED).collect(engine="streaming"))


def _connected(connections: pl.LazyFrame, events: pl.LazyFrame, as_of: int) -> pl.LazyFrame:
    """The connected pairs, with the earliest date after their last disconnect."""
    joins = _unordered(_of(events, _CONNECTS)).rename({"at": "created_at"})
    disconnected = _unordered(_of(events, _DISCONNECTS)).group_by(_PAIR).agg(pl.col("order").max().alias("ended"))
    rows = connections.with_columns(dataset_order(pl.col("created_at").fill_null(as_of), as_of).alias("order"))
    columns = [*_PAIR, "created_at", "order"]
    claims = pl.concat([rows.select(columns), joins.select(columns)])
    dated = claims.join(disconnected, on=_PAIR, how="left")
    is_connected = pl.col("ended").is_null() | (pl.col("order") > pl.col("ended"))
    ordered = dated.filter(is_connected).select(*_PAIR, "created_at").sort([*_PAIR, "created_at"], nulls_last=True)
    return ordered.unique(_PAIR, keep="first", maintain_order=True)


def _pending(events: pl.LazyFrame) -> pl.LazyFrame:
    """Inviter and invitee of each pending invite: no answer, withdrawal, connect or disconnect since."""
    invited = _latest(events, [EventKind.INVITE])
    answered = _reversed_pairs(_latest(events, [EventKind.ACCEPT, EventKind.DECLINE]))
    withdrawn = _latest(events, [EventKind.WITHDRAW])
    connection_changes = _latest(events, [*_CONNECTS, *_DISCONNECTS])
    ends = (
        pl.concat([answered, withdrawn, connection_changes, _reversed_pairs(connection_changes)])
        .group_by(_DIRECTED)
        .agg(pl.col("order").max())
    )
    matched = invited.join(ends, on=_DIRECTED, how="left", suffix="_end")
    return matched.filter(pl.col("order_end").is_null() | (pl.col("order") > pl.col("order_end"))).select(_DIRECTED)


def _recently_refused(events: pl.LazyFrame, after: int) -> pl.LazyFrame:
    """Who declined or disconnected from whom later than `after`, microseconds."""
    refused = _latest(events, [EventKind.DECLINE, EventKind.DISCONNECT])
    return refused.filter(pl.col("order") > after).select(_DIRECTED)


def _in_force(events: pl.LazyFrame, forbids: EventKind, lifts: EventKind) -> pl.LazyFrame:
    """Viewer and other if the last event of the two kinds forbids; on a tie, forbidding wins."""
    matched = _latest(events, [forbids]).join(_latest(events, [lifts]), on=_DIRECTED, how="left", suffix="_lifted")
    in_force = pl.col("order_lifted").is_null() | (pl.col("order") >= pl.col("order_lifted"))
    return matched.filter(in_force).select(_DIRECTED)


def _latest(events: pl.LazyFrame, kinds: Sequence[EventKind]) -> pl.LazyFrame:
    """`viewer`, `other` and the latest `order` of the viewer's events of these kinds."""
    done = _of(events, kinds).rename({"user": "viewer"})
    return done.group_by(_DIRECTED).agg(pl.col("order").max())


def _of(events: pl.LazyFrame, kinds: Sequence[EventKind]) -> pl.LazyFrame:
    return events.filter(pl.col("kind").is_in([int(kind) for kind in kinds])).select("user", "other", "at", "order")


def _unordered(events: pl.LazyFrame) -> pl.LazyFrame:
    low, high = pl.min_horizontal("user", "other"), pl.max_horizontal("user", "other")
    return events.select(low.alias("a"), high.alias("b"), "at", "order")


def _reversed_pairs(directed: pl.LazyFrame) -> pl.LazyFrame:
    """The frame with viewer and other swapped, columns in the same order."""
    rest = [column for column in directed.collect_schema().names() if column not in _DIRECTED]
    return directed.select(pl.col("other").alias("viewer"), pl.col("viewer").alias("other"), *rest)


def _both_ways(directed: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([directed, _reversed_pairs(directed)])


def _unconnected(directed: pl.LazyFrame, connected: pl.LazyFrame) -> pl.LazyFrame:
    """The pairs without those that are connected."""
    low, high = pl.min_horizontal(_DIRECTED).alias("a"), pl.max_horizontal(_DIRECTED).alias("b")
    return directed.with_columns(low, high).join(connected, on=_PAIR, how="anti").select(_DIRECTED)
