"""Parity of features: what a request read of its candidates, computed again from the version and the event log.

A request reads a block that the night made, or the worker after the viewer's last change that it knew of, and brings it
up to date with the friends made since. Neither the block nor how far the worker was is recorded. So every state of the
viewer from the version's cut to the list is tried, as the worker's and as the request's, and the list counts with the
state that most of its people agree with.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.candidate_refresh.generator import load_version
from models.candidate_refresh.refresher import LoadedVersion
from models.event_log.event import Entry
from models.event_log.repair import record_of
from models.live_state.edges import Direction, edge_event
from models.live_state.neighbourhood import Neighbourhood, neighbourhood
from models.ranker.fresh_block import FreshBlocks
from models.ranker.product_feature import with_product
from models.schema.event_kinds import EventKind
from models.schema.pair_features import PAIR_FEATURES
from models.schema.vocabulary import Row
from models.system.clock import DAY_US
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.local_versions import Versions

MOST_STATES = 12
"""latest states of a viewer that are tried"""


@dataclass(frozen=True)
class Parity:
    """How many recorded codes agree with those that were computed again."""

    lists: int
    pairs: int
    agreeing: int
    """pairs all of whose codes are the same"""
    skipped: int
    """lists that were not compared: of a version that is not on this disk, of viewers outside it, or of no block"""
    error: float = 0.0
    """standard error of the share; lists are independent, the people of one are not"""

    @property
    def share(self) -> float | None:
        """Of the pairs; None without any."""
        return self.agreeing / self.pairs if self.pairs else None

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        names = ("lists", "pairs", "agreeing", "skipped", "share")
        return {name: getattr(self, name) for name in names}


def feature_parity(
    exposures: pl.DataFrame, entries: Iterable[Entry], home: Path, *, forbidden_days: int, most: int, seed: int = 0
) -> Parity:
    """The parity of at most so many lists among `exposures` (models.outcomes.schema), drawn at random.

    `entries` are those of the event log. Takes some milliseconds a list, and opens every version that is concerned.
    """
    # the lists, and the entries of their viewers
    names = ["request_id", "viewer"]
    every = exposures.group_by(names, maintain_order=True).agg("at", "version", "candidate", "codes")
    drawn = every.sample(min(most, len(every)), seed=seed)
    viewers = set(drawn["viewer"])
    entries_of: dict[str, list[Entry]] = {viewer: [] for viewer in viewers}
    for entry in entries:
        for viewer in viewers.intersection((entry.user_id, entry.other_id or "")):
            entries_of[viewer].append(entry)
    # version by version
    of_lists: list[tuple[int, int]] = []
    for (version,), own in drawn.with_columns(pl.col("version").list.first()).group_by("version"):
        if version not in Versions(home).ids():
            continue
        again = _Version(Versions(home).path(str(version)), forbidden_days)
        for row in own.iter_rows(named=True):
            at = round(row["at"][0].timestamp() * 1e6)
            same = again.agreeing(row["viewer"], entries_of[row["viewer"]], at, row["candidate"], row["codes"])
            if same is not None:
                of_lists.append((len(row["codes"]), same))
    sizes, same_of = np.array(of_lists, dtype=np.int64).reshape(-1, 2).T
    pairs, agreeing = int(sizes.sum()), int(same_of.sum())
    error = float(np.sqrt(((same_of - sizes * agreeing / pairs) ** 2).sum()) / pairs) if pairs else 0.0
    return Parity(len(of_lists), pairs, agreeing, len(drawn) - len(of_lists), error)


_FRIENDSHIP_EVENTS = tuple(
    edge_event(direction, kind) for direction in Direction for kind in (EventKind.CONNECT, EventKind.ACCEPT)
)


@dataclass(frozen=True, slots=True)
class _State:
    """A viewer at a time, in the terms of a version."""

    around: Neighbourhood
    columns: Mapping[str, Any] | None
    """the profile, if it changed since the cut"""
    has_changed: bool
    """whether anything did"""
    changed_at: int
    """when friends or profile last changed, microseconds"""
    made: Mapping[str, int]
    """by other user, when the friendship was last made"""


class _Version:
    """A version whose blocks are made again."""

    def __init__(self, directory: Path, forbidden_days: int) -> None:
        self._loaded: LoadedVersion = load_version(directory)
        tables = self._tables = self._loaded.tables
        self._blocks = Blocks.open(directory / "blocks", tables.n)
        self._fresh = FreshBlocks(tables.graph, tables.towers)
        self._forbidden_us = forbidden_days * DAY_US

    def agreeing(
        self, viewer: str, entries: Sequence[Entry], at: int, candidates: Sequence[str], codes: Sequence[bytes | None]
    ) -> int | None:
        """How many people of a list agree in all codes; None if they cannot be computed."""
        row = self._tables.vocabulary.row(viewer)
        rows = self._tables.vocabulary.rows(candidates)
        recorded = [one for one in codes if one is not None and len(one) == len(PAIR_FEATURES)]
        if row is None or len(recorded) < len(codes) or (rows < 0).any() or not self._blocks.record(row):
            return None
        wanted = np.frombuffer(b"".join(recorded), np.uint8).reshape(len(recorded), -1)
        best = 0
        for block in self._readable(viewer, row, entries, at):
            place_of = {int(one): place for place, one in enumerate(block.rows)}
            places = [place_of.get(int(one), -1) for one in rows]
            found = block.codes.T[places]
            same = (found == wanted).all(axis=1) & (np.array(places) >= 0)
            best = max(best, int(same.sum()))
            if best == len(wanted):
                break
        return best

    def _readable(self, viewer: str, row: Row, entries: Sequence[Entry], at: int) -> Iterator[Block]:
        """The blocks that a request may have read, the latest states first."""
        cut = self._loaded.manifest.cut_us
        late = sorted({entry.timestamp_us for entry in entries if cut < entry.timestamp_us <= at})
        states = [
            self._state(viewer, row, [entry for entry in entries if entry.timestamp_us <= timestamp_us], timestamp_us)
            for timestamp_us in [cut, *late][-MOST_STATES:]
        ]
        blocks = [Block.unpack(self._blocks.record(row), self._tables.n)]
        blocks += [self._worked(row, state) for state in states if state.has_changed]
        for seen in reversed(states):
            for block in reversed(blocks):
                if block.made_at <= seen.changed_at:
                    yield self._present(block, row, seen)

    def _state(self, viewer: str, row: Row, entries: Sequence[Entry], timestamp_us: int) -> "_State":
        cut = self._loaded.manifest.cut_us
        record, profile = record_of(viewer, entries)
        around = neighbourhood(self._tables, row, record, cut=cut, refused_after=timestamp_us - self._forbidden_us)
        profile.drop_before(cut)
        columns = profile.over(self._tables.profile(row), cut) if profile.columns else None
        times = [timestamp for own in record.edges.values() for timestamp in own.values()]
        made = {other: max(own.get(event, 0) for event in _FRIENDSHIP_EVENTS) for other, own in record.edges.items()}
        changed_at = max(record.graph_changed_at, record.profile)
        return _State(around, columns, columns is not None or max(times, default=0) > cut, changed_at, made)

    def _worked(self, row: Row, state: "_State") -> Block:
        """The block that a worker makes of a state."""
        return replace(self._loaded.generator.overlay(row, state.around, state.columns), made_at=state.changed_at)

    def _present(self, block: Block, row: Row, now: "_State") -> Block:
        """A block as a request reads it: with the friends made since, and the product of the towers."""
        graph, towers = self._tables.graph, self._tables.towers
        own, friends = graph.neighbours(row), now.around.friends
        added, removed = _without(friends, own), _without(own, friends)
        query = towers.changed(graph, row, added, removed) if len(added) or len(removed) else towers.query(row)
        late = [other for other, timestamp_us in now.made.items() if timestamp_us > block.made_at]
        allowed = _without(friends, now.around.known)
        new = np.intersect1d(self._tables.vocabulary.rows(late), allowed) if late else allowed[:0]
        since = _without(new.astype(np.int32), own)
        if len(since) and len(query) == towers.dimensions:
            block = self._fresh.block(block, since, len(allowed) - len(since), query, row)
        return with_product(towers, block, query)


def _without(rows: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.setdiff1d(rows, others).astype(np.int32)
