"""The state of every pair of users as Spark jobs: offline.snapshot.relationship_state says what each step means."""

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from models.system.clock import DAY_S, MICROSECONDS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_CONNECTS = (EventKind.CONNECT, EventKind.ACCEPT)
_DISCONNECTS = (EventKind.DISCONNECT,)
_PAIR = ["a", "b"]
_DIRECTED = ["viewer", "other"]


def connected_pairs(connections: "DataFrame", events: "DataFrame", as_of: int) -> "DataFrame":
    """`a` < `b`, `created_at`: the connected pairs, with the earliest date after their last disconnect."""
    from pyspark.sql import functions as sf

    joins = _unordered(_of(events, _CONNECTS)).withColumnRenamed("at", "created_at")
    ended = _unordered(_of(events, _DISCONNECTS)).groupBy(_PAIR).agg(sf.max("order").alias("ended"))
    order = _dataset_order(sf.coalesce("created_at", sf.lit(as_of)), as_of).alias("order")
    claims = connections.select(*_PAIR, "created_at", order).unionByName(joins)
    made = claims.join(ended, _PAIR, "left").where(sf.col("ended").isNull() | (sf.col("order") > sf.col("ended")))
    return made.groupBy(_PAIR).agg(sf.min("created_at").alias("created_at"))


def forbidden_pairs(connected: "DataFrame", events: "DataFrame", until: int, forbidden_days: int) -> "DataFrame":
    """`viewer`, `other`, `kinds`: who must not see whom at `until`, and why."""
    from pyspark.sql import functions as sf

    blocked = _in_force(events, EventKind.BLOCK, EventKind.UNBLOCK)
    invited = _unconnected(_pending(events), connected)
    after = (until - forbidden_days * DAY_S) * MICROSECONDS
    refused = _latest(events, [EventKind.DECLINE, EventKind.DISCONNECT]).where(sf.col("order") > after)
    refused = _unconnected(refused.select(_DIRECTED), connected)
    kinds = (
        (Relationship.BLOCKED_BY_VIEWER, blocked),
        (Relationship.BLOCKED_BY_OTHER, _reversed_pairs(blocked)),
        (Relationship.DISMISSED, _in_force(events, EventKind.DISMISS, EventKind.UNDISMISS)),
        (Relationship.REPORTED, _latest(events, [EventKind.REPORT]).select(_DIRECTED)),
        (Relationship.INVITED_BY_VIEWER, invited),
        (Relationship.INVITED_BY_OTHER, _reversed_pairs(invited)),
        (Relationship.REFUSED, refused.unionByName(_reversed_pairs(refused))),
    )
    named = [pairs.select(*_DIRECTED, sf.lit(int(bit)).alias("kinds")) for bit, pairs in kinds]
    every = reduce(lambda one, other: one.unionByName(other), named)
    return every.distinct().groupBy(_DIRECTED).agg(sf.sum("kinds").cast("int").alias("kinds"))


def _dataset_order(at: "Column", as_of: int) -> "Column":
    from pyspark.sql import functions as sf

    after = sf.greatest(sf.least(at - as_of, sf.lit(MICROSECONDS - 1)), sf.lit(0))
    return sf.least(at, sf.lit(as_of)) * MICROSECONDS + after


def _pending(events: "DataFrame") -> "DataFrame":
    """Inviter and invitee of each pending invite."""
    from pyspark.sql import functions as sf

    answered = _reversed_pairs(_latest(events, [EventKind.ACCEPT, EventKind.DECLINE]))
    changes = _latest(events, [*_CONNECTS, *_DISCONNECTS])
    ends = answered.unionByName(_latest(events, [EventKind.WITHDRAW])).unionByName(changes)
    ends = ends.unionByName(_reversed_pairs(changes)).groupBy(_DIRECTED).agg(sf.max("order").alias("ended"))
    invited = _latest(events, [EventKind.INVITE]).join(ends, _DIRECTED, "left")
    return invited.where(sf.col("ended").isNull() | (sf.col("order") > sf.col("ended"))).select(_DIRECTED)


def _in_force(events: "DataFrame", forbids: EventKind, lifts: EventKind) -> "DataFrame":
    """Viewer and other if the last event of the two kinds forbids; of equal order, forbidding wins."""
    from pyspark.sql import functions as sf

    lifted = _latest(events, [lifts]).withColumnRenamed("order", "lifted")
    last = _latest(events, [forbids]).join(lifted, _DIRECTED, "left")
    return last.where(sf.col("lifted").isNull() | (sf.col("order") >= sf.col("lifted"))).select(_DIRECTED)


def _latest(events: "DataFrame", kinds: Sequence[EventKind]) -> "DataFrame":
    """`viewer`, `other` and the latest `order` of the viewer's events of these kinds."""
    from pyspark.sql import functions as sf

    done = _of(events, kinds).withColumnRenamed("user", "viewer")
    return done.groupBy(_DIRECTED).agg(sf.max("order").alias("order"))


def _of(events: "DataFrame", kinds: Sequence[EventKind]) -> "DataFrame":
    from pyspark.sql import functions as sf

    return events.where(sf.col("kind").isin([int(kind) for kind in kinds])).select("user", "other", "at", "order")


def _unordered(events: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as sf

    low, high = sf.least("user", "other").alias("a"), sf.greatest("user", "other").alias("b")
    return events.select(low, high, "at", "order")


def _reversed_pairs(directed: "DataFrame") -> "DataFrame":
    """The frame with viewer and other swapped."""
    from pyspark.sql import functions as sf

    rest = [column for column in directed.columns if column not in _DIRECTED]
    return directed.select(sf.col("other").alias("viewer"), sf.col("viewer").alias("other"), *rest)


def _unconnected(directed: "DataFrame", connected: "DataFrame") -> "DataFrame":
    """The pairs without those that are connected."""
    from pyspark.sql import functions as sf

    pairs = directed.withColumns({"a": sf.least(*_DIRECTED), "b": sf.greatest(*_DIRECTED)})
    return pairs.join(connected.select(_PAIR), _PAIR, "left_anti").select(_DIRECTED)
