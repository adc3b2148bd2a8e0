"""What people do to each other: the kinds of event, alike in the interactions of a dataset and in the live log."""

from enum import IntEnum

FORBIDDEN_DAYS = 90
"""how long a decline or a disconnect keeps two people from being suggested to each other, unless set otherwise"""


class EventKind(IntEnum):
    """The kinds by their codes, which stored records keep: a number, once given, never changes its meaning.

    The viewer is who acts (`user_id`), the other is whom it is done to (`other_id`).
    """

    IMPRESSION = 0
    """the other was shown to the viewer"""
    CLICK = 1
    VIEW = 2
    INVITE = 3
    """pending until it is withdrawn, accepted or declined: neither sees the other"""
    WITHDRAW = 4
    """the viewer takes an invite back"""
    ACCEPT = 5
    """the viewer accepts the other's invite: connected"""
    DECLINE = 6
    """the viewer declines the other's invite: forbidden for the set time"""
    CONNECT = 7
    DISCONNECT = 8
    """no longer connected, and forbidden for the set time"""
    DISMISS = 9
    """the viewer does not see the other"""
    UNDISMISS = 10
    BLOCK = 11
    """neither sees the other"""
    UNBLOCK = 12
    REPORT = 13
    """the viewer does not see the other, for good"""

    @property
    def word(self) -> str:
        """The kind as it is written outside."""
        return self.name.lower()
