"""Which versions still hold somebody who was erased: they are not switched to, and are taken away.

A version knows an erasure where its cut is not before it, or where its night read of it and left the person out.
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
"""how long taking versions away waits for somebody who publishes or activates"""

_OF_VERSION = re.compile(VERSION_PATTERN.rstrip("$").lstrip("^"))


def unknown_erasures(manifest: Manifest, erased: ErasedPeople) -> dict[str, int]:
    """Hashes and stamps of the erasures that a version does not know."""
    since, left_out = erased.since(manifest.cut_us), manifest.erasures
    return {name: timestamp_us for name, timestamp_us in since.items() if left_out.get(name, 0) < timestamp_us}


def refuse_erased(loader: Loader, versions: Versions, version: str) -> None:
    """Raises VersionError where a version was made before an erasure: it may not become active again."""
    erased = read_erased(loader.store, loader.keys)
    if not len(erased):
        return
    manifest = _manifest(loader, versions, version)
    if manifest is None:
        if later := erased.since(_began(version)):
            raise VersionError(
                f"version {version} was made before somebody was erased ({_said(later)}) and is gone; pymk versions "
                "lists those that are left"
            )
    elif unknown := unknown_erasures(manifest, erased):
        raise VersionError(
            f"version {version} was made before somebody was erased ({_said(unknown)}) and still holds that person: it "
            "cannot be activated, nor rolled back to; pymk nightly makes a version without"
        )


def refuse_outdated(loader: Loader, versions: Versions, manifest: Manifest, active: str) -> None:
    """Raises VersionError where a version that is to be published holds somebody whom the active one has not."""
    erased, current = read_erased(loader.store, loader.keys), _manifest(loader, versions, active)
    if manifest.version == active or current is None or not len(erased):
        return
    known = unknown_erasures(current, erased)
    again = {
        name: timestamp_us for name, timestamp_us in unknown_erasures(manifest, erased).items() if name not in known
    }
    if again:
        raise VersionError(
            f"version {manifest.version} was begun before somebody was erased ({_said(again)}), whom the active one "
            "does not hold; run pymk nightly again"
        )


class OldVersions:
    """The versions in the store and on this host's disk that hold erased people whom the active one has not.

    What it says is of the moment when it was made.
    """

    def __init__(self, loader: Loader, versions: Versions, active: str | None) -> None:
        self._loader, self._versions, self._active = loader, versions, active
        self._erased = read_erased(loader.store, loader.keys)
        manifest = None if active is None else _manifest(loader, versions, active)
        everybody = self._erased.since(0)
        self.unknown: dict[str, int] = everybody if manifest is None else unknown_erasures(manifest, self._erased)
        """hashes and stamps of the erasures that the active version does not know; all where none is active"""

    def serving(self) -> list[str]:
        """Names of the live processes that serve one of them."""
        served = serving_processes.served(self._loader.store, keys=self._loader.keys)
        return sorted(name for name, version in served.items() if version and self._is_old(version))

    def remove(self) -> bool:
        """Takes them away from store and disk, and what dead runs left beside them; whether all of it is gone.

        False where somebody is publishing or activating, or making a version.
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
            structlog.get_logger().info("erased_versions_kept", why=str(error))
            return False
        return versions.remove_leftovers()

    def remove_from_disk(self) -> bool:
        """Takes them off this host's disk alone, as every host does for itself; False where somebody is switching."""
        if not any(self._is_old(version) for version in self._versions.ids()):
            return True
        try:
            with self._versions.switching(LOCK_S):
                for version in self._versions.ids():
                    if self._is_old(version):
                        self._versions.remove(version)
        except VersionError as error:
            structlog.get_logger().info("erased_versions_kept", why=str(error))
            return False
        return True

    def _is_old(self, version: str) -> bool:
        if version == self._active:
            return False
        manifest = _manifest(self._loader, self._versions, version)
        since = self._erased.since(_began(version)) if manifest is None else unknown_erasures(manifest, self._erased)
        return not since.keys() <= self.unknown.keys()

    def _stored(self) -> set[str]:
        """Ids of which the store holds any key, be they listed or not."""
        beginning = self._loader.keys.version("")[:-1]
        found = {_OF_VERSION.match(key, len(beginning)) for key in self._loader.store.scan(beginning)}
        return self._loader.held() | {one[0] for one in found if one is not None}


def _manifest(loader: Loader, versions: Versions, version: str) -> Manifest | None:
    """The manifest of a version in the store or on disk; None where neither has one that reads back."""
    try:
        if (stored := loader.manifest(version)) is not None:
            return stored
        return versions.manifest(version) if version in versions.ids() else None
    except ArtefactError:
        return None


def _began(version: str) -> int:
    """When the night of a version began, by its id, microseconds; 0 where the id is of no day."""
    try:
        return int(datetime.strptime(version[:16], "%Y%m%dT%H%M%S%z").timestamp()) * MICROSECONDS
    except ValueError:
        return 0


def _said(erasures: dict[str, int]) -> str:
    """When the first of them was."""
    return f"{datetime.fromtimestamp(min(erasures.values()) // MICROSECONDS, UTC):%Y-%m-%d %H:%M:%S} UTC"
