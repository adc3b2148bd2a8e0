"""Friendships from edges: in blocks, any number of times and in either direction."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import DatasetError
from models.schema.columns import CREATED_AT_COLUMN
from offline.dataset.table import OTHER_ID, USER_ID
from offline.importers.cells import dates_of, require_ids
from offline.importers.origin import PLACE, Origin
from offline.importers.report import Report

_UNDATED = np.iinfo(np.int64).max
_MOST_IDS = 1 << 31


class Friendships:
    """Edges by number: 12 bytes for each, 20 where they are dated, and each id once.

    `mutual`: only pairs with an edge in both directions become friendships; else one direction is enough.
    """

    def __init__(self, *, mutual: bool) -> None:
        self._mutual = mutual
        self.directed_by: str | None = None
        """what in the source says that its edges are directed"""
        self._ids = pl.Categorical(pl.Categories.random())
        self._held = pl.Series([""]).cast(self._ids)
        """a column of these categories: Polars forgets categories that no column is left of"""
        self._blocks: list[tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64] | None]] = []
        self._places: list[tuple[Origin, NDArray[np.uint32]]] = []

    def add(self, block: pl.DataFrame, origin: Origin, names: tuple[str, str] = (USER_ID, OTHER_ID)) -> None:
        """Adds edges: USER_ID and OTHER_ID String, PLACE, and any CREATED_AT_COLUMN Int64 epoch seconds.

        `names` are the columns' names in the source. Raises DatasetError for the first cell that is no user id.
        """
        for column, name in zip((USER_ID, OTHER_ID), names, strict=True):
            require_ids(block, column, origin, name)
        coded = [block[column].cast(self._ids).to_physical().to_numpy() for column in (USER_ID, OTHER_ID)]
        dates = None
        if CREATED_AT_COLUMN in block.columns:
            dates = block[CREATED_AT_COLUMN].fill_null(int(_UNDATED)).to_numpy()
        self._blocks.append((coded[0], coded[1], dates))
        self._places.append((origin, block[PLACE].to_numpy()))

    @property
    def count(self) -> int:
        """The number of edges added."""
        return sum(len(places) for _, places in self._places)

    def write(self, connections: Path, users: Path | None, report: Report) -> None:
        """Writes each friendship once as Parquet, dated by its first edge (mutual: by the later direction).

        `users`: where to write everybody with a friendship or a dropped edge, or None. Empties the collection.
        """
        if not self._blocks:
            raise DatasetError(f"{report.source} holds no friendship")
        first, second, dates = self._joined()
        if users is not None:
            self._write_users(users, first, second, report)
        first, second, dates, records = self._without_loops(first, second, dates, report)
        if not len(records):
            raise DatasetError(f"{report.source} holds no friendship between two people")
        pairs = _Directed(first, second, dates, records)
        kept = self._reported(pairs, report)
        if not kept.any():
            raise DatasetError(f"{report.source} holds no edge in both directions; --follows either takes them all")
        frame = pl.DataFrame({USER_ID: pairs.low[kept], OTHER_ID: pairs.high[kept]})
        seconds = pairs.dates(mutual=self._mutual)
        if seconds is not None:
            dated = pl.Series(CREATED_AT_COLUMN, seconds[kept])
            frame = frame.with_columns(dates_of(dated.set(dated == int(_UNDATED), None)))
        named = [pl.col(column).cat.to(self._ids).cast(pl.String) for column in (USER_ID, OTHER_ID)]
        frame.lazy().with_columns(named).sink_parquet(connections)
        report.written["friendships"] = frame.height

    def _joined(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64] | None]:
        blocks, self._blocks = self._blocks, []
        dates = None
        if any(block[2] is not None for block in blocks):
            dates = np.concatenate(
                [block[2] if block[2] is not None else np.full(len(block[0]), _UNDATED) for block in blocks]
            )
        first, second = (np.concatenate([block[side] for block in blocks]) for side in (0, 1))
        if len(first) and max(first.max(), second.max()) >= _MOST_IDS:
            raise DatasetError(f"more than {_MOST_IDS:,} people")
        return first, second, dates

    def _write_users(self, path: Path, first: NDArray[np.uint32], second: NDArray[np.uint32], report: Report) -> None:
        codes = np.union1d(first, second)
        people = pl.DataFrame({USER_ID: codes}).lazy()
        people.with_columns(pl.col(USER_ID).cat.to(self._ids).cast(pl.String)).sink_parquet(path)
        report.written["people"] = len(codes)

    def _without_loops(
        self,
        first: NDArray[np.uint32],
        second: NDArray[np.uint32],
        dates: NDArray[np.int64] | None,
        report: Report,
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64] | None, NDArray[np.int64]]:
        """The edges between two people, and the number of each."""
        loops = np.flatnonzero(first == second)
        if len(loops):
            report.drop("edges of somebody with themselves", len(loops), self._example(loops[0], first, second))
        records = np.flatnonzero(first != second)
        if not len(loops):
            return first, second, dates, records
        return first[records], second[records], None if dates is None else dates[records], records

    def _reported(self, pairs: "_Directed", report: Report) -> NDArray[np.bool_]:
        """Which pairs become friendships; reports what does not."""
        repeats, back = pairs.repeats, pairs.in_both
        if len(repeats):
            report.drop("edges that stand twice", len(repeats), self._shown(pairs, int(repeats.min())))
        if not self._mutual:
            if back.any():
                example = self._shown(pairs, pairs.later_record_of(back))
                report.drop("edges that are the other direction of one before", int(back.sum()), example)
            if self.directed_by is not None:
                report.choose(
                    f"{self.directed_by}: every edge became a friendship; --follows mutual keeps the "
                    f"{int(back.sum()):,} pairs with edges in both directions"
                )
            return np.ones(len(back), dtype=np.bool_)
        if not back.all():
            example = self._shown(pairs, pairs.first_record_of(~back))
            report.drop("edges without one in the other direction", int((~back).sum()), example)
        if back.any():
            report.choose("a pair with an edge in each direction is one friendship (--follows mutual)")
        return back

    def _shown(self, pairs: "_Directed", record: int) -> str:
        at = int(np.flatnonzero(pairs.records == record)[0])
        return self._example(record, pairs.first, pairs.second, at)

    def _example(
        self, record: int, first: NDArray[np.uint32], second: NDArray[np.uint32], at: int | None = None
    ) -> str:
        at = int(record) if at is None else at
        ids = pl.Series([first[at], second[at]], dtype=pl.UInt32).cat.to(self._ids).cast(pl.String)
        return f"{ids[0]!r} and {ids[1]!r} ({self._place(int(record))})"

    def _place(self, record: int) -> str:
        for origin, places in self._places:
            if record < len(places):
                return origin.at(int(places[record]))
            record -= len(places)
        raise IndexError(record)


class _Directed:
    """Edges grouped by pair, both directions together."""

    def __init__(
        self,
        first: NDArray[np.uint32],
        second: NDArray[np.uint32],
        dates: NDArray[np.int64] | None,
        records: NDArray[np.int64],
    ) -> None:
        self.first, self.second, self.records = first, second, records
        low, high = np.minimum(first, second).astype(np.uint64), np.maximum(first, second).astype(np.uint64)
        keys = low << np.uint64(33) | high << np.uint64(1) | (first > second).astype(np.uint64)
        self._order = np.argsort(keys, kind="stable")
        keys = keys[self._order]
        begins = np.ones(len(keys), dtype=np.bool_)
        begins[1:] = keys[1:] != keys[:-1]
        self._repeated = ~begins
        self._starts = np.flatnonzero(begins)
        """first edge of each pair and direction"""
        arcs = keys[self._starts] >> np.uint64(1)
        pair_begins = np.ones(len(arcs), dtype=np.bool_)
        pair_begins[1:] = arcs[1:] != arcs[:-1]
        self._pairs = np.flatnonzero(pair_begins)
        """first arc of each pair"""
        ends = np.append(self._pairs[1:], len(arcs))
        self.in_both: NDArray[np.bool_] = (ends - self._pairs) == 2
        """(pairs,) whether there is an edge in both directions"""
        unique = arcs[self._pairs]
        self.low = (unique >> np.uint64(32)).astype(np.uint32)
        self.high = (unique & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        self._dates = None
        if dates is not None and len(self._starts):
            self._dates = np.minimum.reduceat(dates[self._order], self._starts)

    @property
    def repeats(self) -> NDArray[np.int64]:
        """The numbers of edges that repeat one of the same direction."""
        return self.records[self._order[self._repeated]]

    def first_record_of(self, chosen: NDArray[np.bool_]) -> int:
        """The lowest number of an edge among the chosen pairs."""
        return int(self.records[self._order[self._starts[self._pairs[chosen]]]].min())

    def later_record_of(self, chosen: NDArray[np.bool_]) -> int:
        """The lowest number of an edge that is the second direction of its pair, among chosen pairs of both."""
        at = self._pairs[chosen]
        forth, back = (self.records[self._order[self._starts[side]]] for side in (at, at + 1))
        return int(np.maximum(forth, back).min())

    def dates(self, *, mutual: bool) -> NDArray[np.int64] | None:
        """(pairs,) the first date, or for mutual pairs the later of the directions' first dates."""
        if self._dates is None:
            return None
        earliest = np.minimum.reduceat(self._dates, self._pairs)
        if not mutual:
            return earliest
        later = np.where(self._dates == _UNDATED, -_UNDATED, self._dates)
        latest = np.maximum.reduceat(later, self._pairs)
        return np.where(latest == -_UNDATED, _UNDATED, latest)
