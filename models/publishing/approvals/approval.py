"""Versions that wait until somebody approves them (PYMK_APPROVAL)."""

from contextlib import suppress
from datetime import UTC, datetime

import structlog

from models.candidate_refresh.replay import Replay, no_replay
from models.errors import ArtefactError, VersionError
from models.publishing.approvals.notices import Notices
from models.publishing.audit import Actor, read_audit, write_audit
from models.publishing.canary import publish_or_try_locked
from models.publishing.canary_record import Canary, in_service
from models.publishing.decisions import Decision, State, note_told, read_decisions, write_decision
from models.publishing.pointer import ActivePointer, read_pointer
from models.publishing.publish import sweep_rejected
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
    notices: Notices | None = None,
    progress: Progress = quiet,
) -> bool:
    """Makes a finished version wait for an approval; returns False if it waited or was decided on before.

    It is loaded into the store, so that every host can approve it. Then `notices` tell of it, and of every other one
    that waits of which nobody could be told so far. A repeated call completes an interrupted one. Raises ArtefactError
    or StoreError as `publish`.
    """
    by = by or Actor.here()
    with switching(store, versions, keys) as lease:

        def renewing(done: int, total: int) -> None:
            lease.renew()
            progress(done, total)

        known, loader = read_decisions(store, keys).get(version), Loader(store, keys)
        if known is None:
            if loader.manifest(version) is None:
                loader.load(versions.path(version), versions.manifest(version), renewing)
            _decide(store, keys, version, "waiting", by)
        elif known.state == "waiting":
            _note_decision(store, keys, version, "waiting", Actor(known.who, known.note))
        sweep_rejected(loader, versions)
    if notices is not None:
        _tell(loader, versions, notices)
    if known is None:
        structlog.get_logger().info("waiting_for_approval", version=version)
    return known is None


def _tell(loader: Loader, versions: Versions, notices: Notices) -> None:
    """Tells of the versions that wait, each by those ways by which nobody was told of it yet."""
    for version, decision in read_decisions(loader.store, loader.keys).items():
        if decision.state != "waiting" or decision.told is None or notices.ways <= set(decision.told):
            continue
        with suppress(ArtefactError, VersionError):  # whoever decides on it is told what is wrong with it
            manifest = loader.manifest(version) or versions.manifest(version)
            if worked := notices.waiting(manifest, decision.told):
                note_told(loader.store, loader.keys, version, worked)


def approve(
    store: SyncStore,
    versions: Versions,
    version: str,
    *,
    keys: Keys,
    by: Actor,
    canary_share: float | None = None,
    superseded_ttl_s: float = SUPERSEDED_TTL_S,
    replay: Replay = no_replay,
    progress: Progress = quiet,
) -> ActivePointer | Canary:
    """Publishes a version that waits, once; older ones that wait are rejected, since this one supersedes them.

    With a share it becomes the canary, as the version of a night would, unless nothing is active. The decision is
    written last, so that a repeated call completes an interrupted one; if another version was activated meanwhile, that
    stays active. Raises VersionError if it does not wait, and what `publish` and `start_canary` raise: it waits on.
    """
    with switching(store, versions, keys) as lease:
        _refuse_unless_waiting(store, keys, versions, version)
        loader, pointer = Loader(store, keys), read_pointer(store, keys=keys)
        served: ActivePointer | Canary
        if pointer is not None and version in pointer.before:
            served = pointer
        else:
            _refuse_removed(loader, versions, version)
            served = publish_or_try_locked(
                store,
                versions,
                version,
                canary_share,
                lease,
                keys=keys,
                superseded_ttl_s=superseded_ttl_s,
                replay=replay,
                progress=progress,
                by=by,
            )
        _decide_older(loader, versions, version, by)
        _decide(store, keys, version, "approved", by)
    return served


def reject(store: SyncStore, versions: Versions, version: str, *, keys: Keys, by: Actor) -> None:
    """Removes a version that waits from store and disk, once.

    Raises VersionError if it does not wait, or is served or was: then its approval was interrupted.
    """
    with switching(store, versions, keys):
        _refuse_unless_waiting(store, keys, versions, version)
        if version in in_service(store, keys):
            raise VersionError(
                f"version {version} was approved, and that was interrupted once it was served: it is not removed; "
                f"pymk approve {version} completes the approval"
            )
        _reject(Loader(store, keys), versions, version, by)
    structlog.get_logger().info("rejected", version=version)


def _decide_older(loader: Loader, versions: Versions, version: str, by: Actor) -> None:
    """Rejects the older versions that wait; one that is served or was has an approval that was interrupted."""
    served = in_service(loader.store, loader.keys)
    for other, decision in read_decisions(loader.store, loader.keys).items():
        if decision.state != "waiting" or other >= version:
            continue
        if other in served:
            _decide(loader.store, loader.keys, other, "approved", Actor(by.who, "completed: it had been served"))
        else:
            _reject(loader, versions, other, Actor(by.who, f"superseded by {version}"))


def _reject(loader: Loader, versions: Versions, version: str, by: Actor) -> None:
    _decide(loader.store, loader.keys, version, "rejected", by)
    loader.remove(version)
    versions.remove(version)


def _decide(store: SyncStore, keys: Keys, version: str, state: State, by: Actor) -> None:
    """Writes a decision, after its entry in the audit trail: a repeated call writes what is missing of both."""
    _note_decision(store, keys, version, state, by)
    told = () if state == "waiting" else None
    decision = Decision(state=state, at=datetime.now(UTC), who=by.who, note=by.note, told=told)
    write_decision(store, keys, version, decision)


def _note_decision(store: SyncStore, keys: Keys, version: str, state: State, by: Actor) -> None:
    """Writes the entry of a decision into the audit trail, once."""
    if all((entry.what, entry.version) != (state, version) for entry in read_audit(store, keys)):
        write_audit(store, keys, state, version, by)


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
