"""What a night that was cut short leaves in a home, and how to take it away."""

from datetime import datetime
from pathlib import Path

import orjson

from models.system import files
from models.system.clock import MICROSECONDS

DIRECTORY = "night"
"""of a home: what the night at work, or the last one that was cut short, has made so far"""
LOCK = ".night.lock"
"""of a home, held by the night at work"""
RUN = "run.json"
"""in DIRECTORY; `started_at` says since when"""


def clear_run(home: Path, timestamp_us: int) -> bool:
    """Removes what a night left that began before a stamp; False where such a night is still at work."""
    directory = home / DIRECTORY
    if _began(directory) > timestamp_us:
        return True
    with files.locked(home / LOCK, 0.0) as held:
        if held and _began(directory) <= timestamp_us:
            files.remove_tree(directory)
        return _began(directory) > timestamp_us


def _began(directory: Path) -> float:
    """When a run began, microseconds; infinity where there is none, 0 where it does not say."""
    if not directory.is_dir():
        return float("inf")
    try:
        return datetime.fromisoformat(orjson.loads((directory / RUN).read_bytes())["started_at"]).timestamp() * (
            MICROSECONDS
        )
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
