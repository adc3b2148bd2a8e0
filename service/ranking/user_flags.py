"""The current flags of a version's users: those of its tables and what changed since, and who was shown too often."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.live_state.exposure import Exposed
from models.live_state.seldom_shown import SeldomShown
from models.live_state.visibility import HiddenSet, fingerprint_of
from models.schema.vocabulary import Row
from models.version.tables import Tables
from service.ranking.filters import ERASED_FLAG

ROWS_REMEMBERED = 1 << 16
"""ids whose rows a version remembers: a binary search costs more than all else that is done with an id"""


class UserFlags:
    """Flags of one version in one process; one thread or loop at a time. Arrays are replaced, never written to."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._rows: dict[str, Row] = {}
        """by id that was looked up; -1: the version does not know it"""
        self.flags: NDArray[np.uint8] = tables.flags
        """(n,) uint8 of models.schema.columns.Flag, and service.ranking.filters.ERASED_FLAG"""
        self.changes = 0
        """how many changes of the hidden set `flags` include (service.state.live_state.LiveState)"""
        self.epoch = 0
        """64 bits of the epoch of the hidden set that `flags` are up to, the same in every process"""
        self.generation: object = None
        """what `changes` counts from: another one after the store lost what had been followed"""
        self.exposed: NDArray[np.bool_] | None = None
        """(n,) whether a user was shown too often; None: no one was"""
        self.exposure = 0
        """models.live_state.exposure.Exposed.identity of the table it was read from"""
        self.seldom: NDArray[np.bool_] | None = None
        """(n,) whether a user was hardly shown; None: not known"""
        self.seldom_of: SeldomShown | None = None
        """the table that this was read from"""

    def row(self, user_id: str) -> Row | None:
        """The row of an id, None if the version does not know it; rows that were looked up are remembered."""
        known = self._rows
        row = known.get(user_id)
        if row is None:
            found = self._tables.vocabulary.row(user_id)
            if len(known) >= ROWS_REMEMBERED:
                known.clear()
            row = known[user_id] = Row(-1) if found is None else found
        return None if row < 0 else row

    def rows(self, user_ids: Iterable[str]) -> NDArray[np.int32]:
        """(k,) int32 rows of ids, -1 for one that the version does not know; they are remembered like in `row`."""
        return np.array([-1 if row is None else row for row in map(self.row, user_ids)], dtype=np.int32)

    def hide(self, hidden: HiddenSet, changed: Iterable[str], cut: int, changes: int) -> None:
        """Applies what the set says of all people who `changed` since; `changes` is the number included from then on.

        `cut` is that of the version.
        """
        tables, user_ids = self._tables, list(changed)
        rows = self.rows(user_ids)
        if (rows >= 0).any():
            flags = self.flags.copy()
            for user_id, row in zip(user_ids, rows.tolist(), strict=True):
                if row >= 0:
                    erased = ERASED_FLAG if hidden.is_erased(user_id, cut) else 0
                    flags[row] = int(hidden.over(user_id, int(tables.flags[row]), cut)) | erased
            flags.setflags(write=False)  # like those of the version: kernels are compiled for read-only arrays
            self.flags = flags
        self.changes, self.epoch = changes, fingerprint_of(hidden.epoch)

    def reset(self, generation: object) -> None:
        """Goes back to the flags of the version, to follow another generation of changes."""
        self.flags, self.changes, self.epoch, self.generation = self._tables.flags, 0, 0, generation

    def favour(self, table: SeldomShown) -> None:
        """Takes over another table of people who were hardly shown; one of another vocabulary says nothing."""
        self.seldom_of = table
        self.seldom = table.rows if table.vocabulary == self._tables.vocabulary.digest else None

    def expose(self, table: Exposed) -> None:
        """Takes over another table of exposed people."""
        self.exposure = table.identity
        rows = self.rows(table.people)
        rows = rows[rows >= 0]
        self.exposed = None
        if len(rows):
            self.exposed = np.zeros(self._tables.n, dtype=np.bool_)
            self.exposed[rows] = True
