"""What a process knows of live state: hidden users, users shown too often, and what viewers did."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from models.errors import CorruptRecordError
from models.live_state import journal
from models.live_state.exposure import Exposed
from models.live_state.flag_change import FlagChange
from models.live_state.record_excerpt import LARGE_BYTES
from models.live_state.seldom_shown import SeldomShown
from models.live_state.user_record import PREFIX_BYTES, LiveRecord, base_length, revision_of
from models.live_state.visibility import HiddenSet
from models.schema.columns import Flag
from models.schema.vocabulary import Row, UserId
from models.system.clock import DAY_US, HOUR_US, now_us
from service.ranking.filters import ERASED_FLAG
from service.ranking.viewer import Viewer
from service.ranking.viewer_state import Suggestion, ViewerState, extended, from_record
from service.state.served_version import ServedVersion

VIEWS_HELD = 4096
"""viewer states that a process holds"""
EVENTS_HELD = 2_000_000
"""edge events in all of them: some 30 MB"""

_ACTIVE = int(Flag.ACTIVE)
_SHOWN = Flag.ACTIVE | Flag.DISCOVERABLE

_ViewKey = tuple[str, str, int, bool]


class Tail(bytes):
    """What was added to a record since it was `start` bytes long; it stands for the whole of a record that is held."""

    prefix: bytes
    """the first PREFIX_BYTES of the record"""
    start: int

    @classmethod
    def of(cls, data: bytes, prefix: bytes, start: int) -> "Tail":
        """The bytes that were added, and where."""
        tail = cls(data)
        tail.prefix, tail.start = prefix, start
        return tail


class LiveState:
    """Live state by version, without a store or a loop: its owner reads the store. One thread at a time."""

    def __init__(self, forbidden_days: int, clock: Callable[[], int] = now_us) -> None:
        self.hidden = HiddenSet()
        self.exposed = Exposed()
        self.seldom: SeldomShown | None = None
        """None: no table was read"""
        self.watermark = 0
        """the retention watermark: live records need not hold what is older, microseconds"""
        self.latest = 0
        """the latest timestamp that this process has seen in the store, microseconds"""
        self._exposure = 0
        self._forbidden_us = forbidden_days * DAY_US
        self._clock = clock
        self._changes = 0
        self._changed: dict[str, int] = {}
        """by user whose flags changed, the number of changes by which that was known; the latest last"""
        self._views: OrderedDict[_ViewKey, ViewerState] = OrderedDict()
        self._events = 0
        self.large: set[str] = set()
        """users of whose large record this process may hold a state"""
        self._generation = object()

    def now(self) -> int:
        """The time by the clock of this process or, if that is behind, by the latest timestamp."""
        return max(self._clock(), self.latest)

    def take_hidden(self, changes: Iterable[FlagChange]) -> None:
        """Notes the changes that brought `hidden` to its epoch."""
        self._changes += 1
        for change in changes:
            self._changed.pop(change.user_id, None)
            self._changed[change.user_id] = self._changes

    def replace_hidden(self, hidden: HiddenSet) -> None:
        """Takes over another set, since the store lost changes that were followed."""
        self.hidden = hidden
        self._changed.clear()
        self._generation = object()
        self._changes += 1

    def drop_before(self, cut: int) -> None:
        """Forgets changes of flags up to a timestamp, which all versions in use include."""
        for user_id in self.hidden.drop_before(cut):
            self._changed.pop(user_id, None)

    def take_exposed(self, exposed: Exposed) -> None:
        """Takes over the table of users shown too often."""
        self.exposed, self._exposure = exposed, exposed.identity

    def take_seldom(self, seldom: SeldomShown) -> None:
        """Takes over the table of users who were hardly shown."""
        self.seldom = seldom

    def catch_up(self, version: ServedVersion) -> None:
        """Applies to the users of a version all that is known."""
        flags = version.ranking.user_flags
        if flags.generation is not self._generation:
            flags.reset(self._generation)
        if flags.changes != self._changes:
            cut = version.manifest.cut_us
            changed = self._since(flags.changes) if flags.changes else self.hidden.people(cut)
            flags.hide(self.hidden, changed, cut, self._changes)
        if flags.exposure != self._exposure:
            flags.expose(self.exposed)
        if self.seldom is not None and flags.seldom_of is not self.seldom:
            flags.favour(self.seldom)

    def _since(self, changes: int) -> list[str]:
        """The users whose flags changed after so many changes."""
        changed = []
        for user_id, known in reversed(self._changed.items()):
            if known <= changes:
                break
            changed.append(user_id)
        return changed

    def viewer(self, version: ServedVersion, user_id: UserId, row: Row | None, record: bytes | None) -> Viewer:
        """The viewer of a live record in a version, which is brought up to date first.

        Raises CorruptRecordError if the record does not read back, LookupError if it is a Tail that does not follow on
        what is held.
        """
        self.catch_up(version)
        flags = int(version.ranking.user_flags.flags[row]) if row is not None else _ACTIVE
        if record is None:
            return Viewer(user_id, row, None, bool(flags & _ACTIVE))
        view = self._view(version, user_id, row, record)
        contacts = self._shown(view.contacts) if view.contacts else ()
        new = self._shown(view.newcomers) if view.newcomers else ()
        if row is None or view.is_new:
            is_served = bool(view.flags & Flag.ACTIVE) and not view.is_gone
            return Viewer(user_id, None, view, is_served, contacts=contacts, newcomers=new)
        return Viewer(user_id, row, view, bool(flags & _ACTIVE), contacts=contacts, newcomers=new)

    def _shown(self, contacts: Iterable[Suggestion]) -> tuple[Suggestion, ...]:
        """Those contacts whom the version knows, since its rules look at them, and the others who are not hidden."""
        hidden = self.hidden
        return tuple(
            one
            for one in contacts
            if one.row >= 0
            or (
                not hidden.is_erased(one.user_id, one.since)
                and hidden.over(one.user_id, _SHOWN, hidden.erased_at(one.user_id)) & _SHOWN == _SHOWN
            )
        )

    def known_length(self, version: ServedVersion, user_id: UserId, row: Row | None) -> int:
        """How much of a large record this process holds, bytes; 0 if the record has to be read as a whole."""
        view = self._views.get(self._key(version, user_id, row))
        return view.revision[1] if view is not None and view.revision[1] > LARGE_BYTES else 0

    def must_prepare(self, version: ServedVersion, user_id: UserId, row: Row | None, record: bytes) -> bool:
        """Whether a large record has to be resolved as a whole, which takes so long that it belongs into a thread.

        Raises CorruptRecordError.
        """
        view = self._views.get(self._key(version, user_id, row))
        return view is None or _added(view, record)[1] is None

    def resolve(self, version: ServedVersion, user_id: UserId, row: Row | None, record: bytes) -> ViewerState:
        """The state of a whole record; it changes nothing here and may run in a thread. Raises CorruptRecordError."""
        return from_record(
            LiveRecord.unpack(record),
            version.tables,
            row,
            revision=revision_of(record),
            cut=version.manifest.cut_us,
            refused_after=self.now() - self._forbidden_us,
            is_erased=self._is_erased(version, row),
            rows_of=version.tables.vocabulary.rows if len(record) > LARGE_BYTES else version.ranking.user_flags.rows,
        )

    def hold(self, version: ServedVersion, user_id: UserId, row: Row | None, view: ViewerState) -> None:
        """Keeps a state; the ones that were not asked for longest are dropped."""
        key = self._key(version, user_id, row)
        former = self._views.pop(key, None)
        self._views[key] = view
        if view.revision[1] > LARGE_BYTES:
            self.large.add(user_id)
        self._events += len(view.events.rows) - (len(former.events.rows) if former is not None else 0)
        while len(self._views) > VIEWS_HELD or (self._events > EVENTS_HELD and len(self._views) > 1):
            (dropped, *_), view = self._views.popitem(last=False)
            self._events -= len(view.events.rows)
            self.large.discard(dropped)

    def _key(self, version: ServedVersion, user_id: UserId, row: Row | None) -> _ViewKey:
        """A declined or ended friendship is forbidden for days: so states are resolved anew every hour."""
        return user_id, version.version, self.now() // HOUR_US, self._is_erased(version, row)

    @staticmethod
    def _is_erased(version: ServedVersion, row: Row | None) -> bool:
        return row is not None and bool(int(version.ranking.user_flags.flags[row]) & ERASED_FLAG)

    def _view(self, version: ServedVersion, user_id: UserId, row: Row | None, record: bytes) -> ViewerState:
        """The state of a viewer: the one that is held, extended by what was added to the record."""
        key = self._key(version, user_id, row)
        held = self._views.get(key)
        if held is not None:
            revision, added = _added(held, record)
            if revision == held.revision:
                self._views.move_to_end(key)
                return held
            if added is not None:
                view = extended(
                    held,
                    list(journal.entries(added)),
                    version.tables,
                    row,
                    revision=revision,
                    cut=version.manifest.cut_us,
                    refused_after=self.now() - self._forbidden_us,
                    rows_of=version.ranking.user_flags.rows,
                )
                if view is not None:
                    self.hold(version, user_id, row, view)
                    return view
        if isinstance(record, Tail):
            raise LookupError(user_id)
        view = self.resolve(version, user_id, row, record)
        self.hold(version, user_id, row, view)
        return view


def _added(held: ViewerState, record: bytes) -> tuple[tuple[int, int], bytes | None]:
    """The revision of a record, and what was added to it since a state was resolved.

    None if the record was rewritten, unless its journal says that it was merged and goes on from before the state.
    Raises CorruptRecordError.
    """
    if isinstance(record, Tail):
        if len(record.prefix) < PREFIX_BYTES:
            raise CorruptRecordError("a live record has no header that this release reads")
        base, length, known = revision_of(record.prefix)[0], record.start + len(record), record.start
    else:
        (base, length), known = revision_of(record), 0
        merged = journal.merged_from(record, base_length(record)) if base != held.revision[0] else None
        if merged is not None and merged[0] == held.revision[0]:
            _, upto, rest = merged
            start = rest + held.revision[1] - upto
            return (base, length), bytes(record[start:]) if rest <= start <= length else None
    if base != held.revision[0] or not known <= held.revision[1] <= length:
        return (base, length), None
    return (base, length), bytes(record[held.revision[1] - known :])
