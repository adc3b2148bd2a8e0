"""Versions that wait until somebody approves them (PYMK_APPROVAL)."""

from datetime import UTC, datetime

import structlog

from models.candidate_refresh.replay import Replay, no_replay
from models.errors import VersionError
from models.publishing.audit import Actor, write_audit
from models.publishing.decisions import Decision, read_decisions, write_decision
from models.publishing.pointer import ActivePointer, read_pointer
from models.publishing.publish import publish_locked, sweep_rejected
from models.publishing.publish_lock import switching
from models.publishing.transfer import Loader, Progress, quiet
from models.settings import SUPERSEDED_TTL_S
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions


def hold(
    store: SyncStore,
    versions: Versions,
    version: str,
    *,
    keys: Keys,
    by: Actor | None = None,
    progress: Progress = quiet,
) -> bool:
    """Makes a finished version wait for an approval; returns False if it waited or was decided on before.

    It is loaded into the store, so that every host can approve it. Raises ArtefactError or StoreError as `publish`.
    """
    by = by or Actor.here()
    with switching(store, versions, keys) as lease:

        def renewing(done: int, total: int) -> None:
            lease.renew()
            progress(done, total)

        if version in read_decisions(store, keys):
            return False
        loader, manifest = Loader(store, keys), versions.manifest(version)
        if loader.manifest(version) is None:
            loader.load(versions.path(version), manifest, renewing)
        _decide(store, keys, version, "waiting", by)
        sweep_rejected(loader, versions)
    structlog.get_logger().info("waiting_for_approval", version=version)
    return True


def approve(
    store: SyncStore,
    versions: Versions,
    version: str,
    *,
    keys: Keys,
    by: Actor,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
    replay: Replay = no_replay,
    progress: Progress = quiet,
) -> ActivePointer:
    """Publishes a version that waits, once; older ones that wait are rejected, since this one supersedes them.

    Raises VersionError if it does not wait, and what `publish` raises; then it waits on.
    """
    with switching(store, versions, keys) as lease:
        _refuse_unless_waiting(store, keys, versions, version)
        _refuse_removed(Loader(store, keys), versions, version)
        pointer = publish_locked(
            store,
            versions,
            version,
            lease,
            keys=keys,
            superseded_ttl_s=superseded_ttl_s,
            replay=replay,
            progress=progress,
            by=by,
        )
        _decide(store, keys, version, "approved", by)
        loader = Loader(store, keys)
        for other, decision in read_decisions(store, keys).items():
            if decision.state == "waiting" and other < version:
                _reject(loader, versions, other, Actor(by.who, f"superseded by {version}"))
    return pointer


def reject(store: SyncStore, versions: Versions, version: str, *, keys: Keys, by: Actor) -> None:
    """Removes a version that waits from store and disk, once. Raises VersionError if it does not wait."""
    with switching(store, versions, keys):
        _refuse_unless_waiting(store, keys, versions, version)
        _reject(Loader(store, keys), versions, version, by)
    structlog.get_logger().info("rejected", version=version)


def _reject(loader: Loader, versions: Versions, version: str, by: Actor) -> None:
    _decide(loader.store, loader.keys, version, "rejected", by)
    loader.remove(version)
    versions.remove(version)


def _decide(store: SyncStore, keys: Keys, version: str, state: str, by: Actor) -> None:
    """Writes a decision and its entry in the audit trail."""
    decision = Decision.model_validate({"state": state, "at": datetime.now(UTC), "who": by.who, "note": by.note})
    write_decision(store, keys, version, decision)
    write_audit(store, keys, decision.state, version, by)


def _refuse_removed(loader: Loader, versions: Versions, version: str) -> None:
    """Raises VersionError if a version that waits is gone, which is then no longer waited for.

    An erasure removes versions that were built before it.
    """
    if loader.manifest(version) is not None or versions.is_whole(version):
        return
    gone = "was removed from store and disk while it waited, as an erasure does with versions that were built before it"
    _decide(loader.store, loader.keys, version, "rejected", Actor("pymk", gone))
    raise VersionError(f"version {version} {gone}; pymk nightly builds another")


def _refuse_unless_waiting(store: SyncStore, keys: Keys, versions: Versions, version: str) -> None:
    versions.path(version)  # refuses what is no version id
    decision = read_decisions(store, keys).get(version)
    if decision is not None and decision.state == "waiting":
        return
    if decision is not None:
        raise VersionError(
            f"version {version} was {decision.state} already, by {decision.who} at {decision.at:%Y-%m-%d %H:%M} UTC"
        )
    pointer = read_pointer(store, keys=keys)
    served = ": it is active" if pointer is not None and pointer.version == version else ""
    raise VersionError(f"version {version} does not wait for an approval{served}; pymk versions lists those that do")
