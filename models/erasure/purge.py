"""Taking out what is left of erased people, step by step, until nothing is.

At once, when the DELETE is answered, the person is hidden and the own live state is gone
(models.event_log.write_profile). Then, by whoever calls `purge_once`, worker or night, each step as often as need be:

1. once the log has no entry that names the person: out of others' live records, the archive, the queue, the stamps of
   changes and the table of the exposed, and away with what a night that was cut short has made;
2. once a version is served that does not hold the person, and no live process serves another: away with every version
   that does, in the store and on disk, its candidate blocks and ranked lists with it;
3. once more the first step, for what was written meanwhile; then the person's own record, the entries of the hidden
   log, and the id in the record of the erasure;
4. the store's append-only file is written anew, without what was deleted.

What remains are keyed hashes (models.live_state.erased_ids). A person who came back by a PUT is another one: what is
later than the PUT stays.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog

from models.candidate_refresh.refresh_queue import RefreshRequest
from models.erasure.interrupted_run import clear_run
from models.erasure.purge_records import purge_records
from models.errors import StoreRefusedError
from models.event_log.archive import Archive
from models.event_log.event import PROFILE, Entry
from models.live_state.erasure_receipts import (
    Erasure,
    Remains,
    read_open,
    replace_erasure,
)
from models.live_state.exposure import Exposed
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import forget_blocking
from models.publishing.erasure_guard import OldVersions
from models.publishing.pointer import read_pointer
from models.publishing.transfer import Loader
from models.store.keys import SHARDS, Keys, shard_of
from models.store.protocol import STREAM_START, SyncStore
from models.store.transaction import Commit, Guard
from models.system.clock import SETTLE_US, now_us
from models.version.local_versions import Versions

READ_AT_ONCE = 1000
COMPACT_S = 60.0
"""how long a turn waits for the store's file; the next one begins anew"""
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class _Gone:
    """An erased person of whom something may be left."""

    name: str
    erasure: Erasure
    user_id: str
    upto: int
    """what is not later than this stamp is of the erased person, microseconds"""
    is_back: bool
    """a new person has the id"""


def purge_once(
    store: SyncStore, keys: Keys, versions: Versions, *, settle_us: int = SETTLE_US, clock: Callable[[], int] = now_us
) -> int:
    """Takes every erasure as far as it goes now; how many are not done after it. Costs one read where there is none.

    Else it reads every live record and the archive, for as long as that takes: give it a thread of its own.
    `settle_us` is how long after its stamp an event may still reach the log. May run several times at once, and be
    killed anywhere. Raises StoreError, and ArtefactError where the archive of this home does not read back.
    """
    erasures = read_open(store, keys)
    if not erasures:
        return 0
    _Eraser(store, keys, versions, settle_us, clock).run_once(erasures)
    erasures = read_open(store, keys)
    nameless = {name: erasure for name, erasure in erasures.items() if erasure.user_id is None}
    if nameless and _compacted(store):
        now = clock()
        for name, erasure in nameless.items():
            done = replace(erasure, done=erasure.timestamp_us, done_at=now, waits_for=())
            if replace_erasure(store, keys, name, erasure, done):
                del erasures[name]
    structlog.get_logger().info("erasures_taken_further", left=len(erasures))
    return len(erasures)


def _compacted(store: SyncStore) -> bool:
    """Whether the store's file was written anew; where it may not be asked to, that is left to whoever runs it."""
    if not store.info().append_only:
        return True
    try:
        if not _waited(store):
            return False
        store.compact()
    except StoreRefusedError as error:
        structlog.get_logger().warning("store_not_compacted", error=str(error))
        return True
    return _waited(store) and store.info().compacted


def _waited(store: SyncStore) -> bool:
    deadline = time.monotonic() + COMPACT_S
    while store.info().compacting:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


