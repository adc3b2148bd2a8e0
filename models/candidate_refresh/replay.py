"""Replays live changes after a version's cut onto the version, before it is activated.

A process that has the numeric libraries and the version's files replays by itself; another one requests it from a
worker. The workers queue changes between the replay and the activation when they switch to the version.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from models.candidate_refresh.refresh_queue import RefreshRequest, queue_people
from models.candidate_refresh.refresher import LoadedVersion, Refreshed, Refresher
from models.errors import ArtefactError
from models.live_state.timestamps import latest_timestamp
from models.live_state.visibility import follow_blocking
from models.settings import CONTEXTS
from models.store.decimals import read_decimal
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS
from models.version.local_versions import Versions
from models.version.manifest import Manifest

READ_AT_ONCE = 2000
REFRESHED_AT_ONCE = 32
ROUNDS = 5
"""how often the replay looks for users who changed meanwhile"""
MARGIN_US = 60 * MICROSECONDS
"""how long after its timestamp a change may be queued, and then be refreshed in the old version alone"""
WAIT_S = 30.0
"""how long a switch waits for a worker to replay"""
_POLL_S = 0.1

Progress = Callable[[int, int], None]
"""receives the number of users done and the number of changed users so far"""
Replay = Callable[[Manifest, Progress], None]
"""updates a version that is in the store, before it is activated"""


def no_replay(manifest: Manifest, progress: Progress) -> None:
    """Does nothing: for stores without live state."""


class ReplayRequest(BaseModel):
    """A request to the workers to replay onto a version."""

    model_config = ConfigDict(frozen=True)

    version: str
    asked: int
    """the latest timestamp then, microseconds"""

    @classmethod
    def decode(cls, content: bytes | None) -> "ReplayRequest | None":
        """The request in the value of Keys.replay; None if this release cannot read it."""
        try:
            return cls.model_validate_json(content) if content else None
        except ValidationError:
            return None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of a replay."""

    people: int
    failed: int
    """of these, queued for the workers"""
    upto: int
    """users who had changed at this time, by the store's clock, have their blocks, microseconds"""


def touched_after(store: SyncStore, keys: Keys, timestamp_us: int) -> Iterator[tuple[str, int]]:
    """The users whose last change is later than a timestamp, with the timestamp of that change."""
    limit, reported = READ_AT_ONCE, set[tuple[str, int]]()
    while True:
        read = store.timestamps_after(keys.touched, timestamp_us, limit)
        yield from (change for change in read if change not in reported)
        if len(read) < limit:
            return
        reported = set(read)
        following = read[-1][1] - 1  # the page may end between two users of one timestamp
        timestamp_us, limit = (following, READ_AT_ONCE) if following > timestamp_us else (timestamp_us, 2 * limit)


def replay(
    refresher: Refresher, loaded: LoadedVersion, progress: Progress = lambda done, known: None, since: int | None = None
) -> Replayed:
    """Refreshes all users of a version who changed after its cut, or after `since`.

    Without `since` those whose candidates follow from contacts too, which a night does not know. Users who change
    meanwhile are included. Raises StoreError; a user whose refresh fails is queued for the workers.
    """
    store, keys = refresher.store, refresher.keys
    by_contacts = {one.decode(): 0 for one in store.members(keys.by_contacts)} if since is None else {}
    after = loaded.manifest.cut_us if since is None else since
    done: dict[str, int] = {}
    failed = upto = 0
    for _ in range(ROUNDS):
        upto = latest_timestamp(store, keys)
        follow_blocking(store, keys, refresher.hidden)
        touched = by_contacts | dict(touched_after(store, keys, after))
        changed = {name: at for name, at in touched.items() if done.get(name) != at}
        if not changed:
            break
        people = list(changed)
        for first in range(0, len(people), REFRESHED_AT_ONCE):
            batch = people[first : first + REFRESHED_AT_ONCE]
            outcome = refresher.refresh(loaded, batch)
            failures = [person for person in batch if outcome[person] is Refreshed.FAILED]
            if failures:
                failed += len(failures)
                _queue_retries(store, keys, {person: changed[person] for person in failures})
            progress(len(done) + first + len(batch), len(done) + len(people))
        done |= changed
    store.set(keys.replayed(loaded.version), b"%d" % upto)
    structlog.get_logger().info("replayed", version=loaded.version, people=len(done), failed=failed)
    return Replayed(len(done), failed, upto)


