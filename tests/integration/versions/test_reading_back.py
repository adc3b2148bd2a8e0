"""What other hosts and people get to see of versions: their files, a list of them, who serves them."""

import shutil
from typing import Any

import pytest

from models.errors import ArtefactError
from models.publishing.catalogue import catalogue
from models.publishing.publish import publish, pull_tables
from models.publishing.serving_processes import served, wait_until_served
from models.store.keys import Keys
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from tests.support.versions import PublishingHarness


def test_a_host_without_the_files_fills_them_from_the_store(harness: PublishingHarness) -> None:
    version = harness.publish()
    elsewhere = Versions(harness.versions.home / "elsewhere")
    directory = pull_tables(harness.store, version, elsewhere, keys=harness.keys)
    assert directory == elsewhere.path(version)
    assert Tables.open(directory / "tables").profile(1) == {"name": "Bea", "company": "Acme"}
    assert (directory / "model" / "ranker.json").is_file()
    assert not elsewhere.is_whole(version)
    inode = (directory / "tables" / "flags.npy").stat().st_ino
    pull_tables(harness.store, version, elsewhere, keys=harness.keys)
    assert (directory / "tables" / "flags.npy").stat().st_ino == inode, "what is there is not fetched again"
    (directory / "tables" / "flags.npy").write_bytes(b"?")
    pull_tables(harness.store, version, elsewhere, keys=harness.keys)
    assert Tables.open(directory / "tables").flags[7] == 6, "a damaged copy is replaced"


def test_replacing_a_damaged_table_keeps_what_the_store_does_not_carry(harness: PublishingHarness) -> None:
    version = harness.publish()
    directory = harness.versions.path(version)
    (directory / "tables" / "flags.npy").write_bytes(b"?")
    pull_tables(harness.store, version, harness.versions, keys=harness.keys)
    assert harness.versions.is_whole(version)
    assert Tables.open(directory / "tables").flags[7] == 6


def test_a_damaged_piece_in_the_store_is_refused_and_leaves_nothing(harness: PublishingHarness) -> None:
    version = harness.publish()
    elsewhere = Versions(harness.versions.home / "elsewhere")
    piece = harness.keys.piece(version, "tables/flags.npy", 0)
    content = harness.store.get(piece) or b""
    harness.store.set(piece, content[:-1] + b"?")
    with pytest.raises(ArtefactError, match=r"flags\.npy is altered"):
        pull_tables(harness.store, version, elsewhere, keys=harness.keys)
    harness.store.delete([piece])
    with pytest.raises(ArtefactError, match=r"piece 0 of tables/flags\.npy"):
        pull_tables(harness.store, version, elsewhere, keys=harness.keys)
    assert elsewhere.ids() == []


def test_progress_ends_at_all_bytes(harness: PublishingHarness) -> None:
    seen: list[tuple[int, int]] = []
    version = harness.make()
    path = harness.versions.path(version)
    publish(
        path,
        harness.store,
        harness.versions,
        keys=harness.keys,
        progress=lambda done, total: seen.append((done, total)),
    )
    rooms = ("tables/", "model/", "blocks/blocks.bin")
    total = sum(record.bytes for name, record in Manifest.read(path).files.items() if name.startswith(rooms))
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def _listed(harness: PublishingHarness) -> list[Any]:
    return catalogue(harness.store, harness.versions, keys=harness.keys)


def test_the_catalogue_names_every_version_and_where_it_is(harness: PublishingHarness) -> None:
    first, second, third = harness.publish(), harness.publish(), harness.publish()
    shutil.rmtree(harness.versions.path(first))
    unpublished = harness.make()
    listed = _listed(harness)
    assert [entry.version for entry in listed] == [unpublished, third, second, first]
    assert [entry.active for entry in listed] == [False, True, False, False]
    assert [entry.previous for entry in listed] == [False, False, True, False]
    assert [entry.on_disk for entry in listed] == [True, True, True, False]
    assert [entry.in_store for entry in listed] == [False, True, True, True]
    assert (listed[1].users, listed[1].recall, listed[1].ratio) == (8, 0.5, 1.25)
    (harness.versions.path(unpublished) / "manifest.json").write_bytes(b"{")
    assert "cannot be read" in _listed(harness)[0].fault


def test_processes_that_do_not_follow_are_named(harness: PublishingHarness) -> None:
    harness.store.set(harness.keys.process("web-1"), b"new", ttl_s=10)
    assert wait_until_served(harness.store, "new", keys=harness.keys, wait_s=5) == {}
    harness.store.set(harness.keys.process("web-2"), b"old", ttl_s=10)
    harness.store.set(harness.keys.process("web-3"), b"", ttl_s=10)
    assert wait_until_served(harness.store, "new", keys=harness.keys, wait_s=0.1) == {"web-2": "old", "web-3": ""}
    assert served(harness.store, keys=Keys("another-network")) == {}
