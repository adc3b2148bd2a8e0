"""A full disk: which one, how much is wanted, and what takes the room on it."""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.errors import DiskFullError

FULL = (errno.ENOSPC, errno.EDQUOT)
LARGEST = 3
"""entries of a directory that a message names"""
_TOLD = re.compile(
    r"no space left on device|disk quota exceeded|os error (28|122)\b|^\d+ requested and \d+ written$", re.IGNORECASE
)
"""how numpy, polars, faiss, safetensors and torch tell it in errors of their own"""


def is_full(error: BaseException) -> bool:
    """Whether an error, of whatever library, says that a disk or a quota is full."""
    return (isinstance(error, OSError) and error.errno in FULL) or bool(_TOLD.search(str(error)))


@contextmanager
def room(path: Path, wanted: int | None = None, *, clear: Path | None = None) -> Iterator[None]:
    """Raises DiskFullError in place of the error of whatever found the disk full inside the block.

    The message names the file, or else `path`, how much is wanted (`wanted` bytes, if known), what is free, and what
    takes the most room in the directory `clear`. Other errors pass.
    """
    try:
        yield
    except DiskFullError as error:
        if clear is None or error.is_complete:
            raise
        raise DiskFullError(f"{error}{_clearable(clear)}", is_complete=True) from error
    except Exception as error:
        if not is_full(error):
            raise
        named = error.filename if isinstance(error, OSError) else None
        where = Path(named) if isinstance(named, str) else path
        line = _line(where, wanted)
        complete = clear is not None
        raise DiskFullError(line + (_clearable(clear) if clear else ""), is_complete=complete) from error


def _line(path: Path, wanted: int | None) -> str:
    there = next((one for one in (path, *path.absolute().parents) if one.exists()), Path("/"))
    usage = shutil.disk_usage(there)
    want = f"{size(wanted)} are wanted" if wanted is not None else "more is wanted"
    return (
        f"{path}: the disk is full: {want}, and {size(usage.free)} of {size(usage.total)} are free on {_mount(there)}"
    )


def _clearable(directory: Path) -> str:
    """The largest entries of a directory, and what to do."""
    sizes = sorted(((tree_size(entry), entry.name) for entry in _entries(directory)), reverse=True)
    named = ", ".join(f"{name} {size(taken)}" for taken, name in sizes[:LARGEST] if taken)
    what = f"; in {directory} the most is taken by {named}" if named else ""
    return f"{what}. Make room on that disk and run it again: what was finished is kept, and nothing half-made is left"


def _mount(path: Path) -> Path:
    """Where the file system of a path is mounted."""
    path = path.resolve()
    while path != path.parent and path.stat().st_dev == path.parent.stat().st_dev:
        path = path.parent
    return path


def _entries(directory: Path) -> list[Path]:
    with suppress(OSError):
        return list(directory.iterdir())
    return []


def tree_size(path: Path) -> int:
    """Bytes on disk of a file, or of everything below a directory; what disappears meanwhile counts nothing."""
    with suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_blocks * 512
    return sum(tree_size(entry) for entry in _entries(path))


def size(n: int) -> str:
    """Bytes as people read them: `1.5 MB`."""
    amount, units = float(n), ["bytes", "KB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{n} bytes" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"
