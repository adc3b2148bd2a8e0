"""What looks odd in a dataset, as sentences with a count and an example."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    WARNING = "warning"
    """probably not meant, and it shows in lists or tells what nobody should know"""
    NOTE = "note"
    """worth knowing"""


@dataclass(frozen=True)
class Finding:
    """One odd thing."""

    name: str
    """for scripts, such as `constant_column`"""
    severity: Severity
    table: str
    column: str | None
    count: int
    """how many rows, people or values it concerns"""
    sentence: str
    example: str | None = None


def warning(name: str, table: str, column: str | None, count: int, sentence: str, example: object = None) -> Finding:
    """A finding that is probably a mistake."""
    return Finding(name, Severity.WARNING, table, column, count, sentence, None if example is None else str(example))


def note(name: str, table: str, column: str | None, count: int, sentence: str, example: object = None) -> Finding:
    """A finding that is worth knowing."""
    return Finding(name, Severity.NOTE, table, column, count, sentence, None if example is None else str(example))


def share(part: int, whole: int) -> str:
    """A part of a whole in percent, never rounded to all or to none."""
    percent = 100 * part / whole if whole else 0
    if part and percent < 1:
        return "under 1%"
    return "over 99%" if part < whole and percent > 99 else f"{percent:.0f}%"
