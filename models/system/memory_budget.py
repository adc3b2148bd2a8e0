"""A budget of memory for this process: what works in blocks asks how large they may be."""

import os
from contextlib import suppress
from pathlib import Path

from models.system.memory import return_large_blocks

SHARE = 0.25
"""of what is left of the budget, what one thing that works in blocks may take"""


class _Budget:
    """The most bytes that this process may hold; None: as many as there are."""

    limit: int | None = None
    held: int = 0


_budget = _Budget()


def limit(most_bytes: int | None) -> None:
    """Sets the budget of this process; None: there is none, and blocks are as large as they are fastest.

    With a budget the system has large blocks back as soon as they are freed, which takes longer than to keep them.
    """
    _budget.limit = most_bytes
    if most_bytes is not None:
        return_large_blocks()


def hold(held_bytes: int) -> None:
    """Says what the data of this process takes at the least, which `room` leaves to it."""
    _budget.held = held_bytes


def room() -> int | None:
    """The bytes that a process beside this one may take; None: as many as there are."""
    return None if _budget.limit is None else max(_budget.limit - _budget.held, 0)


def most() -> int | None:
    """The budget of this process in bytes, None if there is none."""
    return _budget.limit


def at_once(wanted: int, bytes_each: int, *, least: int = 1) -> int:
    """How many things of `bytes_each` to hold at once: `wanted`, or with a budget as many as fit, at least `least`."""
    if _budget.limit is None:
        return wanted
    left = max(_budget.limit - resident_bytes(), 0)
    return max(min(wanted, int(left * SHARE) // max(bytes_each, 1)), least)


def within(wanted: int, bytes_each: int, *, least: int = 1) -> int:
    """The same by the budget alone, whatever is held at the moment: for what changes a result."""
    if _budget.limit is None:
        return wanted
    return max(min(wanted, int(_budget.limit * SHARE) // max(bytes_each, 1)), least)


def resident_bytes() -> int:
    """The memory that this process holds, mapped files included; 0 if the system does not say."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
