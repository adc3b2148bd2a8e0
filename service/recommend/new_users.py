"""Viewers by what the version's tables do not say of them: newcomers, and whoever changed her profile since the cut."""

from dataclasses import replace

from models.live_state.profile_changes import LiveProfile
from models.ranker.ranker import ViewerInputs
from models.store.keys import Keys
from models.version.candidate_block import Block
from models.version.new_user_record import Newcomer, ProfileCodes, codes_of
from models.version.tables import Tables
from service.ranking.viewer import Viewer


def newcomer_keys(keys: Keys, version: str, user_id: str) -> tuple[str, str]:
    """The keys of what `met` reads, in its order."""
    return keys.newcomer(version, user_id), keys.live_profile(user_id)


def met(viewer: Viewer, tables: Tables, record: bytes | None, profile: bytes | None) -> tuple[Viewer, Block | None]:
    """The viewer with her profile and what scoring reads of her, and her candidates; None: nobody made any yet.

    Raises CorruptRecordError where something does not read back.
    """
    if record is not None:
        newcomer = Newcomer.unpack(record, tables.n)
        inputs = ViewerInputs(newcomer.statistics, newcomer.tower_inputs)
        return replace(viewer, codes=newcomer.codes, inputs=inputs), newcomer.block
    put = LiveProfile.unpack(profile).over({}, 0)
    return replace(viewer, codes=ProfileCodes.of(put, tables)) if put else viewer, None


def changed(viewer: Viewer, tables: Tables, cut: int, profile: bytes | None) -> Viewer:
    """A viewer of a version with this cut, with her profile as it was put since (Keys.live_profile).

    Raises CorruptRecordError where it does not read back.
    """
    columns = LiveProfile.unpack(profile).since(cut)
    if viewer.row is None or not columns:
        return viewer
    return replace(viewer, codes=codes_of(viewer.row, tables).changed(columns, tables))


def is_worth_making(viewer: Viewer) -> bool:
    """Whether there is anything that candidates could be made of."""
    return viewer.codes is not None or (viewer.view is not None and len(viewer.view.friends) > 0)
