"""Checks of the paths that a command writes to, before it does any work."""

from pathlib import Path

from models.errors import UsageError


def check_output_file(path: Path | None, option: str) -> None:
    """Returns if a file can be made there. Raises UsageError that names the option."""
    if path is None:
        return
    parent = path.absolute().parent
    if not parent.is_dir():
        raise UsageError(f"{option} {path}: there is no directory {parent}; make it first")
    if path.is_dir():
        raise UsageError(f"{option} {path} is a directory; name a file")


def make_output_directory(path: Path, option: str) -> None:
    """Makes a directory, and those above it. Raises UsageError that names the option if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be made: {error.strerror}; name another directory") from error
