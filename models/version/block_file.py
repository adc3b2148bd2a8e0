"""The candidate blocks of a version on disk: a file of packed records, and a file of their offsets."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtefactError
from models.system import files

RECORDS = "blocks.bin"
OFFSETS = "blocks_offsets.npy"


@dataclass(frozen=True)
class Blocks:
    """Packed blocks by row, mapped from disk; an empty record is no block."""

    content: NDArray[np.uint8]
    """records one after the other"""
    offsets: NDArray[np.int64]
    """(n + 1,) int64, where each record starts"""

    @classmethod
    def open(cls, directory: Path, n: int) -> "Blocks":
        """The blocks of n users in a version's `blocks` directory.

        Raises ArtefactError if a file is missing, truncated or has another number of users.
        """
        path = directory / OFFSETS
        offsets = files.read_array(path, np.int64, (n + 1,))
        if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any():
            raise ArtefactError(f"{path} is altered: its boundaries do not rise from 0")
        return cls(files.map_bytes(directory / RECORDS, int(offsets[-1])), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def record(self, row: int) -> bytes:
        """The packed block of a row; empty if it has none."""
        return self.content[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def rows(self) -> NDArray[np.int64]:
        """The rows that have a block, ascending."""
        return np.flatnonzero(np.diff(self.offsets))

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Every row that has a block, with its record."""
        return ((row, self.record(row)) for row in self.rows().tolist())


def write_blocks(directory: Path, records: Iterable[bytes]) -> int:
    """Writes packed blocks in the order of their rows, b"" for a row without one; returns the number of bytes.

    Holds one record at a time. Creates the directory if it is missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sizes = [0]
    with files.writing(directory / RECORDS) as file:
        sizes.extend(file.write(record) for record in records)
    offsets = np.cumsum(sizes, dtype=np.int64)
    files.write_array(directory / OFFSETS, offsets)
    return int(offsets[-1])
