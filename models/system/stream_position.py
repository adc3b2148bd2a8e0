"""Positions in a stream of the store, such as 1764374400000-0: milliseconds, and the number among those of one."""

from datetime import UTC, datetime


def order(position: str) -> tuple[int, int]:
    """The sort key of a position. Raises ValueError."""
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)


def day_of(position: str) -> str:
    """The day of a position, UTC, as 2026-11-29."""
    return datetime.fromtimestamp(order(position)[0] / 1000, UTC).date().isoformat()
