"""Removes all data of erased users, step by step.

When the DELETE is answered the user is hidden already, and their own live state is deleted
(models.event_log.write_profile). The worker and the night then call `purge_once`, which repeats these steps:

1. if the log has no entry that names the user: remove them from others' live records, the archive, the queue, the
   timestamps of changes, the table of exposed users and the files of exposures; remove the workspace of an interrupted
   night. The log is fenced off before, so that no entry from before the erasure can follow; and lists given out before
   the erasure are filed by then;
2. if the served version does not have the user, and no live process serves one that has: remove the versions that have
   them, in the store and on disk, with their candidate blocks and ranked lists;
3. repeat the first step, for concurrent writes; then remove the user's own record, their entries of the hidden log, and
   the id in the record of the erasure;
4. rewrite the store's append-only file without the deleted data.

Keyed hashes remain (models.live_state.erased_ids), but for ids that nothing knew. A user who returned by a PUT is
another one: data later than the PUT stays.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from models.candidate_refresh.refresh_queue import RefreshRequest
from models.contacts.matching import Matcher
from models.erasure.interrupted_run import clear_run
from models.erasure.purge_records import purge_records
from models.errors import CorruptRecordError, StoreRefusedError
from models.event_log.archive.archive import Archive
from models.event_log.event import PROFILE, Entry
from models.event_log.log_entries import log_entries, raw_entries
from models.event_log.set_aside import SetAside, names_any
from models.live_state.compaction import note_damaged
from models.live_state.erasure_receipts import (
    Erasure,
    Remains,
    forget_unknown,
    read_open,
    replace_erasure,
)
from models.live_state.exposure import Exposed
from models.live_state.timestamps import draw_cut
from models.live_state.user_record import PREFIX_BYTES, LiveRecord
from models.live_state.visibility import forget_blocking
from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.settled import has_exposures, settled_us
from models.publishing.erasure_guard import OldVersions
from models.publishing.pointer import read_pointer
from models.publishing.transfer import Loader
from models.store.keys import SHARDS, Keys, shard_of
from models.store.protocol import SyncStore
from models.store.transaction import Add, Commit, Guard
from models.system.clock import now_us
from models.version.local_versions import Versions

COMPACT_S = 60.0
"""how long a run waits until the store's file is rewritten; the next run starts it again"""
_POLL_S = 0.05
EVER_US = 1 << 62
"""a timestamp after every other"""


@dataclass(frozen=True, slots=True)
class _ErasedUser:
    """An erased user of whom data may be left."""

    name: str
    erasure: Erasure
    user_id: str
    upto: int
    """data up to this timestamp belongs to the erased user, microseconds"""
    is_back: bool
    """the id has a new user"""


def purge_once(store: SyncStore, keys: Keys, versions: Versions, *, clock: Callable[[], int] = now_us) -> int:
    """Advances every erasure as far as possible; returns how many are not done. Costs one read if there are none.

    Else it reads all live records and the archive, which takes long: call it in a thread of its own.
    `clock` dates what is done and decides nothing. Safe to run concurrently and to kill anywhere.
    Raises StoreError, and ArtefactError if the archive of this home cannot be read.
    """
    erasures = read_open(store, keys)
    if not erasures:
        return 0
    _Eraser(store, keys, versions, max(one.timestamp_us for one in erasures.values())).run_once(erasures)
    erasures = read_open(store, keys)
    nameless = {name: erasure for name, erasure in erasures.items() if erasure.user_id is None}
    if nameless and _compacted(store):
        now = clock()
        for name, erasure in nameless.items():
            done = replace(erasure, done=erasure.timestamp_us, done_at=now, waits_for=())
            if replace_erasure(store, keys, name, erasure, done):
                del erasures[name]
                if not done.is_known:
                    forget_unknown(store, keys, name, done)
    structlog.get_logger().info("erasures_advanced", pending=len(erasures))
    return len(erasures)


