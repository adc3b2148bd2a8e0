"""Versions that hold an erased user: they are not activated, and are removed.

A version includes an erasure if its cut is not before it, or if its night read it and left the user out.
"""

import re
from datetime import UTC, datetime

import structlog

from models.errors import ArtefactError, VersionError
from models.live_state.erased_ids import ErasedPeople, read_erased
from models.publishing import serving_processes
from models.publishing.publish_lock import switching
from models.publishing.transfer import Loader
from models.system.clock import MICROSECONDS
from models.version.local_versions import Versions
from models.version.manifest import VERSION_PATTERN, Manifest

LOCK_S = 1.0
"""how long removing versions waits for another process that publishes or activates"""

_OF_VERSION = re.compile(VERSION_PATTERN.rstrip("$").lstrip("^"))


def missing_erasures(manifest: Manifest, erased: ErasedPeople) -> dict[str, int]:
    """Hashes and timestamps of the erasures that a version does not include."""
    since, left_out = erased.since(manifest.cut_us), manifest.erasures
    return {name: timestamp_us for name, timestamp_us in since.items() if left_out.get(name, 0) < timestamp_us}


def refuse_erased(loader: Loader, versions: Versions, version: str) -> None:
    """Raises VersionError if a version is older than an erasure, and so may not be activated again."""
    erased = read_erased(loader.store, loader.keys)
    if not len(erased):
        return
    manifest = _manifest(loader, versions, version)
    if manifest is None:
        if later := erased.since(_started(version)):
            raise VersionError(
                f"version {version} was built before a person was erased ({_first_time(later)}) and was removed; pymk "
                "versions lists those that are left"
            )
    elif missing := missing_erasures(manifest, erased):
        raise VersionError(
            f"version {version} was built before a person was erased ({_first_time(missing)}) and still holds that "
            "person: it cannot be activated, nor rolled back to; pymk nightly builds a version without that person"
        )


def refuse_outdated(loader: Loader, versions: Versions, manifest: Manifest, active: str) -> None:
    """Raises VersionError if a version to publish holds an erased user whom the active one does not hold."""
    erased, current = read_erased(loader.store, loader.keys), _manifest(loader, versions, active)
    if manifest.version == active or current is None or not len(erased):
        return
    missing_now = missing_erasures(current, erased)
    missing = {
        name: timestamp_us
        for name, timestamp_us in missing_erasures(manifest, erased).items()
        if name not in missing_now
    }
    if missing:
        raise VersionError(
            f"the night of version {manifest.version} started before a person was erased ({_first_time(missing)}), "
            "whom the active version does not hold; run pymk nightly again"
        )


class OldVersions:
    """The versions in the store and on this host's disk that hold erased users whom the active one does not hold.

    All properties are as of its creation.
    """

    def __init__(self, loader: Loader, versions: Versions, active: str | None) -> None:
        self._loader, self._versions, self._active = loader, versions, active
        self._erased = read_erased(loader.store, loader.keys)
        manifest = None if active is None else _manifest(loader, versions, active)
        all_erasures = self._erased.since(0)
        self.missing: dict[str, int] = all_erasures if manifest is None else missing_erasures(manifest, self._erased)
        """hashes and timestamps of the erasures that the active version does not include; all if none is active"""

    def serving(self) -> list[str]:
        """Names of the live processes that serve one of them, or are opening one."""
        reports = serving_processes.reports(self._loader.store, keys=self._loader.keys)
        return sorted(name for name, said in reports.items() if any(self._is_old(version) for version in said.open))

    def remove(self) -> bool:
        """Removes them from store and disk, with what dead runs left; returns whether all of it is removed.

        False if another process publishes, activates or builds a version.
        """
        loader, versions = self._loader, self._versions
        try:
            with switching(loader.store, versions, loader.keys, wait_s=LOCK_S) as lease:
                for version in sorted(self._stored() | set(versions.ids())):
                    if self._is_old(version):
                        lease.renew()
                        loader.remove(version)
                        versions.remove(version)
                        structlog.get_logger().info("erased_version_removed", version=version)
        except VersionError as error:
            structlog.get_logger().info("erased_versions_kept", reason=str(error))
            return False
        return versions.remove_unfinished()

    def remove_from_disk(self) -> bool:
        """Removes them from this host's disk alone; False if another process publishes or activates."""
        if not any(self._is_old(version) for version in self._versions.ids()):
            return True
        try:
            with self._versions.switching(LOCK_S):
                for version in self._versions.ids():
                    if self._is_old(version):
                        self._versions.remove(version)
        except VersionError as error:
            structlog.get_logger().info("erased_versions_kept", reason=str(error))
            return False
        return True

    def _is_old(self, version: str) -> bool:
        if version == self._active:
            return False
        manifest = _manifest(self._loader, self._versions, version)
        since = self._erased.since(_started(version)) if manifest is None else missing_erasures(manifest, self._erased)
        return not since.keys() <= self.missing.keys()

    def _stored(self) -> set[str]:
        """The ids of versions of which the store holds any key, listed or not."""
        prefix = self._loader.keys.version("")[:-1]
        matches = {_OF_VERSION.match(key, len(prefix)) for key in self._loader.store.scan(prefix)}
        return self._loader.held() | {match[0] for match in matches if match is not None}


def _manifest(loader: Loader, versions: Versions, version: str) -> Manifest | None:
    """The manifest of a version in the store or on disk; None if neither has a readable one."""
    try:
        if (stored := loader.manifest(version)) is not None:
            return stored
        return versions.manifest(version) if version in versions.ids() else None
    except ArtefactError:
        return None


def _started(version: str) -> int:
    """The start of a version's night, from its id, microseconds; 0 if the id has no date."""
    try:
        return int(datetime.strptime(version[:16], "%Y%m%dT%H%M%S%z").timestamp()) * MICROSECONDS
    except ValueError:
        return 0


def _first_time(erasures: dict[str, int]) -> str:
    """The time of the first erasure, for a message."""
    return f"{datetime.fromtimestamp(min(erasures.values()) // MICROSECONDS, UTC):%Y-%m-%d %H:%M:%S} UTC"
