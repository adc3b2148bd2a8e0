"""Files and directories that are written atomically, and arrays read from them."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import DTypeLike, NDArray

from models.errors import ArtefactError
from models.system import disk


@contextmanager
def writing(path: Path, wanted: int | None = None) -> Iterator[BinaryIO]:
    """A binary file that replaces `path` when the block ends, and leaves nothing if it raises.

    It is written aside in the same directory, synced to disk and renamed to `path`; then the directory is synced.
    Raises DiskFullError, which names the `wanted` bytes if they are known.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    try:
        with disk.room(path, wanted):
            with aside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a whole file, atomically."""
    with writing(path, len(content)) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON with sorted keys, atomically."""
    write_bytes(
        path, orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises ArtefactError if it is missing."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtefactError(f"{path} is missing") from error


def read_json(path: Path) -> Any:
    """The JSON value of a file. Raises ArtefactError if it is missing or is no JSON."""
    try:
        return orjson.loads(read_bytes(path))
    except orjson.JSONDecodeError as error:
        raise ArtefactError(f"{path} is truncated or altered: {error}") from error


def json_digest(value: Any) -> str:
    """The SHA-256 in hexadecimal of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array as .npy, little-endian and C-contiguous, atomically."""
    with writing(path, array.nbytes) as file:
        np.save(file, np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")), allow_pickle=False)


def read_array(path: Path, dtype: DTypeLike, shape: Sequence[int | None]) -> NDArray[Any]:
    """The array of a .npy file, memory-mapped and read-only; `None` in `shape` accepts any length.

    The view is a plain ndarray: indexing a `numpy.memmap` costs several times as much.
    Raises ArtefactError if the file is missing, truncated, or of another type or shape.
    """
    try:
        array = np.asarray(_mapped(path))
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing") from error
    except (ValueError, EOFError, OSError) as error:
        raise ArtefactError(f"{path} is truncated or altered: {error}") from error
    wanted = np.dtype(dtype)
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if array.dtype != wanted or not fits:
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        raise ArtefactError(f"{path} holds {array.dtype} {array.shape}, not {wanted} ({expected})")
    return array


def _mapped(path: Path) -> NDArray[Any]:
    """The array of a .npy file as `numpy.memmap`.

    NumPy parses the header with `ast`, which in CPython 3.11 may raise SystemError if another thread parses at the same
    time (python/cpython#106905). Such an error says nothing about the file, so reading is retried.
    """
    for _ in range(9):
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except SystemError:
            time.sleep(0.001)
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def map_bytes(path: Path, length: int) -> NDArray[np.uint8]:
    """The bytes of a file, (length,) uint8, memory-mapped and read-only.

    Raises ArtefactError if the file is missing or has another length.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing") from error
    if size != length:
        raise ArtefactError(f"{path} has {size} bytes, not {length}: it is truncated or altered")
    if not length:  # an empty file cannot be mapped
        return np.zeros(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal. Raises ArtefactError if it is missing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing") from error


def sync_directory(directory: Path) -> None:
    """Syncs the names in a directory to disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(directory: Path) -> None:
    """Syncs every file and name below a directory to disk."""
    for path in directory.rglob("*"):
        if path.is_dir():
            sync_directory(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_directory(directory)


def put_in_place(directory: Path, final: Path) -> None:
    """Renames a finished directory to `final`, synced, and removes the directory that it replaces.

    Both must be on one file system. Processes that have files of the old directory mapped can still read them.
    """
    sync_tree(directory)
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    if final.exists():
        final.rename(old)
    directory.rename(final)
    sync_directory(final.parent)
    remove_tree(old)


def remove_tree(directory: Path) -> None:
    """Removes a directory and everything in it, if it exists: renamed to a hidden name first, so that no part of it is
    visible if the process is killed."""
    if not directory.exists():
        return
    doomed = directory
    if not directory.name.startswith("."):
        doomed = directory.with_name(f".{directory.name}.{os.getpid()}.old")
        directory.rename(doomed)
    shutil.rmtree(doomed)


def remove_abandoned(target: Path, suffix: str) -> None:
    """Removes what processes that are gone left beside `target`, named `.TARGET.PROCESS` and the suffix."""
    prefix = f".{target.name}."
    for path in list(target.parent.iterdir()):
        owner = path.name.removeprefix(prefix).removesuffix(suffix)
        if path.name == f"{prefix}{owner}{suffix}" and owner.isdigit() and not _alive(int(owner)):
            remove_tree(path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        return True
    return True


@contextmanager
def locked(path: Path, wait_s: float) -> Iterator[bool]:
    """Holds an exclusive lock on a file, created if missing; yields whether it was acquired within `wait_s` seconds.

    The kernel releases it when the process ends, for any reason. It excludes two threads of one process too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with path.open("ab") as file:
        while not (held := _try_lock(file)) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield held


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
