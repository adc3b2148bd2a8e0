"""The sources of candidates, one bit each, so that a byte holds a set of them."""

from enum import IntFlag


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


def names(bits: int) -> list[str]:
    """The names of the set bits, in the order of the bits."""
    return [source.name.lower() for source in Source if bits & source and source.name]
