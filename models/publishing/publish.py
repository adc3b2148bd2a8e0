"""Changes the active version: publish, activate, roll back.

A version is loaded first and the pointer is set last, so that readers never wait and never see a partial version. The
pointer has a stack of the versions that were active before: publishing and activating push one, rolling back pops it.
The pointer never expires, nor do the keys of its version and of the one that rollback would activate.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from models.candidate_refresh.replay import Replay, no_replay
from models.errors import ArtefactError, VersionError
from models.live_state.retention import raise_watermark, read_watermark_blocking, watermark_of
from models.live_state.visibility import forget_blocking
from models.publishing.audit import Actor, note_switch
from models.publishing.canary_record import end_superseded, kept_for_canary
from models.publishing.decisions import read_decisions, refuse_rejected, refuse_unapproved, waiting
from models.publishing.erasure_guard import refuse_erased, refuse_outdated
from models.publishing.pointer import DEPTH, ActivePointer, Switch, SwitchKind, decode_pointer, read_pointer
from models.publishing.publish_lock import Lease, switching
from models.publishing.transfer import (
    CARRIED,
    Loader,
    Progress,
    quiet,
)
from models.settings import SUPERSEDED_TTL_S
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest

Step = Callable[["ActivePointer | None"], "ActivePointer"]
"""the next pointer, given the current one"""


def publish(
    version_directory: Path,
    store: SyncStore,
    versions: Versions,
    *,
    keys: Keys,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
    replay: Replay = no_replay,
    progress: Progress = quiet,
    by: Actor | None = None,
) -> ActivePointer:
    """Makes a finished version directory the active version; a repeated call completes an interrupted one.

    Loads and checks it, replays live changes after its cut, sets the pointer, lets superseded versions expire from the
    store, sweeps the disk, and drops the live state that all remaining versions include. `by` is who does it, for the
    audit trail; the user of this process if not given.
    Raises ArtefactError if a file differs from the manifest, StoreError if the store rejects it, VersionError if
    another process is switching or somebody rejected the version; then the active version stays.
    """
    version = Manifest.read(version_directory).version
    with switching(store, versions, keys) as lease:
        return publish_locked(
            store,
            versions,
            version,
            lease,
            keys=keys,
            superseded_ttl_s=superseded_ttl_s,
            replay=replay,
            progress=progress,
            by=by or Actor.here(),
            directory=version_directory,
        )


def publish_locked(
    store: SyncStore,
    versions: Versions,
    version: str,
    lease: Lease,
    *,
    keys: Keys,
    superseded_ttl_s: float,
    replay: Replay,
    progress: Progress,
    by: Actor,
    directory: Path | None = None,
) -> ActivePointer:
    """As `publish`, for a caller that holds the lease; its files are in `directory`, or here, or in the store."""
    loader = Loader(store, keys)
    here = directory or (versions.path(version) if versions.is_whole(version) else None)
    manifest = _published(loader, version) if here is None else Manifest.read(here)
    current = read_pointer(store, keys=keys)
    if current is None or current.version != version:
        refuse_rejected(store, keys, version)
    if current is not None:
        refuse_outdated(loader, versions, manifest, current.version)
    files_of = files_here(versions) if here is None else lambda _: here
    renewing = renewing_of(lease, progress)
    pointer = _switch(loader, _pushed(version), "published", by, files_of, replay, lease, renewing)
    if here is not None:
        _published(loader, version).write(here)
    end_superseded(store, keys, pointer, by)
    _retire(loader, pointer, superseded_ttl_s, lease)
    swept = versions.sweep((pointer.version, *pointer.before), waiting=unserved(store, keys))
    sweep_rejected(loader, versions)
    _raise_watermark(loader, versions)
    structlog.get_logger().info("published", version=pointer.version, before=pointer.before[:1], swept=swept)
    return pointer


def sweep_rejected(loader: Loader, versions: Versions) -> None:
    """Removes versions that were rejected, perhaps by way of another host, from this host's disk."""
    decided = read_decisions(loader.store, loader.keys)
    for version in versions.ids():
        if version in decided and decided[version].state == "rejected":
            versions.remove(version)


