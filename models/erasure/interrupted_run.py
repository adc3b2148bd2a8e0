"""Removes what an interrupted night left in a home."""

from datetime import datetime
from pathlib import Path

import orjson

from models.system import files
from models.system.clock import MICROSECONDS

DIRECTORY = "night"
"""in a home: the workspace of the running night, or of the last interrupted one"""
LOCK = ".night.lock"
"""in a home; the running night holds it"""
RUN = "run.json"
"""in DIRECTORY; `started_at` is the start of the night"""


def clear_run(home: Path, timestamp_us: int) -> bool:
    """Removes the workspace of a night that started before a timestamp; False if such a night is running."""
    directory = home / DIRECTORY
    if _started(directory) > timestamp_us:
        return True
    with files.locked(home / LOCK, 0.0) as is_locked:
        if is_locked and _started(directory) <= timestamp_us:
            files.remove_tree(directory)
        return _started(directory) > timestamp_us


def _started(directory: Path) -> float:
    """When a run started, microseconds; infinity if there is none, 0 if it has no valid start."""
    if not directory.is_dir():
        return float("inf")
    try:
        return datetime.fromisoformat(orjson.loads((directory / RUN).read_bytes())["started_at"]).timestamp() * (
            MICROSECONDS
        )
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
