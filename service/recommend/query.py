"""The parameters of GET /pymk/recommendations, read from the raw query string."""

from dataclasses import dataclass

DEFAULT_LIMIT = 20


MOST = 100
"""largest limit, and how many may be excluded"""


@dataclass(frozen=True, slots=True)
class Query:
    """Whom a list is for, and which part of it is wanted."""

    user_id: str
    limit: int
    context: str
    excluded: tuple[str, ...] = ()
