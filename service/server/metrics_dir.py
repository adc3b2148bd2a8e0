"""The directory in which the processes of one service share their metrics, so that each can report all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.system import files

PREFIX = "pymk-metrics-"
LOCK = "lock"
"""a file of the directory that is locked while its service runs"""


@contextmanager
def metrics_directory() -> Iterator[Path]:
    """An empty directory, removed at the end; directories that killed services left are removed first."""
    _remove_unlocked(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        unlocked = Path(name) / "unlocked"
        with files.locked(unlocked, 0.0):
            unlocked.rename(unlocked.with_name(LOCK))  # under its name it is always locked
            yield Path(name)


def _remove_unlocked(parent: Path) -> None:
    """Removes the directories of this user whose lock is free: the kernel releases it with the process."""
    for directory in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # removed meanwhile, or not permitted: neither keeps a service from starting
            lock = directory / LOCK
            if directory.lstat().st_uid != os.getuid() or not lock.is_file():
                continue
            with files.locked(lock, 0.0) as is_free:
                if is_free:
                    shutil.rmtree(directory)
