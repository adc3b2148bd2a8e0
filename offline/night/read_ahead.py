"""A dataset that is read before anything heavy is loaded or started, so that bad input is said at once."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from models.erasure.interrupted_run import DIRECTORY
from offline.dataset.reader import Dataset, read_dataset
from offline.night.workspace import SNAPSHOT, fingerprint


@dataclass
class ReadAhead:
    """What was read, for the one step that takes it."""

    started_at: datetime
    """the start of the run that the dataset was read for"""
    fingerprint: str
    """of the dataset's files before they were read"""
    _dataset: Dataset | None = field(repr=False)

    @classmethod
    def of(cls, data: Path, home: Path) -> Self | None:
        """Reads and checks a whole dataset directory; None if a killed night in this home has read one.

        Raises DatasetError.
        """
        if (home / DIRECTORY / SNAPSHOT).is_dir():
            return None
        started, before = datetime.now(UTC), fingerprint(data)
        return cls(started, before, read_dataset(data, started_at=started))

    def take(self, data: Path, started_at: datetime) -> Dataset | None:
        """The dataset, once, so that nothing keeps it in memory; None if the run or the files are others."""
        dataset, self._dataset = self._dataset, None
        return dataset if started_at == self.started_at and fingerprint(data) == self.fingerprint else None
