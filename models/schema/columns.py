"""Kinds of profile columns, built-in columns, and the rules of user ids."""

import re
from enum import IntFlag, StrEnum


class Kind(StrEnum):
    """The kinds of column in schema.toml."""

    CATEGORICAL = "categorical"
    """one value of a set: company, major; a number is a code and stays text"""
    MULTI = "multi"
    """a set of values: schools attended, genres liked"""
    NUMERIC = "numeric"
    """a finite number"""
    TEXT = "text"
    """free text"""
    LOCATION = "location"
    """latitude and longitude in degrees, `"lat,lon"`"""
    TIMESTAMP = "timestamp"
    """ISO 8601 or epoch seconds"""
    IGNORE = "ignore"
    """not read"""


class Flag(IntFlag):
    """Visibility of a user, one bit each; all set by default."""

    DISCOVERABLE = 1
    """may be suggested to others"""
    ACTIVE = 2
    """may be served and suggested"""
    CONNECTIONS_VISIBLE = 4
    """may be named as a mutual connection"""


ALL_FLAGS = Flag.DISCOVERABLE | Flag.ACTIVE | Flag.CONNECTIONS_VISIBLE

FLAG_COLUMNS = {flag.name.lower(): flag for flag in Flag if flag.name}
"""the boolean columns, and the bit of each"""

NAME_COLUMN = "name"
"""display name; neither a feature nor a reason"""

CREATED_AT_COLUMN = "created_at"
"""creation time of the account, or of the friendship"""

REASON_KINDS = frozenset({Kind.CATEGORICAL, Kind.MULTI})
"""the kinds whose values may be shown as a reason"""

USER_ID_BYTES = 128
"""longest user id, in bytes of UTF-8"""

CONTROL_CHARACTERS = r"[\x00-\x1f\x7f-\x9f]"
"""regular expression of the characters that no user id contains (Unicode category Cc)"""

RESERVED_IDS = (".", "..")
"""ids that URLs drop from a path"""

_CONTROL = re.compile(CONTROL_CHARACTERS)


def user_id_fault(user_id: str) -> str | None:
    """Why a string cannot be a user id, as a phrase to print after it; None if it can."""
    if not user_id:
        return "is empty"
    if user_id in RESERVED_IDS:
        return "cannot be a user id: URLs drop it from a path"
    if _CONTROL.search(user_id):
        return "contains a control character"
    try:
        length = len(user_id.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"has {length} bytes; a user id has at most {USER_ID_BYTES}" if length > USER_ID_BYTES else None
