"""Starts, steps, promotes and takes back a canary: a version that a share of the viewers is served from."""

from datetime import UTC, datetime
from pathlib import Path

import structlog

from models.candidate_refresh.replay import Replay, no_replay
from models.errors import CorruptRecordError, UsageError, VersionError
from models.experiments import registry
from models.publishing.audit import Action, Actor, write_audit
from models.publishing.canary_record import (
    Canary,
    CanaryReport,
    Ending,
    decode_canary,
    ended_report,
    read_report,
    remove_canary,
    running_canary,
    write_canary,
    write_report,
)
from models.publishing.decisions import waiting
from models.publishing.erasure_guard import refuse_outdated
from models.publishing.pointer import ActivePointer, read_pointer
from models.publishing.publish import files_here, loaded, publish_locked, renewing_of, unserved
from models.publishing.publish_lock import Lease, switching
from models.publishing.transfer import Loader, Progress, quiet
from models.settings import SUPERSEDED_TTL_S
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest

_ACTIONS: dict[Ending, Action] = {
    "rolled_back": "canary_rolled_back",
    "aborted": "canary_aborted",
    "promoted": "canary_promoted",
    "superseded": "canary_superseded",
}
RETIRE_S = 1.0
"""how long the end of a canary waits for another process that publishes; the next switch lets its keys expire then"""


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
    it is the active one, waits for an approval, or another one is the canary; UsageError if an experiment compares
    versions; ArtefactError or StoreError as `publish` does.
    """
    versions.path(version)  # refuses what is no version id
    if not 0 < share < 1:
        raise UsageError("the share of a canary is above 0% and below 100%; 100% is a switch")
    with switching(store, versions, keys) as lease:
        pointer, content = read_pointer(store, keys=keys), store.get(keys.canary)
        current = _current(content, pointer)
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
    now = datetime.now(UTC)
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
        content = store.get(keys.canary)  # of another version: judged meanwhile
    else:
        canary = current.stepped(share, now)
    # served
    superseded = _current(content, pointer) if current is None else None
    if not write_canary(store, keys, content, canary):
        raise VersionError("another process changed the canary meanwhile; check pymk canary and try again")
    write_report(store, keys, CanaryReport(canary=canary, at=now, lists={}))
    if superseded is not None:
        why = Actor(by.who, f"superseded by {version}")
        write_audit(store, keys, "canary_superseded", superseded.version, why, before=superseded.control)
        _retire_locked(store, pointer, keys, superseded.version, superseded_ttl_s)
    said = f"share {share:.4g}" if by.note is None else f"share {share:.4g}; {by.note}"
    what: Action = "canary_started" if current is None else "canary_stepped"
    write_audit(store, keys, what, version, Actor(by.who, said), before=canary.control)
    structlog.get_logger().info(what, version=version, share=share, control=canary.control)
    return canary


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
    manifest, by = Manifest.read(directory), Actor.here()
    version = manifest.version
    with switching(store, versions, keys) as lease:
        pointer, content = read_pointer(store, keys=keys), store.get(keys.canary)
        canary = _current(content, pointer)
        if pointer is not None and pointer.version != version:
            refuse_delta_of(manifest.delta_of, pointer, canary if canary and canary.version != version else None)
        # everybody, at once
        if share is None or share >= 1 or pointer is None or pointer.version == version:
            publish_locked(
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
            return False
        # a share of the viewers
        if canary is not None and canary.version == version:
            return True
        _start_locked(
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
    return True


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


def step_canary(store: SyncStore, keys: Keys, canary: Canary, share: float, by: Actor) -> bool:
    """Serves another share of the viewers from the canary that was read; returns whether it still was as read."""
    content = store.get(keys.canary)
    if decode_canary(content) != canary:
        return False
    if not write_canary(store, keys, content, canary.stepped(share, datetime.now(UTC))):
        return False
    said = f"share {share:.4g}" if by.note is None else f"share {share:.4g}; {by.note}"
    write_audit(store, keys, "canary_stepped", canary.version, Actor(by.who, said), before=canary.control)
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

    Live changes are in its blocks already, since the workers follow a canary. Raises VersionError if there is none, and
    what `publish` raises; then it goes on.
    """
    with switching(store, versions, keys) as lease:
        canary = running_canary(store, keys, read_pointer(store, keys=keys))
        if canary is None:
            raise VersionError("there is no canary; pymk activate VERSION --share 5% starts one")
        if expected is not None and canary.identity != expected.identity:
            raise VersionError("another canary was started meanwhile")
        return publish_locked(
            store,
            versions,
            canary.version,
            lease,
            keys=keys,
            superseded_ttl_s=superseded_ttl_s,
            replay=no_replay,
            progress=progress,
            by=by,
        )


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

    Waits for no switch of others. `report` is kept as the last word on it; with `expected` it ends only if the canary
    still is that one. Raises VersionError if there is none.
    """
    content = store.get(keys.canary)
    canary, version = _readable(content), ""
    if not content or (expected is not None and (canary is None or canary.identity != expected.identity)):
        raise VersionError("there is no canary; pymk activate VERSION --share 5% starts one")
    if not remove_canary(store, keys, content):
        raise VersionError("another process changed the canary meanwhile; check pymk canary and try again")
    if canary is not None:
        version = canary.version
        write_report(store, keys, ended_report(report or read_report(store, keys), canary, ending, by.note))
        write_audit(store, keys, _ACTIONS[ending], version, by, before=canary.control)
        _retire(store, versions, keys, version, superseded_ttl_s)
    structlog.get_logger().info("canary_ended", version=version, ending=ending, why=by.note)
    return version


def _retire(store: SyncStore, versions: Versions, keys: Keys, version: str, ttl_s: float) -> None:
    """Lets the keys of a version that was the canary expire."""
    try:
        with switching(store, versions, keys, wait_s=RETIRE_S):
            _retire_locked(store, read_pointer(store, keys=keys), keys, version, ttl_s)
    except VersionError:  # the next switch does it
        return


def _retire_locked(store: SyncStore, pointer: ActivePointer | None, keys: Keys, version: str, ttl_s: float) -> None:
    if pointer is None or version not in {*pointer.lasting, *waiting(store, keys)}:
        Loader(store, keys).retire(version, ttl_s)


def _readable(content: bytes | None) -> Canary | None:
    try:
        return decode_canary(content)
    except CorruptRecordError:
        return None


def _current(content: bytes | None, pointer: ActivePointer | None) -> Canary | None:
    """The canary that is tried beside the active version."""
    canary = _readable(content)
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
    if version in waiting(store, keys):
        raise VersionError(f"version {version} waits for an approval: pymk approve {version} publishes it")
    for run in registry.read(store, keys=keys).running:
        if any(arm.version is not None for arm in run.experiment.arms):
            raise UsageError(
                f"experiment {run.name} compares versions, so that a canary would be in its arms; stop it first: pymk "
                f"experiment stop {run.name}"
            )