def activate(
    store: SyncStore,
    versions: Versions,
    version: str,
    *,
    keys: Keys,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
    replay: Replay = no_replay,
    progress: Progress = quiet,
    by: Actor | None = None,
) -> ActivePointer:
    """Makes an older version active; no change if it is the active one. `by` is as for `publish`.

    Loads this host's files if the store does not have it. Raises VersionError if neither has it, it is older than an
    erasure, waits for an approval or was rejected, ArtefactError or StoreError as `publish` does; then the active
    version stays.
    """
    versions.path(version)  # refuses what is no version id
    by = by or Actor.here()

    def step(current: ActivePointer | None) -> ActivePointer:
        refuse_unapproved(store, keys, version)
        return _pushed(version)(current)

    return _activated(store, versions, keys, superseded_ttl_s, replay, progress, step, "activated", by)


def rollback(
    store: SyncStore,
    versions: Versions,
    *,
    keys: Keys,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
    replay: Replay = no_replay,
    progress: Progress = quiet,
    by: Actor | None = None,
) -> ActivePointer:
    """Makes the version active that was active before this one; a second call goes back one further.

    `by` is as for `publish`. Raises VersionError if there is none, if neither store nor disk has it, or if it is older
    than an erasure.
    """
    by = by or Actor.here()
    return _activated(store, versions, keys, superseded_ttl_s, replay, progress, _popped, "rolled_back", by)


def pull_tables(store: SyncStore, version: str, versions: Versions, *, keys: Keys) -> Path:
    """The directory of a version with tables and model on this host's disk; fetches them from the store if needed.

    All files are compared with their checksums; a damaged copy is replaced. Raises VersionError if neither disk nor
    store has the version, ArtefactError if the store's copy is damaged.
    """
    if _is_usable(versions, version):
        return versions.path(version)
    with versions.switching(wait_s=600.0):
        if not _is_usable(versions, version):  # another process may have fetched it meanwhile
            with versions.staging(version) as directory:
                Loader(store, keys).fetch(version, directory)
                _link_other_directories(versions.path(version), directory)
            pointer = read_pointer(store, keys=keys)
            versions.sweep((*(pointer.lasting if pointer else ()), version), waiting=unserved(store, keys))
    return versions.path(version)


def _link_other_directories(old: Path, directory: Path) -> None:
    """Links the files that the store does not have from a damaged copy of a version into its replacement."""
    if not old.is_dir():
        return
    for path in old.rglob("*"):
        name = path.relative_to(old)
        if path.is_file() and name.parts[0] not in CARRIED and not (directory / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).hardlink_to(path)


def _is_usable(versions: Versions, version: str) -> bool:
    if version not in versions.ids():
        return False
    try:
        versions.manifest(version).verify(versions.path(version), CARRIED)
    except ArtefactError as error:
        structlog.get_logger().warning("damaged_version_replaced", version=version, error=str(error))
        return False
    return True


def _activated(
    store: SyncStore,
    versions: Versions,
    keys: Keys,
    superseded_ttl_s: float,
    replay: Replay,
    progress: Progress,
    step: Step,
    what: SwitchKind,
    by: Actor,
) -> ActivePointer:
    """Switches to the version of the next pointer, from the store or from this host's files."""
    with switching(store, versions, keys) as lease:
        loader = Loader(store, keys)
        allowed, renewing = _allowed(loader, versions, step), renewing_of(lease, progress)
        pointer = _switch(loader, allowed, what, by, files_here(versions), replay, lease, renewing)
        end_superseded(store, keys, pointer, by)
        _retire(loader, pointer, superseded_ttl_s, lease)
    structlog.get_logger().info("activated", version=pointer.version, before=pointer.before[:1])
    return pointer


def unserved(store: SyncStore, keys: Keys) -> set[str]:
    """The versions that are kept although nobody has switched to them: those that wait, and the canary."""
    return waiting(store, keys) | kept_for_canary(store, keys)


def loaded(loader: Loader, version: str, files_of: Callable[[str], Path], progress: Progress) -> Manifest:
    """The manifest of a version, which is in the store without expiry by then; `files_of` finds what is not there."""
    if not loader.revive(version):
        directory = files_of(version)
        manifest = Manifest.read(directory)
        _refuse_before_watermark(loader, manifest)
        loader.load(directory, manifest.published(datetime.now(UTC)), progress)
    manifest = _published(loader, version)
    _refuse_before_watermark(loader, manifest)
    return manifest


def files_here(versions: Versions) -> Callable[[str], Path]:
    """Finds the files of a version that the store does not have."""

    def files_of(version: str) -> Path:
        if not versions.is_whole(version):
            raise VersionError(f"version {version} is neither in the store nor complete in {versions.directory}")
        return versions.path(version)

    return files_of


