"""Replaying onto a version what happened after its cut, so that a switch to it loses nobody.

Whoever switches, and has the numeric libraries and the version's files, replays before the pointer flips. Whoever has
not asks a worker to. What happens between the replay and the flip, the workers queue again when they follow.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from models.candidate_refresh.refresh_queue import RefreshRequest, queue_people
from models.candidate_refresh.refresher import LoadedVersion, Refreshed, Refresher
from models.errors import ArtefactError
from models.live_state.visibility import follow_blocking
from models.settings import CONTEXTS
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS, now_us
from models.version.local_versions import Versions
from models.version.manifest import Manifest

READ_AT_ONCE = 2000
MADE_AT_ONCE = 32
ROUNDS = 5
"""how often those are looked for who changed while the others were replayed"""
MARGIN_US = 60 * MICROSECONDS
"""a change may be noted so much later than its stamp, and a block still be made for the version before"""
WAIT_S = 30.0
"""how long a switch waits for a worker to replay"""
_POLL_S = 0.1

Progress = Callable[[int, int], None]
"""called with people done and people known of so far"""
Replay = Callable[[Manifest, Progress], None]
"""brings a version that is in the store up to date, before it is switched to"""


def no_replay(manifest: Manifest, progress: Progress) -> None:
    """For stores in which nothing live happens."""


class Wanted(BaseModel):
    """What somebody without the means asks a worker for."""

    model_config = ConfigDict(frozen=True)

    version: str
    asked: int
    """microseconds"""

    @classmethod
    def decode(cls, content: bytes | None) -> "Wanted | None":
        """What the value of Keys.replay asks for; None where it asks for nothing that this release understands."""
        try:
            return cls.model_validate_json(content) if content else None
        except ValidationError:
            return None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    people: int
    failed: int
    """of them; they are queued for the workers"""
    upto: int
    """everybody who was known to have changed at this moment is done, microseconds"""


def touched_after(store: SyncStore, keys: Keys, timestamp_us: int) -> Iterator[tuple[str, int]]:
    """Everybody whose last change that calls for another block is later than a stamp, and when it was."""
    limit, told = READ_AT_ONCE, set[tuple[str, int]]()
    while True:
        read = store.timestamps_after(keys.touched, timestamp_us, limit)
        yield from (one for one in read if one not in told)
        if len(read) < limit:
            return
        told = set(read)
        following = read[-1][1] - 1  # several people share a stamp, and the page may have ended among them
        timestamp_us, limit = (following, READ_AT_ONCE) if following > timestamp_us else (timestamp_us, 2 * limit)


def replay(
    refresher: Refresher, loaded: LoadedVersion, progress: Progress = lambda done, known: None, since: int | None = None
) -> Replayed:
    """Makes blocks and newcomer records of a version for everybody who changed after its cut, or after `since`.

    Whoever changes meanwhile is done too. Raises StoreError; one person's failure is left to the workers.
    """
    store, keys = refresher.store, refresher.keys
    after = loaded.manifest.cut_us if since is None else since
    done: dict[str, int] = {}
    failed = upto = 0
    for _ in range(ROUNDS):
        upto = refresher.clock()
        follow_blocking(store, keys, refresher.hidden)
        waiting = {name: at for name, at in touched_after(store, keys, after) if done.get(name) != at}
        if not waiting:
            break
        people = list(waiting)
        for first in range(0, len(people), MADE_AT_ONCE):
            some = people[first : first + MADE_AT_ONCE]
            outcome = refresher.refresh(loaded, some)
            lost = [person for person in some if outcome[person] is Refreshed.FAILED]
            if lost:
                failed += len(lost)
                _leave_to_workers(store, keys, {person: waiting[person] for person in lost})
            progress(len(done) + first + len(some), len(done) + len(people))
        done |= waiting
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
    """The replay of a process: made here where the version's files are, else asked of a worker.

    Loads the numeric libraries, and only where somebody changed; not at all without `open_here`.
    """

    def run(manifest: Manifest, progress: Progress) -> None:
        if not store.timestamps_after(keys.touched, manifest.cut_us, 1):
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


def _leave_to_workers(store: SyncStore, keys: Keys, timestamps_us: dict[str, int]) -> None:
    members = [RefreshRequest(user_id, timestamp_us, 1).encode() for user_id, timestamp_us in timestamps_us.items()]
    store.queue_add(keys.refresh, members, time.time())


def replayed_upto(store: SyncStore, keys: Keys, version: str) -> int:
    """Up to when those who changed have their blocks in a version, microseconds; 0 where nobody replayed onto it."""
    return int(store.get(keys.replayed(version)) or 0)


def queue_passed_over(store: SyncStore, keys: Keys, manifest: Manifest) -> int:
    """Queues everybody whom the switch to a version may have passed over; how many.

    Without a replay that is everybody who changed after its cut.
    """
    since = max(manifest.cut_us, replayed_upto(store, keys, manifest.version) - MARGIN_US)
    timestamps_us = dict(touched_after(store, keys, since))
    queue_people(store, keys, timestamps_us)
    return len(timestamps_us)


def ask_worker(
    store: SyncStore,
    keys: Keys,
    manifest: Manifest,
    wait_s: float = WAIT_S,
    progress: Progress = lambda done, known: None,
) -> bool:
    """Has a worker replay onto a version and waits for it; whether it is done.

    Returns at once where nobody changed since the cut. False where no worker is there or it takes longer: the lists of
    those who changed are then as the night made them, cut by all rules, until a worker has followed.
    """
    if not store.timestamps_after(keys.touched, manifest.cut_us, 1):
        return True
    if not live_workers(store, keys):
        structlog.get_logger().warning("not_replayed", version=manifest.version, why="no worker is there")
        return False
    wanted = Wanted(version=manifest.version, asked=now_us())
    store.set(keys.replay, wanted.model_dump_json().encode(), wait_s * 2)
    deadline = time.monotonic() + wait_s
    while replayed_upto(store, keys, manifest.version) < wanted.asked:
        if time.monotonic() > deadline:
            structlog.get_logger().warning("not_replayed", version=manifest.version, why=f"not within {wait_s:g} s")
            return False
        progress(0, 1)
        time.sleep(_POLL_S)
    return True


def live_workers(store: SyncStore, keys: Keys, now_s: float | None = None) -> list[str]:
    """The names of the workers that may be counted on, sorted."""
    now = time.time() if now_s is None else now_s
    return sorted(name for name, until in store.fields(keys.workers).items() if float(until) > now)
