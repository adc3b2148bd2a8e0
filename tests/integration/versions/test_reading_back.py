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


def test_a_host_without_the_files_fills_them_from_the_store(place) -> None:
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


def test_replacing_a_damaged_table_keeps_what_the_store_does_not_carry(place) -> None:
    version = place.publish()
    directory = place.versions.path(version)
    (directory / "tables" / "flags.npy").write_bytes(b"?")
    pull_tables(place.store, version, place.versions, keys=place.keys)
    assert place.versions.is_whole(version)
    assert Tables.open(directory / "tables").flags[7] == 6


def test_a_damaged_piece_in_the_store_is_refused_and_leaves_nothing(place) -> None:
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


def test_progress_ends_at_all_bytes(place) -> None:
    seen: list[tuple[int, int]] = []
    version = place.make()
    path = place.versions.path(version)
    publish(path, place.store, place.versions, keys=place.keys, progress=lambda done, total: seen.append((done, total)))
    rooms = ("tables/", "model/", "blocks/blocks.bin")
    total = sum(record.bytes for name, record in Manifest.read(path).files.items() if name.startswith(rooms))
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def _listed(place) -> list[Any]:
    return catalogue(place.store, place.versions, keys=place.keys)


def test_the_catalogue_names_every_version_and_where_it_is(place) -> None:
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


def test_processes_that_do_not_follow_are_named(place) -> None:
    place.store.set(place.keys.process("web-1"), b"new", ttl_s=10)
    assert wait_until_served(place.store, "new", keys=place.keys, wait_s=5) == {}
    place.store.set(place.keys.process("web-2"), b"old", ttl_s=10)
    place.store.set(place.keys.process("web-3"), b"", ttl_s=10)
    assert wait_until_served(place.store, "new", keys=place.keys, wait_s=0.1) == {"web-2": "old", "web-3": ""}
    assert served(place.store, keys=Keys("another-network")) == {}