def _switch(
    loader: Loader,
    step: Step,
    what: SwitchKind,
    by: Actor,
    files_of: Callable[[str], Path],
    replay: Replay,
    lease: Lease,
    progress: Progress,
) -> ActivePointer:
    """Sets the next pointer, after its version is in the store and up to date. The pointer changes atomically.

    It says what led to it, so that the next switch completes the audit trail where this one is interrupted.
    """
    store, key = loader.store, loader.keys.active
    content = store.get(key)
    current = decode_pointer(content)
    pointer = step(current)
    manifest = loaded(loader, pointer.version, files_of, progress)
    if current is not None:
        note_switch(store, loader.keys, current)
        end_superseded(store, loader.keys, current, by)
    if pointer != current:
        replay(manifest, renewing_of(lease, quiet))
        before = None if current is None else current.version
        switch = Switch(what=what, who=by.who, note=by.note, before=before)
        pointer = pointer.model_copy(update={"activated_at": datetime.now(UTC), "switch": switch})
    if not store.compare_and_set(key, content, pointer.model_dump_json().encode()):
        raise VersionError("another process has switched the version meanwhile; check pymk versions and try again")
    note_switch(store, loader.keys, pointer)
    return pointer


def _pushed(version: str) -> Step:
    """The step to a version, which pushes the current one."""

    def step(current: ActivePointer | None) -> ActivePointer:
        if current is not None and current.version == version:
            return current
        before = () if current is None else (current.version, *current.before)
        return ActivePointer(version=version, activated_at=datetime.now(UTC), before=before[:DEPTH])

    return step


def _allowed(loader: Loader, versions: Versions, step: Step) -> Step:
    """The step, which raises VersionError if it leads to another version that is older than an erasure."""

    def checked(current: ActivePointer | None) -> ActivePointer:
        pointer = step(current)
        if current is None or pointer.version != current.version:
            refuse_erased(loader, versions, pointer.version)
        return pointer

    return checked


def _popped(current: ActivePointer | None) -> ActivePointer:
    if current is None:
        raise VersionError("nothing is published yet, so there is no version to roll back to")
    if not current.before:
        raise VersionError(f"no version was active before {current.version}; pymk activate VERSION activates any other")
    return ActivePointer(version=current.before[0], activated_at=datetime.now(UTC), before=current.before[1:])


def _published(loader: Loader, version: str) -> Manifest:
    """The manifest in the store, which has the time of publication."""
    manifest = loader.manifest(version)
    if manifest is None:
        raise VersionError(f"the store has lost version {version} since it was loaded; activate it again")
    return manifest


def _refuse_before_watermark(loader: Loader, manifest: Manifest) -> None:
    """Raises VersionError if live state after the version's cut was dropped."""
    if manifest.cut_us < read_watermark_blocking(loader.store, loader.keys):
        raise VersionError(
            f"version {manifest.version} is too old to be activated: the blocks, dismissals and friendships after its "
            "cut are no longer stored; pymk nightly builds a version that includes them"
        )


def _manifests(loader: Loader, versions: Versions) -> list[Manifest]:
    """Those of the versions that can be activated, by the store or from this host's disk."""
    manifests = [manifest for version in sorted(loader.held()) if (manifest := loader.manifest(version)) is not None]
    for version in versions.ids():
        with suppress(ArtefactError):  # a version with an unreadable manifest cannot be activated
            manifests.append(versions.manifest(version))
    return manifests


def known_cuts(store: SyncStore, keys: Keys, versions: Versions) -> list[int]:
    """The cuts of these versions, microseconds."""
    return [manifest.cut_us for manifest in _manifests(Loader(store, keys), versions)]


def mend_watermark(store: SyncStore, keys: Keys, versions: Versions) -> None:
    """Replaces a retention watermark that does not read back; another one is raised as by a publication."""
    _raise_watermark(Loader(store, keys), versions)


def _raise_watermark(loader: Loader, versions: Versions) -> None:
    """Raises the retention watermark to the oldest cut of the versions that can be activated."""
    watermark = raise_watermark(loader.store, loader.keys, watermark_of(_manifests(loader, versions)))
    loader.store.timestamps_drop(loader.keys.touched, watermark)
    forget_blocking(loader.store, loader.keys, watermark)


def _retire(loader: Loader, pointer: ActivePointer, ttl_s: float, lease: Lease) -> None:
    for version in sorted(loader.held() - set(pointer.lasting) - unserved(loader.store, loader.keys)):
        lease.renew()
        loader.retire(version, ttl_s)


def renewing_of(lease: Lease, progress: Progress) -> Progress:
    """The progress that also extends the lease."""

    def renew(done: int, total: int) -> None:
        lease.renew()
        progress(done, total)

    return renew
