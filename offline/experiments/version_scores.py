"""Scores the candidates of viewers with a version on disk."""

from pathlib import Path

import numpy as np

from models.ranker.ranker import Ranker
from models.schema.columns import Flag
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.tables import Tables
from offline.experiments.policy import Rules
from offline.experiments.version_policy import PAGE, ScoredCandidates


class DiskVersionScores:
    """The scores of one version on disk, whose blocks are those of its night; each viewer and context once.

    People whom the hard rules left out on the night of the version are no candidates: friends, those invited, blocked,
    dismissed or refused, and whoever hides.
    """

    def __init__(self, directory: Path, rules: Rules) -> None:
        """Rules that the version has nothing for, such as a column that it lacks, are off.

        Raises ArtefactError if a file of the version cannot be read.
        """
        self._tables = Tables.open(directory / "tables")
        self._blocks = Blocks.open(directory / "blocks", self._tables.n)
        self._ranker = Ranker.open(directory / "model").blended(tuple(sorted(rules.blend.items())))
        wanted = int(Flag.ACTIVE | Flag.DISCOVERABLE)
        self._shown = (self._tables.flags & wanted) == wanted
        self._rules, columns, column = rules, self._tables.categorical_columns, rules.diversity_column
        suspicion, is_on = self._tables.suspicion, rules.suspicious != "off"
        self._suspicious = suspicion > np.float16(rules.suspicious_above) if is_on and suspicion is not None else None
        self._groups = np.full(self._tables.n, -1, dtype=np.int64)
        if column in columns:
            self._groups = self._tables.categorical_codes[:, columns.index(column)].astype(np.int64)
        self._known: dict[tuple[str, str], ScoredCandidates | None] = {}

    def __call__(self, viewer: str, context: str) -> ScoredCandidates | None:
        """The candidates of a viewer, best first; None if the version has none."""
        key = (viewer, context)
        if key not in self._known:
            self._known[key] = self._scored(viewer, context)
        return self._known[key]

    def _scored(self, viewer: str, context: str) -> ScoredCandidates | None:
        row = self._tables.vocabulary.row(viewer)
        record = b"" if row is None else self._blocks.record(row)
        if row is None or not record:
            return None
        block = Block.unpack(record, self._tables.n)
        scores = self._ranker.scores(self._tables, block, context).astype(np.float64)
        against = np.concatenate([self._tables.graph.neighbours(row), self._tables.forbidden.neighbours(row)])
        passes = self._shown[block.rows] & ~np.isin(block.rows, against)
        # the soft rules: whom they drop, and whom they move to the end
        limit = self._rules.contexts.get(context)
        if limit is not None:
            passes &= scores >= limit.least_score
        demoted = np.zeros(len(scores), dtype=np.bool_)
        if self._suspicious is not None and self._rules.suspicious == "drop":
            passes &= ~self._suspicious[block.rows]
        elif self._suspicious is not None:
            demoted = self._suspicious[block.rows]
        passing = np.flatnonzero(passes)
        order = passing[np.lexsort((-scores[passing], demoted[passing]))]
        ids = [str(self._tables.vocabulary.user_id(int(other))) for other in block.rows[order]]
        return ScoredCandidates(
            ids,
            scores[order],
            self._groups[block.rows[order]],
            self._rules.diversity_most,
            int((~demoted[order]).sum()),
            PAGE if limit is None else limit.most,
        )
