"""Ends a canary: steps it to a larger share, promotes it to everybody, or takes it back.

Its record and the pointer are in different slots of a cluster, so that no commit spans both. Whoever promotes a canary
claims it first, in its record; whoever takes it back says so there. Both compare it with what they read: one wins.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime

import structlog

from models.errors import StoreError, VersionError
from models.publishing.audit import Actor, write_audit
from models.publishing.canary_record import (
    CHANGED,
    Canary,
    CanaryEnd,
    CanaryReport,
    Ending,
    complete_end,
    decode_canary,
    end_with,
    finish_end,
    readable_canary,
    remove_canary,
    shared,
    write_canary,
)
from models.publishing.decisions import waiting
from models.publishing.pointer import ActivePointer, read_pointer
from models.publishing.publish import publish_locked
from models.publishing.publish_lock import holder_of, switching
from models.publishing.transfer import Loader, Progress, quiet
from models.settings import SUPERSEDED_TTL_S
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.store_clock import store_time
from models.version.local_versions import Versions

RETIRE_S = 1.0
"""how long the end of a canary waits for another process that publishes; the next switch lets its keys expire then"""
_NONE = "there is no canary; pymk activate VERSION --share 5% starts one"


def step_canary(store: SyncStore, versions: Versions, keys: Keys, canary: Canary, share: float, by: Actor) -> bool:
    """Serves another share of the viewers from the canary that was read; returns whether it still was as read.

    Raises VersionError if it is being promoted.
    """
    with _unless_promoting(store, versions, keys, canary):
        content = store.get(keys.canary)
        if decode_canary(content) != canary:
            return False
        if not write_canary(store, keys, content, canary.stepped(share, store_time(store))):
            return False
    by = Actor(by.who, shared(share, by.note))
    write_audit(store, keys, "canary_stepped", canary.version, by, before=canary.control)
    structlog.get_logger().info("canary_stepped", version=canary.version, share=share)
    return True


def promote_canary(
    store: SyncStore,
    versions: Versions,
    *,
    keys: Keys,
    by: Actor,
    expected: Canary | None = None,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
    progress: Progress = quiet,
) -> ActivePointer:
    """Serves everybody from the canary, which ends it; with `expected` only if the canary still is that one.

    Live changes are in its blocks already, since the workers follow a canary. Raises VersionError if there is none, or
    it was taken back meanwhile, and what `publish` raises; then it goes on.
    """
    with switching(store, versions, keys) as lease:
        content = store.get(keys.canary)
        canary = decode_canary(content)
        if canary is None or not canary.holds(read_pointer(store, keys=keys)):
            raise VersionError(_NONE)
        if expected is not None and canary.identity != expected.identity:
            raise VersionError("another canary was started meanwhile")
        # claimed: by now it is taken back no more, or was before
        claimed = canary.model_copy(update={"promoted_at": datetime.now(UTC), "promoted_by": lease.token})
        if not write_canary(store, keys, content, claimed):
            raise VersionError(CHANGED)

        def check(*_: object) -> None:
            """Right before the switch: this process may have slept until its lock expired."""
            if readable_canary(store.get(keys.canary)) != claimed:
                raise VersionError(CHANGED)

        try:
            return publish_locked(
                store,
                versions,
                canary.version,
                lease,
                keys=keys,
                superseded_ttl_s=superseded_ttl_s,
                replay=check,
                progress=progress,
                by=by,
            )
        except BaseException:
            with suppress(StoreError):  # whoever ends the canary finds that nobody promotes it
                if claimed.holds(read_pointer(store, keys=keys)):
                    write_canary(store, keys, claimed.model_dump_json().encode(), canary)
            raise


def end_canary(
    store: SyncStore,
    versions: Versions,
    ending: Ending,
    *,
    keys: Keys,
    by: Actor,
    report: CanaryReport | None = None,
    expected: Canary | None = None,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
) -> str:
    """Serves everybody from the active version again; returns the version that was the canary.

    Waits for no switch of others, but for a moment where the canary is being promoted. `report` is kept as the last
    word on it; with `expected` it ends only if the canary still is that one. Raises VersionError if there is none, or
    if it is being promoted or was.
    """
    content = store.get(keys.canary)
    canary, version = readable_canary(content), ""
    if content and canary is not None and canary.end is not None:  # by a process that died before it had said so
        finish_end(store, keys, content)
        raise VersionError(_NONE)
    if not content or (expected is not None and (canary is None or canary.identity != expected.identity)):
        raise VersionError(_NONE)
    if canary is None:
        if not remove_canary(store, keys, content):
            raise VersionError(CHANGED)
    else:
        version, failed = canary.version, () if report is None else tuple(report.failed)
        with _unless_promoting(store, versions, keys, canary):
            _refuse_promoted(store, keys, canary)
            end = CanaryEnd(state=ending, at=datetime.now(UTC), who=by.who, note=by.note, failed=failed)
            if not end_with(store, keys, content, canary, end, report):
                raise VersionError(CHANGED)
        _retire(store, versions, keys, version, superseded_ttl_s)
    structlog.get_logger().info("canary_ended", version=version, ending=ending, why=by.note)
    return version


@contextmanager
def _unless_promoting(store: SyncStore, versions: Versions, keys: Keys, canary: Canary) -> Iterator[None]:
    """Raises VersionError if a live process promotes the canary that was read, which has a moment to be done.

    One that died has lost its lease, or its lock on this home. Should one wake up that slept for longer, it finds that
    the record has changed.
    """
    with ExitStack() as lock:
        if canary.promoted_by is not None and holder_of(store, keys) == canary.promoted_by:
            try:
                lock.enter_context(switching(store, versions, keys, wait_s=RETIRE_S))
            except VersionError as error:
                raise VersionError(
                    f"version {canary.version} is being promoted at this moment; pymk rollback takes it back once it "
                    "is active"
                ) from error
        yield


def _refuse_promoted(store: SyncStore, keys: Keys, canary: Canary) -> None:
    """Raises VersionError if everybody is served from the canary, and ends it if that was interrupted."""
    pointer = read_pointer(store, keys=keys)
    if pointer is None or pointer.version != canary.version:
        return
    complete_end(store, keys, Actor("pymk"))
    raise VersionError(f"version {canary.version} was promoted and is the active one; pymk rollback takes it back")


def _retire(store: SyncStore, versions: Versions, keys: Keys, version: str, ttl_s: float) -> None:
    """Lets the keys of a version that was the canary expire."""
    try:
        with switching(store, versions, keys, wait_s=RETIRE_S):
            retire_locked(store, read_pointer(store, keys=keys), keys, version, ttl_s)
    except VersionError:  # the next switch does it
        return


def retire_locked(store: SyncStore, pointer: ActivePointer | None, keys: Keys, version: str, ttl_s: float) -> None:
    """Lets the keys of a version expire that is neither the active one, nor the one before, nor waits."""
    if pointer is None or version not in {*pointer.lasting, *waiting(store, keys)}:
        Loader(store, keys).retire(version, ttl_s)
