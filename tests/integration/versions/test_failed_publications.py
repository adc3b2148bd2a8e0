"""A publication that fails, at whatever point, leaves the active version as it was."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from models.errors import (
    ArtefactError,
    CorruptRecordError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    VersionError,
)
from models.publishing.catalogue import catalogue
from models.publishing.pointer import read_pointer
from models.publishing.publish import pull_tables
from models.publishing.publish_lock import switching
from models.store.protocol import SyncStore
from models.version.local_versions import Versions


class Faulty:
    """A store that fails or lies at one operation."""

    def __init__(self, store: SyncStore, **replaced: Callable[..., Any]) -> None:
        self._store = store
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(self._store, name)


def test_a_damaged_version_is_refused_by_name_and_the_active_one_untouched(place) -> None:
    version, damaged = place.publish(), place.make()
    path = place.versions.path(damaged) / "tables" / "flags.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtefactError, match=r"flags\.npy is altered"):
        place.publish(version=damaged)
    assert place.active == version
    assert place.of_version(damaged) == set()


def test_a_store_that_loses_records_gets_no_pointer(place) -> None:
    version, lost = place.publish(), place.make()

    def forgetful(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        place.store.set_many(list(pairs)[1:], ttl_s)

    with pytest.raises(StoreRefusedError, match=r"kept .* records"):
        place.publish(Faulty(place.store, set_many=forgetful), lost)
    assert place.active == version
    assert place.of_version(lost) == set()


def test_a_store_that_alters_records_gets_no_pointer(place) -> None:
    version, altered = place.publish(), place.make()

    def careless(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        place.store.set_many(((key, value[:-1]) for key, value in pairs), ttl_s)

    with pytest.raises(StoreRefusedError, match="does not read back"):
        place.publish(Faulty(place.store, set_many=careless), altered)
    assert place.active == version


def test_a_killed_publication_leaves_the_active_version_and_is_cleaned_up(place) -> None:
    """A process killed in the middle of loading gets no chance to tidy up, so neither does this store."""
    version, killed = place.publish(), place.make()

    def half(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        place.store.set_many(list(pairs)[:5], ttl_s)
        raise StoreUnavailableError("killed")

    def gone(keys: Iterable[str]) -> int:
        raise StoreUnavailableError("killed")

    with pytest.raises(StoreError, match="killed"):
        place.publish(Faulty(place.store, set_many=half, delete=lambda keys: 0, scan=gone), killed)
    assert place.active == version
    assert place.never_expires(version)
    assert len(place.of_version(killed)) == 5
    with pytest.raises(VersionError, match="does not hold"):
        pull_tables(place.store, killed, Versions(place.versions.home / "elsewhere"), keys=place.keys)
    shutil.rmtree(place.versions.path(killed))
    following = place.publish()
    assert place.active == following
    assert place.of_version(killed) == set()
    assert [entry.version for entry in catalogue(place.store, place.versions, keys=place.keys)] == [following, version]


def test_a_publication_killed_after_the_flip_is_completed_by_the_next_run(place) -> None:
    first, second, third = place.publish(), place.publish(), place.make()

    def killed(keys: Iterable[str], ttl_s: float | None) -> int:
        raise StoreUnavailableError("killed")

    with pytest.raises(StoreUnavailableError):
        place.publish(Faulty(place.store, expire_many=killed), third)
    assert place.active == third
    place.publish(version=third)
    assert place.expires(first)
    assert place.never_expires(second)
    assert place.rollback() == second


def test_a_switch_meanwhile_is_noticed(place) -> None:
    first, second, late = place.publish(), place.publish(), place.make()

    def overtaken(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        place.store.set_many(pairs, ttl_s)
        place.store.set(place.keys.active, b'{"version":"%s","activated_at":"2026-01-01T00:00:00Z"}' % first.encode())

    with pytest.raises(VersionError, match="meanwhile"):
        place.publish(Faulty(place.store, set_many=overtaken), late)
    assert place.active == first
    assert second != first


def test_a_pointer_that_does_not_read_back_is_refused_by_name(place) -> None:
    place.store.set(place.keys.active, b"{")
    with pytest.raises(CorruptRecordError, match="pointer"):
        read_pointer(place.store, keys=place.keys)


def test_hosts_take_turns_and_a_dead_one_of_this_home_is_followed_at_once(place) -> None:
    there = Versions(place.versions.home / "there")
    with switching(place.store, there, place.keys):
        with pytest.raises(VersionError, match="another host"), switching(place.store, place.versions, place.keys, 0.1):
            pass
        died = place.store.get(place.keys.lease) or b""
    place.store.set(place.keys.lease, died)
    start = time.monotonic()
    with switching(place.store, there, place.keys):
        assert time.monotonic() - start < 1


KILLED = """
import os, signal, sys
from pathlib import Path
from models.store.keys import Keys
from models.publishing.publish import publish
from models.settings import Settings
from models.store.connect import open_sync
from models.version.local_versions import Versions

home, version = Path(sys.argv[1]), sys.argv[2]
store = open_sync(Settings(home=home))
store.count = lambda keys: os.kill(os.getpid(), signal.SIGKILL)  # all records are written, the manifest is not
publish(Versions(home).path(version), store, Versions(home), keys=Keys("pymk"))
"""


def test_a_process_killed_while_it_publishes_is_followed_at_once(real_place) -> None:
    """SIGKILL, a real server, and the same home: neither the lock nor the lease of the dead stands in the way."""
    first, killed = real_place.publish(), real_place.make()
    home = str(real_place.versions.home)
    died = subprocess.run([sys.executable, "-c", KILLED, home, killed], timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    assert real_place.active == first
    assert len(real_place.of_version(killed)) > 7
    start = time.monotonic()
    real_place.publish(version=killed)
    assert time.monotonic() - start < 5
    assert real_place.active == killed
    assert real_place.never_expires(killed)
    assert real_place.never_expires(first)
