"""Starts a canary, a version that a share of the viewers is served from, or publishes to everybody at once."""

from pathlib import Path

import structlog

from models.candidate_refresh.replay import Replay, no_replay
from models.errors import UsageError, VersionError
from models.experiments import registry
from models.publishing.audit import Actor, write_audit
from models.publishing.canary_ending import retire_locked
from models.publishing.canary_record import (
    CHANGED,
    Canary,
    CanaryReport,
    end_superseded,
    read_report,
    readable_canary,
    shared,
    supersede,
    write_canary,
    write_report,
)
from models.publishing.decisions import refuse_unapproved
from models.publishing.erasure_guard import refuse_outdated
from models.publishing.pointer import ActivePointer, read_pointer
from models.publishing.publish import files_here, loaded, publish_locked, renewing_of, unserved
from models.publishing.publish_lock import Lease, switching
from models.publishing.transfer import Loader, Progress, quiet
from models.settings import SUPERSEDED_TTL_S
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.store_clock import store_time
from models.version.local_versions import Versions
from models.version.manifest import Manifest

log = structlog.get_logger(__name__)


def start_canary(
    store: SyncStore,
    versions: Versions,
    version: str,
    share: float,
    *,
    keys: Keys,
    by: Actor,
    replay: Replay = no_replay,
    progress: Progress = quiet,
) -> Canary:
    """Serves a share of the viewers (above 0, below 1) from a version, or changes the share of the canary.

    The version is in the store and up to date before anybody is served from it. Raises VersionError if none is active,
    it is the active one, waits for an approval or was rejected, or another one is the canary; UsageError if an
    experiment compares versions; ArtefactError or StoreError as `publish` does.
    """
    versions.path(version)  # refuses what is no version id
    if not 0 < share < 1:
        raise UsageError("the share of a canary is above 0% and below 100%; 100% is a switch")
    with switching(store, versions, keys) as lease:
        pointer, content = read_pointer(store, keys=keys), store.get(keys.canary)
        current = _current(content, pointer)
        refuse_unapproved(store, keys, version)
        _refuse_another(version, current)
        return _start_locked(store, versions, version, share, lease, keys=keys, by=by, replay=replay, progress=progress)


def _start_locked(
    store: SyncStore,
    versions: Versions,
    version: str,
    share: float,
    lease: Lease,
    *,
    keys: Keys,
    by: Actor,
    replay: Replay,
    progress: Progress,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
) -> Canary:
    """As `start_canary`, for a caller that holds the lease; a canary of another version goes on until this one runs."""
    # up to date in the store
    loader, pointer, content = Loader(store, keys), read_pointer(store, keys=keys), store.get(keys.canary)
    current = _current(content, pointer)
    if current is not None and current.version != version:
        current = None
    _refuse(store, keys, version, pointer)
    manifest = loaded(loader, version, files_here(versions), renewing_of(lease, progress))
    if pointer is None:
        raise VersionError("no version is active")
    refuse_outdated(loader, versions, manifest, pointer.version)
    now = store_time(store)
    if current is None:
        replay(manifest, renewing_of(lease, quiet))
        canary = Canary(
            version=version,
            control=pointer.version,
            control_at=pointer.activated_at,
            share=share,
            started_at=now,
            stepped_at=now,
            who=by.who,
            note=by.note,
        )
        store.delete([keys.canary_counts])
        _end_another(store, keys, pointer, version, by, superseded_ttl_s)
        content = store.get(keys.canary)
    else:
        canary = current.stepped(share, now)
    # served
    if not write_canary(store, keys, content, canary):
        raise VersionError(CHANGED)
    if current is None:
        _note_start(store, keys, canary)
    else:
        write_report(store, keys, CanaryReport(canary=canary, at=now, lists={}))
        write_audit(
            store, keys, "canary_stepped", version, Actor(by.who, shared(share, by.note)), before=canary.control
        )
    log.info("canary_stepped" if current else "canary_started", version=version, share=share, control=canary.control)
    return canary


def _end_another(
    store: SyncStore, keys: Keys, pointer: ActivePointer, version: str, by: Actor, superseded_ttl_s: float
) -> None:
    """Ends the canary that this version takes the place of, judged up to now, and completes an end left incomplete."""
    content = store.get(keys.canary)
    superseded = _current(content, pointer)
    if content is None or superseded is None:
        end_superseded(store, keys, pointer, by)
        return
    if not supersede(store, keys, content, superseded, version, by.who):
        raise VersionError(CHANGED)
    retire_locked(store, pointer, keys, superseded.version, superseded_ttl_s)


def _note_start(store: SyncStore, keys: Keys, canary: Canary) -> None:
    """Writes the first report on a canary and its entry in the audit trail, each once."""
    known = read_report(store, keys)
    if known is None or known.canary.started_at != canary.started_at:
        write_report(store, keys, CanaryReport(canary=canary, at=canary.started_at, lists={}))
    if canary.step == 0:
        by = Actor(canary.who, shared(canary.share, canary.note))
        at, control = canary.started_at, canary.control
        write_audit(store, keys, "canary_started", canary.version, by, before=control, once_at=at)


