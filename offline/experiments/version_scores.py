"""Scores the candidates of viewers with a version on disk."""

from pathlib import Path

import numpy as np

from models.ranker.ranker import Ranker
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.tables import Tables
from offline.experiments.version_policy import ScoredCandidates


class DiskVersionScores:
    """The scores of one version on disk, whose blocks are those of its night; each viewer and context once."""

    def __init__(self, directory: Path) -> None:
        """Raises ArtefactError if a file of the version cannot be read."""
        self._tables = Tables.open(directory / "tables")
        self._blocks = Blocks.open(directory / "blocks", self._tables.n)
        self._ranker = Ranker.open(directory / "model")
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
        if not record:
            return None
        block = Block.unpack(record, self._tables.n)
        scores = self._ranker.scores(self._tables, block, context).astype(np.float64)
        order = np.argsort(-scores, kind="stable")
        ids = [str(self._tables.vocabulary.user_id(int(other))) for other in block.rows[order]]
        return ScoredCandidates(ids, scores[order])
