"""From the store's records to a viewer and the viewer's candidates. Pure: the caller reads the store."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from models.errors import CorruptRecordError
from models.live_state.profile_changes import LiveProfile
from models.live_state.record_excerpt import LARGE_BYTES, in_thread
from models.ranker.ranker import ViewerInputs
from models.schema.vocabulary import Row, UserId
from models.store.keys import Keys
from models.version.candidate_block import Block
from models.version.new_user_record import Newcomer, ProfileCodes, codes_of
from service.ranking.viewer import Viewer
from service.ranking.viewer_state import ViewerState
from service.state.live_state import LiveState
from service.state.served_version import ServedVersion

Degrade = Callable[[str, CorruptRecordError], None]
"""counts or logs a record that is done without: what kind of fault, and the error"""


class Loaded(NamedTuple):
    """A viewer in one version, as far as the records that were read tell."""

    viewer: Viewer
    block: Block | None = None
    """the candidates of a viewer whom the version does not know, if they were generated"""
    missing: tuple[str, ...] = ()
    """keys of the records that `ViewerLoader.complete` needs besides; mostly none"""


class ViewerLoader:
    """Says which keys to read, and builds viewers of what they hold. One thread or loop at a time.

    A record that does not read back is reported to `degrade`, and the viewer is built without it. The live record is
    not optional: without it a list might show blocked people.
    """

    def __init__(self, state: LiveState, keys: Keys, degrade: Degrade) -> None:
        self.degrade = degrade
        self._state = state
        self._keys = keys
        self.damaged: set[str] = set()
        """users whose live record or live profile does not read back, until the owner notes them in the store"""
        self._preparing: dict[str, asyncio.Future[ViewerState]] = {}

    async def prepare(self, version: ServedVersion, user_id: UserId, row: Row | None, live: bytes | None) -> None:
        """Resolves a large live record in a thread, so that others do not wait for it; `load` is quick after that."""
        if live is None or len(live) <= LARGE_BYTES:
            return
        with suppress(CorruptRecordError):  # `load` reports it
            if self._state.must_prepare(version, user_id, row, live):
                self._state.hold(version, user_id, row, await self._resolved(version, user_id, row, live))

    async def _resolved(self, version: ServedVersion, user_id: UserId, row: Row | None, live: bytes) -> ViewerState:
        """The state of a large record, which all who wait for it share."""
        running = self._preparing.get(user_id)
        if running is None:
            running = in_thread(self._state.resolve, version, user_id, row, live)
            self._preparing[user_id] = running
            running.add_done_callback(lambda _: self._preparing.pop(user_id, None))
        return await asyncio.shield(running)

    def load(self, version: ServedVersion, user_id: UserId, row: Row | None, live: bytes | None) -> Loaded:
        """The viewer of a live record.

        Raises CorruptRecordError if the live record does not read back, LookupError if it is a Tail that does not
        follow on what is held.
        """
        try:
            viewer = self._state.viewer(version, user_id, row, live)
        except CorruptRecordError as error:
            self.degrade("corrupt_record", error)
            self.damaged.add(user_id)
            raise
        keys, view = self._keys, viewer.view
        missing: tuple[str, ...] = ()
        if viewer.row is None:
            if view is not None:
                missing = (keys.newcomer(version.version, user_id), keys.live_profile(user_id))
            return Loaded(viewer, None, missing)
        if view is not None and view.profile_changed_at:
            missing = (keys.live_profile(user_id),)
        return Loaded(viewer, None, missing)

    def complete(self, version: ServedVersion, loaded: Loaded, records: Sequence[bytes | None]) -> Loaded:
        """The viewer with the current profile, from the records of the `missing` keys.

        A viewer whom the version does not know gets scoring inputs and candidates too, if they were generated.
        """
        viewer = loaded.viewer
        reason = "corrupt_profile" if viewer.row is not None else "corrupt_newcomer"
        try:
            profile = self._profile(viewer.user_id, records[-1])
            if viewer.row is not None:
                return Loaded(_with_changes(version, viewer, viewer.row, profile))
            return _out_of_graph(version, viewer, records[0], profile)
        except CorruptRecordError as error:
            self.degrade(reason, error)
            return Loaded(viewer)

    def _profile(self, user_id: UserId, packed: bytes | None) -> LiveProfile:
        """The live profile of these bytes. Raises CorruptRecordError, and notes whose it is."""
        try:
            return LiveProfile.unpack(packed)
        except CorruptRecordError:
            self.damaged.add(user_id)
            raise


def _with_changes(version: ServedVersion, viewer: Viewer, row: Row, profile: LiveProfile) -> Viewer:
    """A viewer of the version with the profile columns changed since its cut."""
    columns = profile.since(version.manifest.cut_us)
    if not columns:
        return viewer
    return replace(viewer, codes=codes_of(row, version.tables).changed(columns, version.tables), told=_told(columns))


def _out_of_graph(version: ServedVersion, viewer: Viewer, record: bytes | None, profile: LiveProfile) -> Loaded:
    """A viewer whom the version does not know: by the newcomer record, else by the live profile alone."""
    columns = profile.over({}, 0)
    viewer = replace(viewer, told=_told(columns))
    if record is not None:
        newcomer = Newcomer.unpack(record, version.tables.n)
        inputs = ViewerInputs(newcomer.statistics, newcomer.query)
        block = replace(newcomer.block, made_at=newcomer.timestamp_us)
        return Loaded(replace(viewer, codes=newcomer.codes, inputs=inputs), block)
    return Loaded(replace(viewer, codes=ProfileCodes.of(columns, version.tables)) if columns else viewer, None)


def _told(columns: Mapping[str, Any]) -> frozenset[str]:
    """The columns that have a value."""
    return frozenset(column for column, value in columns.items() if value is not None)
