"""What a process knows of live state: hidden users, users shown too often, and what viewers did."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from models.live_state.exposure import Exposed
from models.live_state.user_record import LiveRecord, revision_of
from models.live_state.visibility import FlagChange, HiddenSet
from models.schema.columns import Flag
from models.schema.vocabulary import Row, UserId
from models.system.clock import MICROSECONDS, now_us
from service.ranking.filters import ERASED_FLAG
from service.ranking.viewer import Viewer
from service.ranking.viewer_state import ViewerState, from_record
from service.state.served_version import ServedVersion

VIEWS_HELD = 4096
"""viewer states that a process holds"""
_DAY_US = 86_400 * MICROSECONDS
_HOUR_US = 3600 * MICROSECONDS

_ACTIVE = int(Flag.ACTIVE)

_ViewKey = tuple[str, int, str, int, bool]


class LiveState:
    """Live state by version, without a store or a loop: its owner reads the store. One thread at a time."""

    def __init__(self, forbidden_days: int, clock: Callable[[], int] = now_us) -> None:
        self.hidden = HiddenSet()
        self.exposed = Exposed()
        self.watermark = 0
        """the retention watermark: writers of live records drop what is older, microseconds"""
        self._exposure = 0
        self._forbidden_us = forbidden_days * _DAY_US
        self._clock = clock
        self._changed: dict[str, int] = {}
        """by user whose flags changed, the epoch by which that was known; the latest last"""
        self._views: OrderedDict[_ViewKey, ViewerState] = OrderedDict()
        self._generation = object()

    def take_hidden(self, changes: Iterable[FlagChange]) -> None:
        """Notes the changes that brought `hidden` to its epoch."""
        for change in changes:
            self._changed.pop(change.user_id, None)
            self._changed[change.user_id] = self.hidden.epoch

    def reset(self) -> None:
        """Forgets the hidden users, since the store lost the changes that were followed."""
        self.hidden = HiddenSet()
        self._changed.clear()
        self._generation = object()

    def take_exposed(self, exposed: Exposed) -> None:
        """Takes over the table of users shown too often."""
        self.exposed, self._exposure = exposed, exposed.identity

    def catch_up(self, version: ServedVersion) -> None:
        """Applies to the users of a version all that is known."""
        flags = version.ranking.user_flags
        if flags.generation is not self._generation:
            flags.reset(self._generation)
        if flags.epoch != self.hidden.epoch:
            cut = version.manifest.cut_us
            flags.hide(self.hidden, self._since(flags.epoch) if flags.epoch else self.hidden.people(cut), cut)
        if flags.exposure != self._exposure:
            flags.expose(self.exposed)

    def _since(self, epoch: int) -> list[str]:
        """The users whose flags changed after an epoch."""
        changed = []
        for user_id, known in reversed(self._changed.items()):
            if known <= epoch:
                break
            changed.append(user_id)
        return changed

    def viewer(self, version: ServedVersion, user_id: UserId, row: Row | None, packed: bytes | None) -> Viewer:
        """The viewer of a packed live record in a version, which is brought up to date first.

        Raises CorruptRecordError if the record does not read back.
        """
        self.catch_up(version)
        flags = int(version.ranking.user_flags.flags[row]) if row is not None else _ACTIVE
        if packed is None:
            return Viewer(user_id, row, None, bool(flags & _ACTIVE))
        view = self._view(version, user_id, row, packed, bool(flags & ERASED_FLAG))
        if row is None or view.is_new:
            return Viewer(user_id, None, view, bool(view.flags & Flag.ACTIVE) and not view.is_gone)
        return Viewer(user_id, row, view, bool(flags & _ACTIVE))

    def _view(
        self, version: ServedVersion, user_id: UserId, row: Row | None, packed: bytes, is_erased: bool
    ) -> ViewerState:
        """The state of a viewer; one that was resolved within the hour is taken again."""
        now = self._clock()
        key = (user_id, revision_of(packed), version.version, now // _HOUR_US, is_erased)
        view = self._views.get(key)
        if view is not None:
            self._views.move_to_end(key)
            return view
        view = from_record(
            LiveRecord.unpack(packed),
            version.tables,
            row,
            cut=version.manifest.cut_us,
            refused_after=now - self._forbidden_us,
            is_erased=is_erased,
            rows_of=version.ranking.user_flags.rows,
        )
        self._views[key] = view
        if len(self._views) > VIEWS_HELD:
            self._views.popitem(last=False)
        return view
