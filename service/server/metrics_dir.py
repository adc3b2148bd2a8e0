"""The directory in which the processes of one service keep what they count, so that any of them can add it up."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.system import files

PREFIX = "pymk-metrics-"
LOCK = "lock"
"""a file of the directory that is locked for as long as its service lives"""


@contextmanager
def metrics_directory() -> Iterator[Path]:
    """An empty directory, removed at the end; those that killed services left are removed first."""
    _remove_unfinished(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        unlocked = Path(name) / "unlocked"
        with files.locked(unlocked, 0.0):
            unlocked.rename(unlocked.with_name(LOCK))  # whoever finds it under its name finds it locked
            yield Path(name)


def _remove_unfinished(place: Path) -> None:
    """Removes the directories of this user whose lock can be had: the kernel lets go of it with the process."""
    for directory in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # gone meanwhile, or not to be touched: no reason not to serve
            lock = directory / LOCK
            if directory.lstat().st_uid != os.getuid() or not lock.is_file():
                continue
            with files.locked(lock, 0.0) as is_left:
                if is_left:
                    shutil.rmtree(directory)
