"""What may hold between a viewer and another person, one bit each, alike in a version's tables and in live state."""

from enum import IntFlag


class Relationship(IntFlag):
    """Seen from the viewer; stored, so a bit, once given, never changes its meaning."""

    CONNECTED = 1
    BLOCKED_BY_VIEWER = 2
    BLOCKED_BY_OTHER = 4
    DISMISSED = 8
    """by the viewer"""
    REPORTED = 16
    """by the viewer, for good"""
    INVITED_BY_VIEWER = 32
    """and pending"""
    INVITED_BY_OTHER = 64
    """and pending"""
    REFUSED = 128
    """lately disconnected or declined, by either"""


FORBIDS = ~Relationship.CONNECTED & Relationship(255)
"""each of these alone keeps the other out of the viewer's lists, beside being connected"""

NEVER_LIFTED = Relationship.REPORTED
"""what a forbidden pair counts as where a version does not say why it is forbidden"""
