"""The relationships between a viewer and another user, one bit each, in a version's tables and in live state."""

from enum import IntFlag


class Relationship(IntFlag):
    """Relationships from the viewer's side; stored, so a bit never changes its meaning."""

    CONNECTED = 1
    BLOCKED_BY_VIEWER = 2
    BLOCKED_BY_OTHER = 4
    DISMISSED = 8
    """by the viewer"""
    REPORTED = 16
    """by the viewer, never lifted"""
    INVITED_BY_VIEWER = 32
    """and pending"""
    INVITED_BY_OTHER = 64
    """and pending"""
    REFUSED = 128
    """recently disconnected or declined, by either"""


FORBIDS = ~Relationship.CONNECTED & Relationship(255)
"""each of these alone hides the other from the viewer's lists, beside being connected"""

NEVER_LIFTED = Relationship.REPORTED
"""relationship of a forbidden pair if the version has no reason"""
