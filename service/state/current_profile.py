"""A user's current profile: the one stored in a version, overruled by what was put since."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.live_state.profile_changes import LiveProfile
from models.live_state.record_excerpt import read_excerpt
from models.schema.vocabulary import Row, UserId
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from service.state.served_version import ServedVersion


@dataclass(frozen=True, slots=True)
class CurrentProfile:
    """A user who exists now."""

    row: Row | None
    """in the version; None for a newcomer, and for a user registered again after an erasure that it does not know of"""
    profile: Mapping[str, Any]


async def current_profile(
    store: AsyncStore, keys: Keys, served: ServedVersion, user_id: UserId
) -> CurrentProfile | None:
    """The user of an id, in one trip to the store; None if no one has it or the user was erased.

    Raises CorruptRecordError and StoreError.
    """
    packed, put = await store.get_many([keys.live(user_id), keys.live_profile(user_id)])
    record, changes = await read_excerpt(packed), LiveProfile.unpack(put)
    cut = served.manifest.cut_us
    row = None if record.erased > cut else served.tables.vocabulary.row(user_id)
    if record.erased > record.profile or (row is None and not record.profile):
        return None
    stored = {} if row is None else served.tables.profile(row)
    return CurrentProfile(row, changes.over(stored, record.erased if row is None else cut))
