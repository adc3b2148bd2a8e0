"""The versions on this host's disk."""

import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from models.errors import ArtefactError, VersionError
from models.system import disk, files
from models.version.manifest import FILE_NAME, VERSION_PATTERN, Manifest

KEPT = 3
"""versions that stay on disk: the active one and two for rollback"""

_STAGING = ".staging-"
_ASSEMBLY_WAIT_S = 600.0


def new_id(start: datetime | None = None) -> str:
    """A version id for a run that starts at this moment (aware): its UTC second and six random hexadecimal digits."""
    moment = (start or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class Versions:
    """Versions under `home`/versions, each a directory named by its id; only complete ones have such a name."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.directory = home / "versions"

    def path(self, version: str) -> Path:
        """The directory of a version, which may not exist. Raises VersionError if the id is not valid."""
        if not re.fullmatch(VERSION_PATTERN, version):
            raise VersionError(f"{version!r} is no version id; pymk versions lists them")
        return self.directory / version

    def ids(self) -> list[str]:
        """Ids of the versions on disk, newest first."""
        if not self.directory.is_dir():
            return []
        names = (path.name for path in self.directory.iterdir() if (path / FILE_NAME).is_file())
        return sorted((name for name in names if re.fullmatch(VERSION_PATTERN, name)), reverse=True)

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version on disk.

        Raises VersionError if there is no such version, ArtefactError if its manifest cannot be read or belongs to
        another.
        """
        directory = self.path(version)
        if not (directory / FILE_NAME).is_file():
            raise VersionError(f"version {version} is not in {self.directory}; pymk versions lists those that are")
        manifest = Manifest.read(directory)
        if manifest.version != version:
            raise ArtefactError(f"{directory / FILE_NAME} is altered: it is of version {manifest.version}")
        return manifest

    def is_whole(self, version: str) -> bool:
        """Whether every file of the version is on disk with its size; contents are not read."""
        directory = self.path(version)
        return (directory / FILE_NAME).is_file() and self.manifest(version).is_whole(directory)

    @contextmanager
    def staging(self, version: str) -> Iterator[Path]:
        """An empty directory to build a version in, manifest included; at the end it is renamed to the version.

        It is removed if the block raises. Other processes wait until it is closed.
        Raises ArtefactError if no manifest of this version was written.
        """
        final = self.path(version)
        with files.locked(self._staging_lock, _ASSEMBLY_WAIT_S) as is_locked:
            if not is_locked:
                raise VersionError(f"another process has been writing a version in {self.directory} for ten minutes")
            directory = self.directory / f"{_STAGING}{version}"
            files.remove_tree(directory)
            directory.mkdir()
            try:
                with disk.room(directory):  # before what was written is removed
                    yield directory
                if Manifest.read(directory).version != version:
                    raise ArtefactError(f"{directory / FILE_NAME} is of another version than {version}")
                files.put_in_place(directory, final)
            finally:
                files.remove_tree(directory)

    @contextmanager
    def switching(self, wait_s: float = 60.0) -> Iterator[None]:
        """Lets one process of this host at a time publish, activate or roll back.

        Raises VersionError if another process still does after `wait_s` seconds.
        """
        with files.locked(self.directory / ".switching.lock", wait_s) as is_locked:
            if not is_locked:
                raise VersionError(
                    f"another pymk is publishing or activating in {self.home}; try again when it is done"
                )
            yield

    def sweep(self, protected: Iterable[str], keep: int = KEPT, waiting: Collection[str] = ()) -> list[str]:
        """Removes all but `keep` versions and those `waiting`, and what dead runs left; returns the removed ids.

        `protected` are ids by importance: the active version, the one that rollback activates, earlier ones. The first
        two stay even if `keep` is less; the newest of the others fill the rest.
        """
        first = list(dict.fromkeys(protected))
        on_disk = [version for version in self.ids() if version not in waiting]
        kept = [version for version in dict.fromkeys([*first, *on_disk]) if version in on_disk]
        removed = [version for version in on_disk if version not in {*kept[:keep], *first[:2]}]
        for version in removed:
            self.remove(version)
        self.remove_unfinished()
        return removed

    def remove(self, version: str) -> None:
        """Removes a version from this host's disk, if it is there."""
        files.remove_tree(self.path(version))

    def remove_unfinished(self) -> bool:
        """Removes staging directories and partly removed versions; False if a live process is building one."""
        if not self.directory.is_dir():
            return True
        with files.locked(self._staging_lock, 0.0) as is_locked:
            if not is_locked:
                return False
            for path in self.directory.iterdir():
                if path.is_dir() and (
                    path.name.startswith(_STAGING) or (path.name[0] == "." and path.suffix == ".old")
                ):
                    files.remove_tree(path)
        return True

    @property
    def _staging_lock(self) -> Path:
        return self.directory / ".staging.lock"