class _Eraser:
    """One turn."""

    def __init__(
        self, store: SyncStore, keys: Keys, versions: Versions, settle_us: int, clock: Callable[[], int]
    ) -> None:
        self._store, self._keys, self._versions = store, keys, versions
        self._archive = Archive(versions.home)
        self._now = clock()
        self._settled = self._now - settle_us

    def run_once(self, erasures: Mapping[str, Erasure]) -> None:
        """The first three steps."""
        erasures = {name: one for name, one in erasures.items() if one.user_id is not None}
        gone = [self._gone(name, one) for name, one in erasures.items() if one.timestamp_us <= self._settled]
        remains: dict[str, list[Remains]] = {name: [Remains.LOG] for name in erasures}
        logged = self._logged({one.user_id: one.upto for one in gone})
        ready = [one for one in gone if one.user_id not in logged]
        fresh = [one for one in ready if one.erasure.scrubbed < one.erasure.timestamp_us]
        self._purge_records(fresh)
        for one in ready:
            remains[one.name] = []
            if not clear_run(self._versions.home, one.erasure.timestamp_us):
                remains[one.name].append(Remains.RUN)
        self._drop_versions(ready, remains)
        finished = [one for one in ready if not remains[one.name]]
        self._purge_records([one for one in finished if one not in fresh])
        self._forget(finished)
        scrubbed, done = {one.name for one in ready}, {one.name for one in finished}
        for name, erasure in erasures.items():
            after = replace(erasure, waits_for=tuple(remains[name]))
            if name in scrubbed:
                after = replace(after, scrubbed=erasure.timestamp_us)
            if name in done:
                after = replace(after, user_id=None, waits_for=(Remains.FILE,))
            replace_erasure(self._store, self._keys, name, erasure, after)

    def _gone(self, name: str, erasure: Erasure) -> _Gone:
        """The person of an erasure. All that names one who is not back is of the erased person."""
        user_id, timestamp_us = str(erasure.user_id), erasure.timestamp_us
        if LiveRecord.unpack(self._store.get(self._keys.live(user_id))).profile <= timestamp_us:
            return _Gone(name, erasure, user_id, self._settled, is_back=False)
        return _Gone(name, erasure, user_id, self._first_put(user_id, timestamp_us) - 1, is_back=True)

    def _first_put(self, user_id: str, timestamp_us: int) -> int:
        """When the id was first put after an erasure; right after it where neither archive nor log says."""
        shard = shard_of(user_id)
        waiting = [entry for _, entry in self._waiting(shard)]
        entries: Iterable[Entry | None] = (entry for _, entry in self._archive.read(shard))
        puts = [
            entry.timestamp_us
            for entry in (*entries, *waiting)
            if entry is not None
            and entry.kind == PROFILE
            and entry.user_id == user_id
            and entry.timestamp_us > timestamp_us
        ]
        return min(puts, default=timestamp_us + 1)

    def _logged(self, upto: Mapping[str, int]) -> set[str]:
        """Those of these people whom an entry that is not archived names."""
        found: set[str] = set()
        for shard in range(SHARDS) if upto else ():
            for _, entry in self._waiting(shard):
                found |= {
                    one for one in (entry.user_id, entry.other_id) if one and entry.timestamp_us <= upto.get(one, -1)
                }
        return found

    def _waiting(self, shard: int) -> Iterable[tuple[str, Entry]]:
        """What is in the log of a shard, archived or not."""
        position = STREAM_START
        while read := self._store.stream_read(self._keys.log(shard), position, READ_AT_ONCE):
            for position, entry in read:
                yield position, Entry.decode(entry)

    def _purge_records(self, people: Iterable[_Gone]) -> None:
        """The first step, but for the night's."""
        upto = {one.user_id: one.upto for one in people}
        if not upto:
            return
        purge_records(self._store, self._keys, upto)
        self._archive.rewrite(upto)
        away = {one.user_id for one in people if not one.is_back}
        self._store.timestamps_remove(self._keys.touched, sorted(away))
        queued = self._store.queue_members(self._keys.refresh)
        waiting = [member for member in queued if (one := RefreshRequest.decode(member)) and one.user_id in away]
        self._store.queue_done(self._keys.refresh, waiting)
        held = self._store.get(self._keys.exposure)
        exposed = Exposed.unpack(held)
        if held is not None and not exposed.people.isdisjoint(upto):
            left = Exposed.of(exposed.timestamp_us, exposed.people - upto.keys())
            self._store.compare_and_set(self._keys.exposure, held, left.pack())

    def _drop_versions(self, people: Iterable[_Gone], remains: Mapping[str, list[Remains]]) -> None:
        """Takes away the versions made before, where the one that is served was made after."""
        pointer = read_pointer(self._store, keys=self._keys)
        loader = Loader(self._store, self._keys)
        old = OldVersions(loader, self._versions, None if pointer is None else pointer.version)
        known = []
        for one in people:
            if old.unknown.get(one.name, 0) >= one.erasure.timestamp_us:
                remains[one.name].append(Remains.NIGHT)
            else:
                known.append(one)
        if not known:
            return
        if old.serving():
            why = Remains.PROCESSES
        elif not old.remove():
            why = Remains.SWITCH
        else:
            return
        for one in known:
            remains[one.name].append(why)

    def _forget(self, people: Iterable[_Gone]) -> None:
        """The entries of the hidden log, and the own record where nobody has the id again."""
        upto = {one.user_id: one.upto for one in people}
        if not upto:
            return
        forget_blocking(self._store, self._keys, 0, upto)
        for one in people:
            key = self._keys.live(one.user_id)
            record = LiveRecord.unpack(self._store.get(key))
            if record.revision_prefix is not None and record.profile <= one.erasure.timestamp_us:
                self._store.commit([Commit(guards=[Guard(key, record.revision_prefix)], deletes=[key])])
