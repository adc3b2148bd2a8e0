"""The record of a simulated month: what was shown and what came of it, by day, context, version and arms."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from models.system import files
from offline.simulation.actions import Reactions, Shown

COUNTS = ("lists", "shown", "looked", "clicked", "invited", "accepted", "declined", "dismissed")
SCHEMA = {
    "day": pl.Int32,
    "context": pl.String,
    "version": pl.String,
    "arms": pl.String,
    **dict.fromkeys(COUNTS, pl.Int64),
    "expected": pl.Float64,
}


class Cell(NamedTuple):
    """Lists that are counted together."""

    day: int
    context: str
    version: str
    arms: str


class Days:
    """Counts by cell. Answers to an invitation count in the cell of the list that it came from."""

    def __init__(self) -> None:
        self._counts: dict[Cell, Counter[str]] = {}
        self._expected: dict[Cell, float] = {}
        self._invitations: dict[tuple[int, int], Cell] = {}

    def add(self, day: int, shown: Sequence[Shown], reactions: Reactions) -> None:
        """Counts the lists of a day and what their viewers did."""
        cells = [Cell(day, one.context, one.version, one.arms) for one in shown]
        for cell, one in zip(cells, shown, strict=True):
            counted = self._counts.setdefault(cell, Counter())
            counted["lists"] += 1
            counted["shown"] += len(one.candidates)
        for name in ("looked", "clicked", "invited", "dismissed"):
            for number in reactions.lists[getattr(reactions, name)].tolist():
                self._counts[cells[number]][name] += 1
        for number, expected in zip(reactions.lists.tolist(), reactions.expected.tolist(), strict=True):
            self._expected[cells[number]] = self._expected.get(cells[number], 0.0) + expected
        for inviter, invited, number in reactions.invitations:
            self._invitations[inviter, invited] = cells[number]

    def answered(self, accepted: Sequence[tuple[int, int]], declined: Sequence[tuple[int, int]]) -> None:
        """Counts answers to invitations, each as inviter and invited."""
        for name, pairs in (("accepted", accepted), ("declined", declined)):
            for pair in pairs:
                self._counts[self._invitations.pop(pair)][name] += 1

    def state(self) -> list[dict[str, Any]]:
        """All that was counted, for JSON: by cell the counts and the invitations that wait for an answer."""
        waiting = dict[Cell, list[tuple[int, int]]]()
        for pair, cell in self._invitations.items():
            waiting.setdefault(cell, []).append(pair)
        return [
            {
                "cell": list(cell),
                "counts": dict(counted),
                "expected": self._expected.get(cell),
                "invitations": waiting.get(cell, []),
            }
            for cell, counted in self._counts.items()
        ]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Puts back what `state` returned."""
        for one in state:
            cell = Cell(*one["cell"])
            self._counts[cell] = Counter(one["counts"])
            if one["expected"] is not None:
                self._expected[cell] = one["expected"]
            self._invitations |= {(int(inviter), int(invited)): cell for inviter, invited in one["invitations"]}

    def table(self) -> pl.DataFrame:
        """One row for each cell, in the order of days."""
        rows = [
            {**cell._asdict(), **{name: counted[name] for name in COUNTS}, "expected": self._expected.get(cell, 0.0)}
            for cell, counted in sorted(self._counts.items())
        ]
        return pl.DataFrame(rows, schema=SCHEMA)

    def write(self, path: Path) -> None:
        """Writes the table, all of it or nothing."""
        with files.writing(path) as file:
            self.table().write_parquet(file)
