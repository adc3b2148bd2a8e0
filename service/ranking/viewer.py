"""From a candidate block to the list that its viewer is shown: score, rules, order. Neither HTTP nor a store."""

from dataclasses import dataclass

from models.ranker.ranker import ViewerInputs
from models.version.new_user_record import ProfileCodes
from service.ranking.viewer_state import ViewerState


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whom a list is for, in one version."""

    user_id: str
    row: int | None
    """None: the version does not know her"""
    view: ViewerState | None = None
    """what is live of her; None: nothing"""
    is_served: bool = True
    """False: erased, or deactivated"""
    codes: ProfileCodes | None = None
    """the profile of a viewer without a row, where one is known, or of one who changed it since the cut"""
    inputs: ViewerInputs | None = None
    """what scoring reads of a viewer without a row"""

    @property
    def graph_changed_at(self) -> int:
        """When her friends or her profile last changed, microseconds; 0: not lately."""
        return 0 if self.view is None else self.view.graph_changed_at

    @property
    def profile(self) -> "int | ProfileCodes | None":
        """Where the profile stands, or what it is."""
        return self.row if self.codes is None else self.codes
