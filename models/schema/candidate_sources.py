"""The sources of candidates, one bit each, so that a byte holds a set of them."""

from enum import IntFlag
from typing import Final


class Source(IntFlag):
    """The sources in the order of their bits; responses show the lower-case name."""

    FRIENDS_OF_FRIENDS = 1
    """at least one mutual friend"""
    RANDOM_WALK = 2
    """reached by personalised-PageRank walks"""
    THREE_HOPS = 4
    """a friend of a friend of a friend"""
    EMBEDDING = 8
    """near by embedding"""
    SAME_ATTRIBUTES = 16
    """shares profile values, rare ones first"""
    POPULAR = 32
    """popular, to fill a short list"""
    POPULAR_OF_LATE = 64
    """made many friends of late, if friendships have dates"""
    CONTACTS = 128
    """a friend of at least two people in the viewer's contacts"""


NIGHTLY: Final = tuple(source for source in Source if source is not Source.CONTACTS)
"""the sources of a night; no version has contacts"""
_AS_FRIENDS = Source.RANDOM_WALK | Source.THREE_HOPS
"""what walks and paths from the viewer's contacts are called by the ranker, and by nobody else"""


def names(bits: int) -> list[str]:
    """The names of the set bits, in the order of the bits; of somebody found through contacts no walk is named."""
    if bits & Source.CONTACTS:
        bits &= ~_AS_FRIENDS
    return [source.name.lower() for source in Source if bits & source and source.name]
