"""Publishing, activating, rolling back: the same on the store in memory and on a real server."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.block import Block
from models.blocks import Blocks
from models.catalogue import catalogue
from models.errors import (
    ArtefactError,
    CorruptRecordError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    VersionError,
)
from models.keys import Keys
from models.lease import switching
from models.manifest import Manifest
from models.processes import served, wait_until_served
from models.publishing import activate, active, publish, pull_tables, rollback
from models.settings import Settings
from models.store.memory import MemoryStore
from models.store.opening import open_sync
from models.store.protocol import SyncStore
from models.tables import Tables
from models.versions import Versions


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncStore]:
    store = open_sync(Settings(home=tmp_path_factory.mktemp("store")))
    yield store
    store.close()


class Place:
    """A home, a store and the namespace of one test."""

    def __init__(self, home: Path, store: SyncStore, namespace: str, make: Callable[..., str]) -> None:
        self.store = store
        self.versions = Versions(home)
        self.keys = Keys(namespace)
        self.make = make

    def publish(self, store: SyncStore | None = None, version: str | None = None) -> str:
        version = version or self.make()
        publish(self.versions.path(version), store or self.store, self.versions, keys=self.keys)
        return version

    def activate(self, version: str, store: SyncStore | None = None) -> None:
        activate(store or self.store, self.versions, version, keys=self.keys)

    def rollback(self) -> str:
        return rollback(self.store, self.versions, keys=self.keys).version

    @property
    def active(self) -> str | None:
        pointer = active(self.store, keys=self.keys)
        return pointer and pointer.version

    def of_version(self, version: str) -> set[str]:
        """Its keys, ranked lists left out."""
        found = set(self.store.scan(self.keys.version(version)))
        return {key for key in found if not key.startswith(self.keys.ranked_lists(version))}

    def never_expires(self, version: str) -> bool:
        keys = self.of_version(version)
        return len(keys) > 7 and all(self.store.ttl_s(key) is None for key in keys)

    def expires(self, version: str) -> bool:
        keys = self.of_version(version)
        return len(keys) > 7 and all(self.store.ttl_s(key) is not None for key in keys)


@pytest.fixture(params=["memory", "embedded"])
def place(request: pytest.FixtureRequest, tmp_path: Path, make_version: Callable[..., str]) -> Place:
    store = MemoryStore() if request.param == "memory" else request.getfixturevalue("embedded")
    return Place(tmp_path, store, tmp_path.name, make_version)


class Faulty:
    """A store that fails or lies at one operation."""

    def __init__(self, store: SyncStore, **replaced: Callable[..., Any]) -> None:
        self._store = store
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(self._store, name)


def test_nothing_is_active_before_the_first_publication(place: Place) -> None:
    assert place.active is None
    with pytest.raises(VersionError, match="nothing is published"):
        place.rollback()


def test_a_published_version_is_wholly_in_the_store(place: Place) -> None:
    version = place.publish()
    assert place.active == version
    blocks = Blocks.open(place.versions.path(version) / "blocks", 8)
    stored = place.store.get_many([place.keys.block(version, row) for row in range(8)])
    assert stored == [blocks.record(row) or None for row in range(8)]
    assert Block.unpack(stored[0] or b"").rows.tolist() == [4, 5, 6, 7]
    manifest = Manifest.parse(place.store.get(place.keys.manifest(version)) or b"", "store")
    assert manifest == place.versions.manifest(version)
    assert manifest.published_at is not None
    assert place.never_expires(version)


def test_publishing_again_changes_nothing(place: Place) -> None:
    first, second = place.publish(), place.publish()
    before = active(place.store, keys=place.keys)
    place.publish(version=second)
    assert active(place.store, keys=place.keys) == before
    assert place.rollback() == first


def test_the_store_keeps_two_and_the_disk_three(place: Place) -> None:
    made = [place.publish() for _ in range(5)]
    assert place.versions.ids() == [made[4], made[3], made[2]]
    assert place.never_expires(made[4])
    assert place.never_expires(made[3])
    assert place.expires(made[2])


def test_publications_do_not_prolong_what_already_expires(place: Place) -> None:
    first = place.publish()
    place.publish()
    place.publish()
    place.store.expire_many([place.keys.manifest(first), *place.of_version(first)], 500)
    place.publish()
    assert (place.store.ttl_s(place.keys.manifest(first)) or 0) <= 500


def test_rollback_walks_back_as_far_as_there_is(place: Place) -> None:
    first, second, third = place.publish(), place.publish(), place.publish()
    assert [place.rollback(), place.rollback()] == [second, first]
    assert place.active == first
    assert place.never_expires(first), "it was expiring, and must not once it is active"
    with pytest.raises(VersionError, match=f"no version was active before {first}"):
        place.rollback()
    assert place.active == first
    place.activate(third)
    assert place.active == third
    assert place.never_expires(third)
    assert place.rollback() == first


def test_activating_the_active_version_changes_nothing(place: Place) -> None:
    first, second = place.publish(), place.publish()
    place.activate(second)
    assert place.rollback() == first


def test_a_version_that_has_left_the_store_is_loaded_from_its_files(place: Place) -> None:
    first = place.publish()
    place.publish()
    place.publish()
    place.store.delete(place.store.scan(place.keys.version(first)))
    place.activate(first)
    assert place.active == first
    assert place.never_expires(first)


def test_a_version_about_to_expire_is_loaded_from_its_files(place: Place) -> None:
    first = place.publish()
    place.publish()
    place.publish()
    place.store.expire_many(place.of_version(first), 30)
    place.store.delete([place.keys.block(first, 3)])
    place.activate(first)
    assert place.store.get(place.keys.block(first, 3)) is not None
    assert place.never_expires(first)


def test_a_superseded_version_needs_no_files_to_come_back(place: Place) -> None:
    first = place.publish()
    place.publish()
    place.publish()
    shutil.rmtree(place.versions.path(first))
    place.activate(first)
    assert place.never_expires(first)


def test_ranked_lists_expire_whatever_becomes_of_their_version(place: Place) -> None:
    first = place.publish()
    ranked = place.keys.ranked(first, 0, "web")
    place.store.set(ranked, b"list", ttl_s=300)
    place.publish()
    place.publish()
    assert 0 < (place.store.ttl_s(ranked) or 0) <= 300, "superseding does not prolong it"
    place.activate(first)
    assert 0 < (place.store.ttl_s(ranked) or 0) <= 300, "reviving does not make it last"


def test_a_version_of_nowhere_is_refused_by_name(place: Place) -> None:
    version = place.publish()
    with pytest.raises(VersionError, match="20200101T000000Z-000000"):
        place.activate("20200101T000000Z-000000")
    assert place.active == version


def test_a_damaged_version_is_refused_by_name_and_the_active_one_untouched(place: Place) -> None:
    version, damaged = place.publish(), place.make()
    path = place.versions.path(damaged) / "tables" / "flags.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtefactError, match=r"flags\.npy is altered"):
        place.publish(version=damaged)
    assert place.active == version
    assert place.of_version(damaged) == set()


def test_a_store_that_loses_records_gets_no_pointer(place: Place) -> None:
    version, lost = place.publish(), place.make()

    def forgetful(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        place.store.set_many(list(pairs)[1:], ttl_s)

    with pytest.raises(StoreRefusedError, match=r"kept .* records"):
        place.publish(Faulty(place.store, set_many=forgetful), lost)  # type: ignore[arg-type]
    assert place.active == version
    assert place.of_version(lost) == set()


def test_a_store_that_alters_records_gets_no_pointer(place: Place) -> None:
    version, altered = place.publish(), place.make()

    def careless(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        place.store.set_many(((key, value[:-1]) for key, value in pairs), ttl_s)

    with pytest.raises(StoreRefusedError, match="does not read back"):
        place.publish(Faulty(place.store, set_many=careless), altered)  # type: ignore[arg-type]
    assert place.active == version


def test_a_killed_publication_leaves_the_active_version_and_is_cleaned_up(place: Place) -> None:
    """A process killed in the middle of loading gets no chance to tidy up, so neither does this store."""
    version, killed = place.publish(), place.make()

    def half(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        place.store.set_many(list(pairs)[:5], ttl_s)
        raise StoreUnavailableError("killed")

    def gone(keys: Iterable[str]) -> int:
        raise StoreUnavailableError("killed")

    with pytest.raises(StoreError, match="killed"):
        place.publish(Faulty(place.store, set_many=half, delete=lambda keys: 0, scan=gone), killed)  # type: ignore[arg-type]
    assert place.active == version
    assert place.never_expires(version)
    assert len(place.of_version(killed)) == 5
    with pytest.raises(VersionError, match="does not hold"):
        pull_tables(place.store, killed, Versions(place.versions.home / "elsewhere"), keys=place.keys)
    shutil.rmtree(place.versions.path(killed))
    following = place.publish()
    assert place.active == following
    assert place.of_version(killed) == set()
    assert [entry.version for entry in _listed(place)] == [following, version]


def test_a_publication_killed_after_the_flip_is_completed_by_the_next_run(place: Place) -> None:
    first, second, third = place.publish(), place.publish(), place.make()

    def killed(keys: Iterable[str], ttl_s: float | None) -> int:
        raise StoreUnavailableError("killed")

    with pytest.raises(StoreUnavailableError):
        place.publish(Faulty(place.store, expire_many=killed), third)  # type: ignore[arg-type]
    assert place.active == third
    place.publish(version=third)
    assert place.expires(first)
    assert place.never_expires(second)
    assert place.rollback() == second


def test_a_switch_meanwhile_is_noticed(place: Place) -> None:
    first, second, late = place.publish(), place.publish(), place.make()

    def overtaken(pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
        place.store.set_many(pairs, ttl_s)
        place.store.set(place.keys.active, b'{"version":"%s","activated_at":"2026-01-01T00:00:00Z"}' % first.encode())

    with pytest.raises(VersionError, match="meanwhile"):
        place.publish(Faulty(place.store, set_many=overtaken), late)  # type: ignore[arg-type]
    assert place.active == first
    assert second != first


def test_a_pointer_that_does_not_read_back_is_refused_by_name(place: Place) -> None:
    place.store.set(place.keys.active, b"{")
    with pytest.raises(CorruptRecordError, match="pointer"):
        active(place.store, keys=place.keys)


def test_hosts_take_turns_and_a_dead_one_of_this_home_is_followed_at_once(place: Place) -> None:
    there = Versions(place.versions.home / "there")
    with switching(place.store, there, place.keys):
        with pytest.raises(VersionError, match="another host"), switching(place.store, place.versions, place.keys, 0.1):
            pass
        died = place.store.get(place.keys.lease) or b""
    place.store.set(place.keys.lease, died)
    start = time.monotonic()
    with switching(place.store, there, place.keys):
        assert time.monotonic() - start < 1


def test_a_host_without_the_files_fills_them_from_the_store(place: Place) -> None:
    version = place.publish()
    elsewhere = Versions(place.versions.home / "elsewhere")
    directory = pull_tables(place.store, version, elsewhere, keys=place.keys)
    assert directory == elsewhere.path(version)
    assert Tables.open(directory / "tables").profile(1) == {"name": "Bea", "company": "Acme"}
    assert (directory / "model" / "ranker.json").is_file()
    assert not elsewhere.is_whole(version)
    inode = (directory / "tables" / "flags.npy").stat().st_ino
    pull_tables(place.store, version, elsewhere, keys=place.keys)
    assert (directory / "tables" / "flags.npy").stat().st_ino == inode, "what is there is not fetched again"
    (directory / "tables" / "flags.npy").write_bytes(b"?")
    pull_tables(place.store, version, elsewhere, keys=place.keys)
    assert Tables.open(directory / "tables").flags[7] == 6, "a damaged copy is replaced"


def test_a_damaged_piece_in_the_store_is_refused_and_leaves_nothing(place: Place) -> None:
    version = place.publish()
    elsewhere = Versions(place.versions.home / "elsewhere")
    piece = place.keys.piece(version, "tables/flags.npy", 0)
    content = place.store.get(piece) or b""
    place.store.set(piece, content[:-1] + b"?")
    with pytest.raises(ArtefactError, match=r"flags\.npy is altered"):
        pull_tables(place.store, version, elsewhere, keys=place.keys)
    place.store.delete([piece])
    with pytest.raises(ArtefactError, match=r"piece 0 of tables/flags\.npy"):
        pull_tables(place.store, version, elsewhere, keys=place.keys)
    assert elsewhere.ids() == []


def test_progress_ends_at_all_bytes(place: Place) -> None:
    seen: list[tuple[int, int]] = []
    version = place.make()
    path = place.versions.path(version)
    publish(path, place.store, place.versions, keys=place.keys, progress=lambda done, total: seen.append((done, total)))
    rooms = ("tables/", "model/", "blocks/blocks.bin")
    total = sum(record.bytes for name, record in Manifest.read(path).files.items() if name.startswith(rooms))
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def _listed(place: Place) -> list[Any]:
    return catalogue(place.store, place.versions, keys=place.keys)


def test_the_catalogue_names_every_version_and_where_it_is(place: Place) -> None:
    first, second, third = place.publish(), place.publish(), place.publish()
    shutil.rmtree(place.versions.path(first))
    unpublished = place.make()
    listed = _listed(place)
    assert [entry.version for entry in listed] == [unpublished, third, second, first]
    assert [entry.active for entry in listed] == [False, True, False, False]
    assert [entry.previous for entry in listed] == [False, False, True, False]
    assert [entry.on_disk for entry in listed] == [True, True, True, False]
    assert [entry.in_store for entry in listed] == [False, True, True, True]
    assert (listed[1].users, listed[1].recall, listed[1].ratio) == (8, 0.5, 1.25)
    (place.versions.path(unpublished) / "manifest.json").write_bytes(b"{")
    assert "cannot be read" in _listed(place)[0].fault


def test_processes_that_do_not_follow_are_named(place: Place) -> None:
    place.store.set(place.keys.process("web-1"), b"new", ttl_s=10)
    assert wait_until_served(place.store, "new", keys=place.keys, wait_s=5) == {}
    place.store.set(place.keys.process("web-2"), b"old", ttl_s=10)
    place.store.set(place.keys.process("web-3"), b"", ttl_s=10)
    assert wait_until_served(place.store, "new", keys=place.keys, wait_s=0.1) == {"web-2": "old", "web-3": ""}
    assert served(place.store, keys=Keys("another-network")) == {}


KILLED = """
import os, signal, sys
from pathlib import Path
from models.keys import Keys
from models.publishing import publish
from models.settings import Settings
from models.store.opening import open_sync
from models.versions import Versions

home, version = Path(sys.argv[1]), sys.argv[2]
store = open_sync(Settings(home=home))
store.count = lambda keys: os.kill(os.getpid(), signal.SIGKILL)  # all records are written, the manifest is not
publish(Versions(home).path(version), store, Versions(home), keys=Keys("pymk"))
"""


def test_a_process_killed_while_it_publishes_is_followed_at_once(
    tmp_path: Path, make_version: Callable[..., str]
) -> None:
    """SIGKILL, a real server, and the same home: neither the lock nor the lease of the dead stands in the way."""
    store = open_sync(Settings(home=tmp_path))
    try:
        place = Place(tmp_path, store, "pymk", make_version)
        first, killed = place.publish(), place.make()
        died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), killed], timeout=60, check=False)
        assert died.returncode == -signal.SIGKILL
        assert place.active == first
        assert len(place.of_version(killed)) > 7
        start = time.monotonic()
        place.publish(version=killed)
        assert time.monotonic() - start < 5
        assert place.active == killed
        assert place.never_expires(killed)
        assert place.never_expires(first)
    finally:
        store.close()