def _compacted(store: SyncStore) -> bool:
    """Whether the store's file was rewritten. If the store refuses, its operator is responsible."""
    if not store.info().append_only:
        return True
    try:
        if not _wait_until_compacted(store):
            return False
        store.compact()
    except StoreRefusedError as error:
        structlog.get_logger().warning("store_not_compacted", error=str(error))
        return True
    return _wait_until_compacted(store) and store.info().compacted


def _wait_until_compacted(store: SyncStore) -> bool:
    deadline = time.monotonic() + COMPACT_S
    while store.info().compacting:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


class _Eraser:
    """One run over the pending erasures."""

    def __init__(self, store: SyncStore, keys: Keys, versions: Versions, after: int) -> None:
        """`after` is the timestamp of the latest erasure."""
        self._store, self._keys, self._versions = store, keys, versions
        self._archive = Archive(versions.home)
        self._set_aside = SetAside(versions.home)
        self._exposures = ExposureFiles(versions.home)
        self._lists_until = settled_us(store, keys) if has_exposures(store, keys, versions) else EVER_US
        """lists given out before this time are in files"""
        self._cut = draw_cut(store, keys, now=0, after=after)
        """every event up to this timestamp is in the log"""

    def run_once(self, erasures: Mapping[str, Erasure]) -> None:
        """The first three steps."""
        erasures = {name: erasure for name, erasure in erasures.items() if erasure.user_id is not None}
        users = [self._erased_user(name, erasure) for name, erasure in erasures.items()]
        remains: dict[str, list[Remains]] = {name: [Remains.LOG] for name in erasures}
        # first step: records, archive and workspace
        logged = self._logged({user.user_id: user.upto for user in users})
        ready = [user for user in users if user.user_id not in logged]
        fresh = [user for user in ready if user.erasure.scrubbed < user.erasure.timestamp_us]
        self._purge_records(fresh)
        for user in ready:
            remains[user.name] = []
            if not clear_run(self._versions.home, user.erasure.timestamp_us):
                remains[user.name].append(Remains.RUN)
            if self._lists_until <= user.erasure.timestamp_us:
                remains[user.name].append(Remains.EXPOSURES)
        # second and third step: versions, then the rest
        self._drop_versions(ready, remains)
        finished = [user for user in ready if not remains[user.name]]
        self._purge_records(finished)
        self._forget(finished)
        # progress
        scrubbed, done = {user.name for user in ready}, {user.name for user in finished}
        for name, erasure in erasures.items():
            after = replace(erasure, waits_for=tuple(remains[name]))
            if name in scrubbed:
                after = replace(after, scrubbed=erasure.timestamp_us)
            if name in done:
                after = replace(after, user_id=None, waits_for=(Remains.FILE,))
            replace_erasure(self._store, self._keys, name, erasure, after)

    def _erased_user(self, name: str, erasure: Erasure) -> _ErasedUser:
        """The user of an erasure. All data of an id without a new user belongs to the erased one."""
        user_id, timestamp_us = str(erasure.user_id), erasure.timestamp_us
        if self._profile_at(user_id) <= timestamp_us:
            return _ErasedUser(name, erasure, user_id, self._cut, is_back=False)
        return _ErasedUser(name, erasure, user_id, self._first_put(user_id, timestamp_us) - 1, is_back=True)

    def _profile_at(self, user_id: str) -> int:
        """When the profile of an id was last written, microseconds; 0: not since it was erased."""
        packed = self._store.get(self._keys.live(user_id))
        try:
            return LiveRecord.unpack(packed).profile
        except CorruptRecordError as error:
            note_damaged(self._store, self._keys, user_id, error)
            return 0

    def _first_put(self, user_id: str, timestamp_us: int) -> int:
        """When the id was first written after an erasure; right after it if archive and log have no such entry."""
        shard = shard_of(user_id)
        pending = [entry for _, entry in log_entries(self._store, self._keys, shard)]
        entries: Iterable[Entry | None] = (entry for _, entry in self._archive.read(shard))
        puts = [
            entry.timestamp_us
            for entry in (*entries, *pending)
            if entry is not None
            and entry.kind == PROFILE
            and entry.user_id == user_id
            and entry.timestamp_us > timestamp_us
        ]
        return min(puts, default=timestamp_us + 1)

    def _logged(self, upto: Mapping[str, int]) -> set[str]:
        """The users that an entry of the log names."""
        named: set[str] = set()
        for shard in range(SHARDS) if upto else ():
            for _, content, entry in raw_entries(self._store, self._keys, shard):
                if entry is None:  # the worker is about to set it aside, and is waited for
                    named |= {user_id for user_id, at in upto.items() if names_any(content, {user_id: at})}
                    continue
                users = filter(None, (entry.user_id, entry.other_id))
                named |= {user_id for user_id in users if entry.timestamp_us <= upto.get(user_id, -1)}
        return named

    def _purge_records(self, users: Sequence[_ErasedUser]) -> None:
        """The first step without the workspace."""
        upto = {user.user_id: user.upto for user in users}
        if not upto:
            return
        purge_records(self._store, self._keys, upto)
        self._archive.rewrite(upto)
        forgotten = [name.encode() for name in self._set_aside.forget(upto)]
        self._store.members_remove(self._keys.set_aside, forgotten)
        self._exposures.forget({user.user_id: user.upto if user.is_back else EVER_US for user in users})
        absent = {user.user_id for user in users if not user.is_back}
        self._store.timestamps_remove(self._keys.touched, sorted(absent))
        self._store.members_remove(self._keys.by_contacts, [user_id.encode() for user_id in sorted(absent)])
        queued = self._store.queue_members(self._keys.refresh)
        requests = [
            member for member in queued if (request := RefreshRequest.decode(member)) and request.user_id in absent
        ]
        self._store.queue_done(self._keys.refresh, requests)
        stored = self._store.get(self._keys.exposure)
        exposed = Exposed.unpack(stored)
        if stored is not None and not exposed.people.isdisjoint(upto):
            left = Exposed.of(exposed.timestamp_us, exposed.people - upto.keys())
            self._store.compare_and_set(self._keys.exposure, stored, left.pack())

    def _drop_versions(self, users: Iterable[_ErasedUser], remains: Mapping[str, list[Remains]]) -> None:
        """The second step: removes old versions if the served one does not have the users."""
        pointer = read_pointer(self._store, keys=self._keys)
        loader = Loader(self._store, self._keys)
        old = OldVersions(loader, self._versions, None if pointer is None else pointer.version)
        removable = []
        for user in users:
            if old.missing.get(user.name, 0) >= user.erasure.timestamp_us:
                remains[user.name].append(Remains.NIGHT)
            else:
                removable.append(user)
        if not removable:
            return
        if old.serving():
            reason = Remains.PROCESSES
        elif not old.remove():
            reason = Remains.SWITCH
        else:
            return
        for user in removable:
            remains[user.name].append(reason)

    def _forget(self, users: Iterable[_ErasedUser]) -> None:
        """Removes the entries of the hidden log, and the own record unless the id has a new user."""
        upto = {user.user_id: user.upto for user in users}
        if not upto:
            return
        for user in users:
            if not user.is_back:
                self._forget_contacts(user.user_id, user.upto)
        forget_blocking(self._store, self._keys, 0, upto)
        for user in users:
            key, index = self._keys.live(user.user_id), self._keys.people(shard_of(user.user_id))
            packed = self._store.get(key)
            if packed is not None and not user.is_back:
                guard = Guard(key, packed[:PREFIX_BYTES], len(packed))
                removed = Commit(guards=[guard], deletes=[key], removes=[Add(index, user.user_id.encode())])
                self._store.commit([removed])

    def _forget_contacts(self, user_id: str, upto: int) -> None:
        """Removes the contacts that an upload wrote while the user was erased, and all of them from the index."""
        live = self._store.get(self._keys.live(user_id))
        if self._profile_at(user_id) <= upto:  # nobody has the id anew
            guard = Guard(self._keys.live(user_id), live and live[:PREFIX_BYTES])
            self._store.commit([Commit(guards=[guard], deletes=[self._keys.contacts(user_id)])])
            Matcher(self._store, self._keys).match_all([user_id])
