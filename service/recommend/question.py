"""What a viewer of whom little is known is asked for."""

from models.version.new_user_record import codes_of
from service.ranking.viewer import Viewer
from service.state.served_version import ServedVersion


def question(version: ServedVersion, viewer: Viewer, *, always: bool = False) -> str | None:
    """The profile column whose value is expected to help the viewer most.

    None if none is worth a question, or if the viewer has friends enough and it is not to be asked `always`.
    """
    ranking, tables, row = version.ranking, version.tables, viewer.row
    if not always:
        if viewer.view is not None:
            friends = len(viewer.view.friends)
        else:
            friends = 0 if row is None else int(tables.graph.indptr[row + 1] - tables.graph.indptr[row])
        if friends >= ranking.ask_below_friends:
            return None
    profile = row if viewer.codes is None else viewer.codes
    return ranking.questions.best(None if profile is None else codes_of(profile, tables).categorical, viewer.told)
