"""What the people of a version are now: flags overruled by what changed since the cut, and who was shown too often."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.live_state.exposure import Exposed
from models.live_state.visibility import HiddenSet
from models.version.tables import Tables
from service.ranking.filters import ERASED_FLAG

ROWS_REMEMBERED = 1 << 16
"""ids of which a version remembers the rows: a binary search costs more than all else that is done with one"""


class UserFlags:
    """Of one version in one process; one thread or loop at a time. Arrays are replaced, never written to."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._rows: dict[str, int] = {}
        self.flags: NDArray[np.uint8] = tables.flags
        """(n,) uint8 of models.schema.columns.Flag, and service.ranking.filters.ERASED_FLAG"""
        self.epoch = 0
        """of the hidden set that `flags` are up to"""
        self.beginning: object = None
        """what `epoch` counts from: another one where the store lost what had been followed"""
        self.exposed: NDArray[np.bool_] | None = None
        """(n,) whether a person was shown too often; None: nobody was"""
        self.exposure = 0
        """models.live_state.exposure.Exposed.identity of the table it was read from"""

    def row(self, user_id: str) -> int | None:
        """The row of an id, None where the version does not know it; what was asked before is remembered."""
        known = self._rows
        row = known.get(user_id)
        if row is None:
            looked_up = self._tables.vocabulary.row(user_id)
            if len(known) >= ROWS_REMEMBERED:
                known.clear()
            row = known[user_id] = -1 if looked_up is None else looked_up
        return None if row < 0 else row

    def rows(self, user_ids: Iterable[str]) -> NDArray[np.int32]:
        """(k,) int32 rows of ids, -1 where the version does not know one; what was asked before is remembered."""
        found = map(self.row, user_ids)
        return np.array([-1 if row is None else row for row in found], dtype=np.int32)

    def hide(self, hidden: HiddenSet, changed: Iterable[str], cut: int) -> None:
        """Takes in what the set says of the people `changed`, in a version with this cut; all of them: nobody left out.

        Afterwards the flags are those of the set's epoch.
        """
        tables = self._tables
        asked = list(changed)
        rows = self.rows(asked)
        if (rows >= 0).any():
            flags = self.flags.copy()
            for user_id, row in zip(asked, rows.tolist(), strict=True):
                if row >= 0:
                    erased = ERASED_FLAG if hidden.is_erased(user_id, cut) else 0
                    flags[row] = int(hidden.over(user_id, int(tables.flags[row]), cut)) | erased
            flags.setflags(write=False)  # as those of the version are: kernels are compiled for the one kind
            self.flags = flags
        self.epoch = hidden.epoch

    def begin(self, beginning: object) -> None:
        """Forgets who is hidden, to follow another beginning."""
        self.flags, self.epoch, self.beginning = self._tables.flags, 0, beginning

    def expose(self, table: Exposed) -> None:
        """Takes up another table of exposed people."""
        self.exposure = table.identity
        rows = self.rows(table.people)
        rows = rows[rows >= 0]
        self.exposed = None
        if len(rows):
            self.exposed = np.zeros(self._tables.n, dtype=np.bool_)
            self.exposed[rows] = True
