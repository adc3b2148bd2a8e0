"""The parameters of GET /pymk/recommendations, as every way to a response reads them."""

from typing import NamedTuple

from models.schema.vocabulary import UserId
from service.ranking.cached_list import LEAST_ENCODED
from service.recommend.cursor import Cursor

DEFAULT_LIMIT = LEAST_ENCODED
"""so that a cached list answers a request without a limit as one slice"""
MOST = 100
"""largest limit, and how many may be excluded"""


class Query(NamedTuple):
    """The viewer of a list, and which part of it is asked for."""

    user_id: UserId
    limit: int
    context: str
    excluded: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    """profile columns that entries show"""
    cursor: Cursor | None = None
    """the pages before; None: the answer needs no cursor of the next page"""
