"""The person a list is for, in the terms of one version."""

from dataclasses import dataclass

from models.ranker.ranker import ViewerInputs
from models.schema.vocabulary import Row, UserId
from models.version.new_user_record import ProfileCodes
from service.ranking.viewer_state import ViewerState


@dataclass(frozen=True, slots=True)
class Viewer:
    """One viewer in one version."""

    user_id: UserId
    row: Row | None
    """None: the version does not know the viewer"""
    view: ViewerState | None = None
    """the viewer's live state; None: the viewer has no live record"""
    is_served: bool = True
    """False: erased, or deactivated"""
    codes: ProfileCodes | None = None
    """the profile of a viewer without a row, if it is known, or of one who changed it since the cut"""
    inputs: ViewerInputs | None = None
    """what scoring reads of a viewer without a row"""

    @property
    def graph_changed_at(self) -> int:
        """When the viewer's friends or profile last changed, microseconds; 0: not since the cut."""
        return 0 if self.view is None else self.view.graph_changed_at

    @property
    def can_have_candidates(self) -> bool:
        """Whether a viewer without a block has a profile or a friend that candidates can be generated from."""
        return self.codes is not None or (self.view is not None and len(self.view.friends) > 0)
