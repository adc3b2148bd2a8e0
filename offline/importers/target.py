"""The directory that an import makes: the whole of it or nothing."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import UsageError
from models.system import files

_TABLES = ("users", "connections", "interactions", "held_out", "fakes")
_SCHEMA = "schema.toml"


def check_target(out: Path, source: Path | None, *, force: bool) -> Path:
    """The directory to write, as an absolute path.

    Raises UsageError if it exists and `force` is not given, if it holds anything but a dataset, or if the source lies
    in it.
    """
    target = out.resolve()
    if Path.cwd().is_relative_to(target):
        raise UsageError(f"--out {out} is the directory you are in, or above it; name one below it")
    if source is not None and source.resolve().is_relative_to(target):
        raise UsageError(f"--out {out} holds the source {source}; name another directory")
    if target.exists() and not target.is_dir():
        raise UsageError(f"--out {out} is a file; name a directory")
    found = sorted(path.name for path in target.iterdir()) if target.exists() else []
    foreign = [name for name in found if name != _SCHEMA and name.partition(".")[0] not in _TABLES]
    if foreign:
        raise UsageError(f"--out {out} holds {foreign[0]!r}, which is no part of a dataset; name another directory")
    if found and not force:
        raise UsageError(f"--out {out} exists; --force replaces it, or name another directory")
    return target


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A directory beside `target` that takes its place when the block ends, and leaves nothing if it raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    files.remove_abandoned(target, ".partial")
    aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        aside.mkdir()
        yield aside
        files.put_in_place(aside, target)
    except BaseException:
        files.remove_tree(aside)
        raise
    files.remove_abandoned(target, ".old")


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
