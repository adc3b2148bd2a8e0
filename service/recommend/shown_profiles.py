"""The profile columns of the people in lists, for a page that shows more of them than their ids."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import orjson

from models.errors import CorruptRecordError
from models.live_state.profile_changes import LiveProfile
from models.schema.columns import CREATED_AT_COLUMN, FLAG_COLUMNS, NAME_COLUMN
from models.store.deadline import Deadline
from models.store.keys import Keys
from models.store.protocol import AsyncStore
from models.system.known_names import unknown_name
from models.version.tables import Tables
from service.ranking.filters import ERASED_FLAG
from service.recommend.online import within
from service.recommend.responses import Answer
from service.recommend.viewer_loader import Degrade
from service.state.live_sync import LiveSync
from service.state.served_version import ServedVersion

AT_ONCE = 1000
"""profiles that one trip to the store reads at most"""


def column_fault(column: str, tables: Tables) -> str | None:
    """Why entries cannot show a column, as a phrase to print after its name; None if they can."""
    shown = {NAME_COLUMN, CREATED_AT_COLUMN, *tables.column_kinds}
    if column in FLAG_COLUMNS:
        return "is not shown in lists: it says what a person chose to hide"
    return None if column in shown else unknown_name(column, "column of the active version", shown)


class ShownProfiles:
    """Adds profiles to lists: the columns stored in the version of a list, overruled by what was put since.

    One trip to the store for every AT_ONCE people; all trips of a request share a deadline. A profile that does not
    read back is reported to `degrade` and shown empty: the version alone may hold what the person took back since.
    """

    def __init__(self, store: AsyncStore, keys: Keys, live_sync: LiveSync, degrade: Degrade, deadline_s: float) -> None:
        """`deadline_s` is how long the store may take for the profiles of one request."""
        self._store = store
        self._keys = keys
        self._live_sync = live_sync
        self._degrade = degrade
        self._deadline_s = deadline_s

    async def added(self, answers: Sequence[Answer], columns: Collection[str], version: ServedVersion) -> list[Answer]:
        """The answers with a `profile` of these columns in every entry; columns without a value are left out.

        `version` is that of the lists. Other requests are answered between two lists. Raises StoreUnavailableError.
        """
        lists: list[list[dict[str, Any]]] = [orjson.loads(b"[%b]" % answer.entries) for answer in answers]
        people = list(dict.fromkeys(entry["user_id"] for entries in lists for entry in entries))
        # what was put since the version's cut, and who was erased by then
        changes: dict[str, bytes | None] = {}
        deadline = Deadline(self._deadline_s)
        for start in range(0, len(people), AT_ONCE):
            some = people[start : start + AT_ONCE]
            keys = [*map(self._keys.live_profile, some), self._keys.hidden_epoch]
            *read, epoch = await within(deadline, self._store.get_many(keys))
            if not self._live_sync.knows(epoch):
                await within(deadline, self._live_sync.hidden(epoch))
            changes.update(zip(some, read, strict=True))
        self._live_sync.state.catch_up(version)
        # the profile of each person, and the entries with it
        profiles: dict[str, dict[str, Any]] = {}
        shown = []
        for answer, entries in zip(answers, lists, strict=True):
            for entry in entries:
                user_id = entry["user_id"]
                if user_id not in profiles:
                    profiles[user_id] = self._profile(user_id, changes[user_id], columns, version)
                entry["profile"] = profiles[user_id]
            shown.append(answer._replace(entries=orjson.dumps(entries)[1:-1]))
            if len(answers) > 1:
                await asyncio.sleep(0)
        return shown

    def _profile(
        self, user_id: str, packed: bytes | None, columns: Collection[str], version: ServedVersion
    ) -> dict[str, Any]:
        """The profile of a person in the version; empty if the person was erased since the list was made."""
        user_flags = version.ranking.user_flags
        row = user_flags.row(user_id)
        if row is not None and user_flags.flags[row] & ERASED_FLAG:
            return {}
        try:
            changes = LiveProfile.unpack(packed)
        except CorruptRecordError as error:
            self._degrade("corrupt_profile", error)
            return {}
        if row is None:  # a contact who joined since
            current = changes.over({}, 0)
        else:
            current = changes.over(version.tables.profile(row), version.manifest.cut_us)
        return {column: current[column] for column in columns if column in current}
