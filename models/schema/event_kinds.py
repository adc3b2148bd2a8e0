"""The kinds of event, shared by the interactions of a dataset and the live log."""

from enum import IntEnum

FORBIDDEN_DAYS = 90
"""default days for which a decline or a disconnect forbids suggesting the two users to each other"""


class EventKind(IntEnum):
    """The kinds by code. Stored records hold the codes: a code never changes its meaning.

    The viewer acts (`user_id`) on the other (`other_id`).
    """

    IMPRESSION = 0
    """the other was shown to the viewer"""
    CLICK = 1
    VIEW = 2
    INVITE = 3
    """pending until it is withdrawn, accepted or declined: neither sees the other"""
    WITHDRAW = 4
    """the viewer withdraws an invite"""
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
    """the viewer never sees the other again"""

    @property
    def word(self) -> str:
        """The kind's name in the API and in files."""
        return self.name.lower()