def replaying(
    store: SyncStore,
    versions: Versions,
    keys: Keys,
    forbidden_days: int,
    contexts: Sequence[str] = CONTEXTS,
    *,
    wait_s: float = WAIT_S,
    open_here: bool = True,
) -> Replay:
    """The replay of a process: by itself if it has the version's files, else by a worker.

    Imports the numeric libraries only if a user changed, and never without `open_here`.
    """

    def run(manifest: Manifest, progress: Progress) -> None:
        if is_current(store, keys, manifest):
            return
        directory = versions.path(manifest.version)
        if open_here and versions.is_whole(manifest.version):
            from models.candidate_refresh.generator import load_version

            try:
                loaded = load_version(directory)
            except (ArtefactError, ImportError) as error:
                structlog.get_logger().warning("not_replayed_here", version=manifest.version, error=str(error))
            else:
                replay(Refresher(store, keys, forbidden_days, contexts), loaded, progress)
                return
        ask_worker(store, keys, manifest, wait_s, progress)

    return run


def is_current(store: SyncStore, keys: Keys, manifest: Manifest) -> bool:
    """Whether a version lacks nothing of live state: nobody changed since its cut, and nobody's contacts count."""
    return not store.timestamps_after(keys.touched, manifest.cut_us, 1) and not any(
        store.members_scan(keys.by_contacts)
    )


def _queue_retries(store: SyncStore, keys: Keys, timestamps_us: dict[str, int]) -> None:
    members = [RefreshRequest(user_id, timestamp_us, 1).encode() for user_id, timestamp_us in timestamps_us.items()]
    store.queue_add(keys.refresh, members, store.clock_us() / MICROSECONDS)


def replayed_upto(store: SyncStore, keys: Keys, version: str) -> int:
    """The time up to which changes are replayed onto a version, microseconds; 0 if none are, or it does not read back:
    they are replayed again, and it is written anew.
    """
    return read_decimal(store.get(keys.replayed(version)) or b"") or 0


def queue_unreplayed(store: SyncStore, keys: Keys, manifest: Manifest) -> int:
    """Queues the users whose changes may not be replayed onto a version; returns how many.

    Without a replay these are all users who changed after its cut, and those whose candidates follow from contacts.
    """
    upto = replayed_upto(store, keys, manifest.version)
    timestamps_us = {} if upto else {one.decode(): manifest.cut_us for one in store.members(keys.by_contacts)}
    timestamps_us |= dict(touched_after(store, keys, max(manifest.cut_us, upto - MARGIN_US)))
    queue_people(store, keys, timestamps_us)
    return len(timestamps_us)


def ask_worker(
    store: SyncStore,
    keys: Keys,
    manifest: Manifest,
    wait_s: float = WAIT_S,
    progress: Progress = lambda done, known: None,
) -> bool:
    """Requests a replay onto a version from a worker and waits; returns whether it was done.

    Returns at once if no user changed since the cut. False if no worker is live or it takes longer than `wait_s`: the
    lists of changed users are then from the night's blocks, with all filters, until a worker has refreshed them.
    """
    if is_current(store, keys, manifest):
        return True
    if not live_workers(store, keys):
        structlog.get_logger().warning("not_replayed", version=manifest.version, reason="no worker is live")
        return False
    request = ReplayRequest(version=manifest.version, asked=latest_timestamp(store, keys))
    store.set(keys.replay, request.model_dump_json().encode(), wait_s * 2)
    deadline = time.monotonic() + wait_s
    while replayed_upto(store, keys, manifest.version) < request.asked:
        if time.monotonic() > deadline:
            structlog.get_logger().warning("not_replayed", version=manifest.version, reason=f"not within {wait_s:g} s")
            return False
        progress(0, 1)
        time.sleep(_POLL_S)
    return True


def live_workers(store: SyncStore, keys: Keys) -> list[str]:
    """The names of the live workers, sorted: those whose reports have not expired by the store's clock."""
    names = sorted(store.fields(keys.workers))
    values = store.get_many([keys.process(name) for name in names])
    return [name for name, value in zip(names, values, strict=True) if value is not None]
