"""Maps an exception to the line and the exit status of a failed command."""

import re
from dataclasses import dataclass
from typing import Self

from pydantic import ValidationError
from pydantic_settings import SettingsError

from models.errors import PymkError, UsageError
from models.system import disk

PREFIX = "PYMK_"
_USAGE = UsageError.exit_status


@dataclass(frozen=True, slots=True)
class Failure:
    """One line for the user and an exit status."""

    line: str
    exit_status: int

    @classmethod
    def of(cls, error: Exception) -> Self:
        """The failure for an exception. Repeats no value of a setting, which may be a secret."""
        if isinstance(error, PymkError):
            return cls(_one_line(str(error)), error.exit_status)
        if isinstance(error, ValidationError) and error.title.endswith("Settings"):
            wrong = {str(one["loc"][0]) if one["loc"] else "": one for one in error.errors(include_url=False)}
            return cls("; ".join(_setting(name, one["type"], one["msg"]) for name, one in wrong.items()), _USAGE)
        if isinstance(error, SettingsError):
            field = re.search(r'field "(\w+)"', str(error))
            named = f"{PREFIX}{field.group(1).upper()}: " if field else ""
            return cls(f"{named}cannot be parsed: {_one_line(str(error))}", _USAGE)
        if isinstance(error, OSError) and error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            advice = "make room and run it again" if disk.is_full(error) else "--debug shows where"
            return cls(f"{where}{_one_line(error.strerror)} ({advice})", PymkError.exit_status)
        if disk.is_full(error):
            return cls(f"the disk is full: {_one_line(str(error))} (make room and run it again)", PymkError.exit_status)
        return cls(f"{type(error).__name__}: {_one_line(str(error))} (--debug shows where)", PymkError.exit_status)


def _setting(name: str, kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"there is no setting {name!r}"
    plain = message.removeprefix("Value error, ")
    return f"{PREFIX}{name.upper()}: {plain[:1].lower()}{plain[1:]}" if name else plain


def _one_line(message: str) -> str:
    return " ".join(message.split())
