"""How a candidate was found: one bit a source, so that a byte keeps them all."""

from enum import IntFlag


class Source(IntFlag):
    """The sources in the order of their bits; the lower-case name is what answers show."""

    FRIENDS_OF_FRIENDS = 1
    """a mutual connection or more"""
    RANDOM_WALK = 2
    """reached by personalised-PageRank walks"""
    THREE_HOPS = 4
    """a friend of a friend of a friend"""
    EMBEDDING = 8
    """near by GraphSAGE embedding"""
    SAME_ATTRIBUTES = 16
    """shares values of the profile, rare ones first"""
    POPULAR = 32
    """well connected, as a last resort"""


def names(bits: int) -> list[str]:
    """The names of the set bits, in the order of the bits."""
    return [source.name.lower() for source in Source if bits & source and source.name]
