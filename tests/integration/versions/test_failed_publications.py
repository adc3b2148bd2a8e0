"""A publication that fails, at whatever point, leaves the active version as it was."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

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
from models.version.local_versions import Versions
from tests.support.stores import ReplacedOperations
from tests.support.versions import PublishingHarness


def test_a_damaged_version_is_refused_by_name_and_the_active_one_untouched(harness: PublishingHarness) -> None:
    version, damaged = harness.publish(), harness.make()
    path = harness.versions.path(damaged) / "tables" / "flags.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtefactError, match=r"flags\.npy is altered"):
        harness.publish(version=damaged)
    assert harness.active == version
    assert harness.of_version(damaged) == set()


def test_a_store_that_loses_records_gets_no_pointer(harness: PublishingHarness) -> None:
    version, lost = harness.publish(), harness.make()

    def forgetful(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        harness.store.set_many(list(pairs)[1:], ttl_s)

    with pytest.raises(StoreRefusedError, match=r"kept .* records"):
        harness.publish(ReplacedOperations(harness.store, set_many=forgetful), lost)
    assert harness.active == version
    assert harness.of_version(lost) == set()


def test_a_store_that_alters_records_gets_no_pointer(harness: PublishingHarness) -> None:
    version, altered = harness.publish(), harness.make()

    def careless(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        harness.store.set_many(((key, value[:-1]) for key, value in pairs), ttl_s)

    with pytest.raises(StoreRefusedError, match="does not read back"):
        harness.publish(ReplacedOperations(harness.store, set_many=careless), altered)
    assert harness.active == version


def test_a_killed_publication_leaves_the_active_version_and_is_cleaned_up(harness: PublishingHarness) -> None:
    """A process killed in the middle of loading gets no chance to tidy up, so neither does this store."""
    version, killed = harness.publish(), harness.make()

    def half(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        harness.store.set_many(list(pairs)[:5], ttl_s)
        raise StoreUnavailableError("killed")

    def gone(keys: Iterable[str]) -> int:
        raise StoreUnavailableError("killed")

    with pytest.raises(StoreError, match="killed"):
        harness.publish(ReplacedOperations(harness.store, set_many=half, delete=lambda keys: 0, scan=gone), killed)
    assert harness.active == version
    assert harness.never_expires(version)
    assert len(harness.of_version(killed)) == 5
    with pytest.raises(VersionError, match="does not hold"):
        pull_tables(harness.store, killed, Versions(harness.versions.home / "elsewhere"), keys=harness.keys)
    shutil.rmtree(harness.versions.path(killed))
    following = harness.publish()
    assert harness.active == following
    assert harness.of_version(killed) == set()
    assert [entry.version for entry in catalogue(harness.store, harness.versions, keys=harness.keys)] == [
        following,
        version,
    ]


def test_a_publication_killed_after_the_flip_is_completed_by_the_next_run(harness: PublishingHarness) -> None:
    first, second, third = harness.publish(), harness.publish(), harness.make()

    def killed(keys: Iterable[str], ttl_s: float | None) -> int:
        raise StoreUnavailableError("killed")

    with pytest.raises(StoreUnavailableError):
        harness.publish(ReplacedOperations(harness.store, expire_many=killed), third)
    assert harness.active == third
    harness.publish(version=third)
    assert harness.expires(first)
    assert harness.never_expires(second)
    assert harness.rollback() == second


def test_a_switch_meanwhile_is_noticed(harness: PublishingHarness) -> None:
    first, second, late = harness.publish(), harness.publish(), harness.make()

    def overtaken(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        harness.store.set_many(pairs, ttl_s)
        harness.store.set(
            harness.keys.active, b'{"version":"%s","activated_at":"2026-01-01T00:00:00Z"}' % first.encode()
        )

    with pytest.raises(VersionError, match="meanwhile"):
        harness.publish(ReplacedOperations(harness.store, set_many=overtaken), late)
    assert harness.active == first
    assert second != first


def test_a_pointer_that_does_not_read_back_is_refused_by_name(harness: PublishingHarness) -> None:
    harness.store.set(harness.keys.active, b"{")
    with pytest.raises(CorruptRecordError, match="pointer"):
        read_pointer(harness.store, keys=harness.keys)


def test_hosts_take_turns_and_a_dead_one_of_this_home_is_followed_at_once(harness: PublishingHarness) -> None:
    there = Versions(harness.versions.home / "there")
    with switching(harness.store, there, harness.keys):
        with (
            pytest.raises(VersionError, match="another host"),
            switching(harness.store, harness.versions, harness.keys, 0.1),
        ):
            pass
        died = harness.store.get(harness.keys.lease) or b""
    harness.store.set(harness.keys.lease, died)
    start = time.monotonic()
    with switching(harness.store, there, harness.keys):
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


def test_a_process_killed_while_it_publishes_is_followed_at_once(embedded_harness: PublishingHarness) -> None:
    """SIGKILL, a real server, and the same home: neither the lock nor the lease of the dead stands in the way."""
    first, killed = embedded_harness.publish(), embedded_harness.make()
    home = str(embedded_harness.versions.home)
    died = subprocess.run([sys.executable, "-c", KILLED, home, killed], timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    assert embedded_harness.active == first
    assert len(embedded_harness.of_version(killed)) > 7
    start = time.monotonic()
    embedded_harness.publish(version=killed)
    assert time.monotonic() - start < 5
    assert embedded_harness.active == killed
    assert embedded_harness.never_expires(killed)
    assert embedded_harness.never_expires(first)
