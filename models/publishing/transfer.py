"""Transfers a version from disk into the store, and from there to the disk of another host."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from models.errors import (
    ArtefactError,
    StoreError,
    StoreRefusedError,
    VersionError,
)
from models.publishing.serving_processes import live_former
from models.store.keys import CHUNK_BYTES, WHOLE, Keys
from models.store.protocol import SyncStore
from models.store.throttled_write import throttled_write
from models.system import disk
from models.version.block_file import Blocks
from models.version.manifest import Manifest
from models.version.tables import Tables

Progress = Callable[[int, int], None]
"""receives the bytes done and the bytes in total"""

CARRIED = ("tables", "model")
"""directories of a version whose files are in the store, for hosts that lack them"""

REVIVAL_S = 60.0
"""a superseded version this close to its expiry counts as expired"""

_SAMPLE = 256
_FETCHED_AT_ONCE = 8


def quiet(done: int, total: int) -> None:
    """Ignores progress."""


@dataclass(frozen=True)
class Loader:
    """Moves versions between disk and one store."""

    store: SyncStore
    keys: Keys

    def load(self, directory: Path, manifest: Manifest, progress: Progress = quiet) -> None:
        """Writes blocks and carried files of a version directory into the store, its manifest last.

        Before, every file is compared with its checksum; after, every key is counted and a sample is read back. Readers
        of other versions are not affected and keep half of the store's time. On failure the written keys are removed.
        Raises ArtefactError if a file differs from the manifest, StoreError if the store loses a key.
        """
        version = manifest.version
        manifest.verify(directory)
        if (n := Tables.open(directory / "tables").n) != manifest.users:
            raise ArtefactError(f"{directory / 'tables'} has {n} users, but the manifest has {manifest.users}")
        blocks = Blocks.open(directory / "blocks", manifest.users)
        total = len(blocks.content) + sum(manifest.files[name].bytes for name in _carried(manifest))
        try:
            is_new = self.store.members_add(self.keys.versions, [version.encode()]) == 1
            self.store.delete([self.keys.manifest(version)])
            if self.store.ttl_s(self.keys.newcomers(version)) is not None:  # it was about to expire, and they still are
                self.store.delete([self.keys.newcomers(version)])
            pairs = chain(self._block_pairs(version, blocks), self._piece_pairs(directory, manifest))
            throttled_write(self.store, _reporting(pairs, progress, total))
            self._check(directory, manifest, blocks)
            if is_new and not live_former(self.store, keys=self.keys):
                self.store.members_add(self.keys.newcomers(version), [WHOLE])
            self.store.set(self.keys.manifest(version), manifest.encode())
        except BaseException:
            with suppress(StoreError):  # the first error matters; the next publication removes what is left
                self.remove(version)
            raise

    def manifest(self, version: str) -> Manifest | None:
        """The manifest of a version that is complete in the store, or None."""
        content = self.store.get(self.keys.manifest(version))
        return None if content is None else Manifest.parse(content, f"the store's manifest of {version}")

    def revive(self, version: str) -> bool:
        """Removes the expiry of a superseded version; returns whether the store has the version without expiry."""
        key = self.keys.manifest(version)
        if self.store.get(key) is None:
            return False
        remaining = self.store.ttl_s(key)
        if remaining is None:
            return True
        if remaining < REVIVAL_S:
            return False
        self.store.expire_many(self._lasting(version), None)
        return self.store.expire_many([key], None) == 1

    def retire(self, version: str, ttl_s: float) -> None:
        """Lets a superseded version expire, its manifest last; removes an incomplete one."""
        key = self.keys.manifest(version)
        if self.store.get(key) is None:
            self.remove(version)
        elif self.store.ttl_s(key) is None:
            self.store.expire_many(self._lasting(version), ttl_s)
            self.store.expire_many([key], ttl_s)

    def remove(self, version: str) -> None:
        """Removes all keys of a version, its manifest first."""
        self.store.delete([self.keys.manifest(version)])
        self.store.delete(self.store.scan(self.keys.version(version)))
        self.store.members_remove(self.keys.versions, [version.encode()])

    def held(self) -> set[str]:
        """The ids of versions of which the store may hold keys."""
        return {member.decode() for member in self.store.members(self.keys.versions)}

    def fetch(self, version: str, directory: Path) -> Manifest:
        """Writes manifest, tables and model of a version from the store into an empty directory, and verifies them.

        Raises VersionError if the store does not have it, ArtefactError if a piece is missing or altered.
        """
        manifest = self.manifest(version)
        if manifest is None:
            raise VersionError(f"the store does not hold version {version}; activate it where its files are")
        for name in _carried(manifest):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with disk.room(path, manifest.files[name].bytes), path.open("wb") as file:
                pieces = _pieces(manifest.files[name].bytes)
                for first in range(0, pieces, _FETCHED_AT_ONCE):
                    chunks = range(first, min(first + _FETCHED_AT_ONCE, pieces))
                    values = self.store.get_many([self.keys.piece(version, name, chunk) for chunk in chunks])
                    for chunk, value in zip(chunks, values, strict=True):
                        if value is None:
                            raise ArtefactError(f"piece {chunk} of {name} of version {version} is not in the store")
                        file.write(value)
        manifest.verify(directory, CARRIED)
        manifest.write(directory)
        return manifest

    def _check(self, directory: Path, manifest: Manifest, blocks: Blocks) -> None:
        """Counts all keys, and compares a sample of the blocks and the last piece of each file with the files."""
        # all keys are there
        version, rows = manifest.version, blocks.rows()
        block_keys = (self.keys.block(version, row) for row in rows.tolist())
        piece_keys = (
            self.keys.piece(version, name, chunk)
            for name in _carried(manifest)
            for chunk in range(_pieces(manifest.files[name].bytes))
        )
        expected_count = len(rows) + sum(_pieces(manifest.files[name].bytes) for name in _carried(manifest))
        count = self.store.count(chain(block_keys, piece_keys))
        if count != expected_count:
            raise StoreRefusedError(
                f"the store kept {count} of {expected_count} records of version {version}; give it more memory, and an "
                "eviction policy that keeps keys without expiry (volatile-lru)"
            )
        # a sample reads back
        sample = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64))] if len(rows) else rows
        expected = {self.keys.block(version, row): blocks.record(row) for row in sample.tolist()}
        for name in _carried(manifest):
            if last := _pieces(manifest.files[name].bytes):
                with (directory / name).open("rb") as file:
                    file.seek((last - 1) * CHUNK_BYTES)
                    expected[self.keys.piece(version, name, last - 1)] = file.read()
        for key, value in zip(expected, self.store.get_many(list(expected)), strict=True):
            if value != expected[key]:
                raise StoreRefusedError(f"{key} does not read back as written")

    def _lasting(self, version: str) -> Iterator[str]:
        """The keys that a version may have, without its manifest and its ranked lists, which always expire.

        They follow from its manifest and the set of its newcomers; if the set is not whole, from a walk over all keys.
        """
        keys, newcomers, manifest = self.keys, self.keys.newcomers(version), self.manifest(version)
        people = self.store.members(newcomers)
        if manifest is None or WHOLE not in people:
            ranked = keys.ranked_lists(version)
            for key in self.store.scan(keys.version(version)):
                if key != keys.manifest(version) and not key.startswith(ranked):
                    yield key
            return
        yield from (keys.block(version, row) for row in range(manifest.users))
        for name in _carried(manifest):
            yield from (keys.piece(version, name, chunk) for chunk in range(_pieces(manifest.files[name].bytes)))
        yield from (keys.newcomer(version, person.decode()) for person in sorted(people - {WHOLE}))
        yield from (newcomers, keys.replayed(version), keys.followed(version))

    def _block_pairs(self, version: str, blocks: Blocks) -> Iterator[tuple[str, bytes]]:
        return ((self.keys.block(version, row), record) for row, record in blocks.records())

    def _piece_pairs(self, directory: Path, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
        for name in _carried(manifest):
            with (directory / name).open("rb") as file:
                chunk = 0
                while piece := file.read(CHUNK_BYTES):
                    yield self.keys.piece(manifest.version, name, chunk), piece
                    chunk += 1


def _carried(manifest: Manifest) -> list[str]:
    return [name for name in manifest.files if name.startswith(tuple(f"{directory}/" for directory in CARRIED))]


def _pieces(size: int) -> int:
    return -(-size // CHUNK_BYTES)


def _reporting(pairs: Iterator[tuple[str, bytes]], progress: Progress, total: int) -> Iterator[tuple[str, bytes]]:
    done = 0
    for key, value in pairs:
        yield key, value
        done += len(value)
        progress(done, total)