def publish_or_try(
    directory: Path,
    store: SyncStore,
    versions: Versions,
    share: float | None,
    *,
    keys: Keys,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
    replay: Replay = no_replay,
    progress: Progress = quiet,
) -> bool:
    """Publishes a finished version directory, or with a share makes it the canary; returns whether it is that.

    Nothing active to try it beside: it is published. A canary of another version ends. A repeated call changes nothing.
    Raises what `publish` and `start_canary` raise; VersionError too if it is of a delta night, and what that went on
    from is no longer active, or another version is the canary.
    """
    version = Manifest.read(directory).version
    with switching(store, versions, keys) as lease:
        pointer = read_pointer(store, keys=keys)
        if pointer is not None and pointer.version != version and share is not None and share < 1:
            refuse_unapproved(store, keys, version)
        served = publish_or_try_locked(
            store,
            versions,
            version,
            share,
            lease,
            keys=keys,
            superseded_ttl_s=superseded_ttl_s,
            replay=replay,
            progress=progress,
            by=Actor.here(),
            directory=directory,
        )
    return isinstance(served, Canary)


def publish_or_try_locked(
    store: SyncStore,
    versions: Versions,
    version: str,
    share: float | None,
    lease: Lease,
    *,
    keys: Keys,
    superseded_ttl_s: float,
    replay: Replay,
    progress: Progress,
    by: Actor,
    directory: Path | None = None,
) -> ActivePointer | Canary:
    """As `publish_or_try`, for a caller that holds the lease and knows that the version may be served.

    Its files are in `directory`, or here, or in the store. Returns what it became.
    """
    pointer = read_pointer(store, keys=keys)
    canary = _current(store.get(keys.canary), pointer)
    if pointer is not None and pointer.version != version:
        another = canary if canary is not None and canary.version != version else None
        refuse_delta_of(_manifest_of(store, keys, versions, version, directory).delta_of, pointer, another)
    # everybody, at once
    if share is None or share >= 1 or pointer is None or pointer.version == version:
        return publish_locked(
            store,
            versions,
            version,
            lease,
            keys=keys,
            superseded_ttl_s=superseded_ttl_s,
            replay=replay,
            progress=progress,
            by=by,
            directory=directory,
        )
    # a share of the viewers
    if canary is not None and canary.version == version:
        _note_start(store, keys, canary)  # if whoever started it died before it had said so
        return canary
    started = _start_locked(
        store,
        versions,
        version,
        share,
        lease,
        keys=keys,
        by=by,
        replay=replay,
        progress=progress,
        superseded_ttl_s=superseded_ttl_s,
    )
    versions.sweep((pointer.version, *pointer.before), waiting=unserved(store, keys))
    return started


def _manifest_of(store: SyncStore, keys: Keys, versions: Versions, version: str, directory: Path | None) -> Manifest:
    """The manifest of a version, from a directory, the store or this host's disk."""
    if directory is not None:
        return Manifest.read(directory)
    return Loader(store, keys).manifest(version) or versions.manifest(version)


def refuse_delta_of(delta_of: str | None, pointer: ActivePointer, canary: Canary | None) -> None:
    """Raises VersionError if a delta night from a version may not be published: it is not active, or a canary runs."""
    if delta_of is None:
        return
    if pointer.version != delta_of:
        raise VersionError(
            f"--delta: version {delta_of}, which the night went on from, is no longer active; nothing was published. "
            f"The same command goes on from {pointer.version}"
        )
    if canary is not None:
        raise VersionError(
            f"--delta: version {canary.version} is the canary, which this night would end before it is judged; wait "
            "until it is promoted or taken back, or end it: pymk canary promote or pymk canary abort"
        )


def _current(content: bytes | None, pointer: ActivePointer | None) -> Canary | None:
    """The canary that is tried beside the active version."""
    canary = readable_canary(content)
    return canary if canary is not None and canary.holds(pointer) else None


def _refuse_another(version: str, current: Canary | None) -> None:
    """Raises VersionError if another version is the canary."""
    if current is not None and current.version != version:
        raise VersionError(
            f"version {current.version} is the canary already, for {current.share:.4g} of the viewers; pymk canary "
            "promote or pymk canary abort ends it"
        )


def _refuse(store: SyncStore, keys: Keys, version: str, pointer: ActivePointer | None) -> None:
    """Raises VersionError or UsageError if the version cannot be the canary."""
    if pointer is None:
        raise VersionError(f"no version is active that {version} could be tried beside; pymk activate {version}")
    if version == pointer.version:
        raise VersionError(f"version {version} is the active one; a canary is another version beside it")
    for run in registry.read(store, keys=keys).running:
        if any(arm.version is not None for arm in run.experiment.arms):
            raise UsageError(
                f"experiment {run.name} compares versions, so that a canary would be in its arms; stop it first: pymk "
                f"experiment stop {run.name}"
            )
