"""Publishing, activating, rolling back: what is served, what expires and what comes back."""

import shutil
from collections.abc import Iterable
from typing import Any

import pytest

from models.errors import VersionError
from models.live_state.visibility import (
    FlagChange,
    HiddenSet,
    append_change_blocking,
    follow_blocking,
)
from models.publishing.pointer import read_pointer
from models.schema.columns import Flag
from models.store.keys import CHUNK_BYTES
from models.store.throttled_write import SHORT_BYTES
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.manifest import Manifest


def test_nothing_is_active_before_the_first_publication(place) -> None:
    assert place.active is None
    with pytest.raises(VersionError, match="nothing is published"):
        place.rollback()


def test_a_published_version_is_wholly_in_the_store(place) -> None:
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


def test_publishing_again_changes_nothing(place) -> None:
    first, second = place.publish(), place.publish()
    before = read_pointer(place.store, keys=place.keys)
    place.publish(version=second)
    assert read_pointer(place.store, keys=place.keys) == before
    assert place.rollback() == first


def test_the_store_keeps_two_and_the_disk_three(place) -> None:
    made = [place.publish() for _ in range(5)]
    assert place.versions.ids() == [made[4], made[3], made[2]]
    assert place.never_expires(made[4])
    assert place.never_expires(made[3])
    assert place.expires(made[2])


def test_publications_do_not_prolong_what_already_expires(place) -> None:
    first = place.publish()
    place.publish()
    place.publish()
    place.store.expire_many([place.keys.manifest(first), *place.of_version(first)], 500)
    place.publish()
    assert (place.store.ttl_s(place.keys.manifest(first)) or 0) <= 500


def test_rollback_walks_back_as_far_as_there_is(place) -> None:
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


def test_activating_the_active_version_changes_nothing(place) -> None:
    first, second = place.publish(), place.publish()
    place.activate(second)
    assert place.rollback() == first


def test_a_version_that_has_left_the_store_is_loaded_from_its_files(place) -> None:
    first = place.publish()
    place.publish()
    place.publish()
    place.store.delete(place.store.scan(place.keys.version(first)))
    place.activate(first)
    assert place.active == first
    assert place.never_expires(first)


def test_whoever_reads_while_a_version_is_loaded_gets_a_turn_after_each_short_write(place) -> None:
    version = place.make()
    directory = place.versions.path(version)
    (directory / "tables" / "large.bin").write_bytes(bytes(3 * CHUNK_BYTES))
    Manifest.read(directory).with_files(directory).write(directory)
    writes: list[int] = []

    class Watched:
        """Somebody reads after each write."""

        def __getattr__(self, name: str) -> Any:
            return getattr(place.store, name)

        def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
            written = list(pairs)
            place.store.set_many(written, ttl_s)
            writes.append(sum(len(value) for _, value in written))
            place.store.get_many(["anything"] * 1000)

    place.publish(Watched(), version)
    assert place.never_expires(version)
    assert sum(writes) > 3 * CHUNK_BYTES
    assert max(writes) < CHUNK_BYTES + SHORT_BYTES


def test_a_version_about_to_expire_is_loaded_from_its_files(place) -> None:
    first = place.publish()
    place.publish()
    place.publish()
    place.store.expire_many(place.of_version(first), 30)
    place.store.delete([place.keys.block(first, 3)])
    place.activate(first)
    assert place.store.get(place.keys.block(first, 3)) is not None
    assert place.never_expires(first)


def test_a_superseded_version_needs_no_files_to_come_back(place) -> None:
    first = place.publish()
    place.publish()
    place.publish()
    shutil.rmtree(place.versions.path(first))
    place.activate(first)
    assert place.never_expires(first)


def test_ranked_lists_expire_whatever_becomes_of_their_version(place) -> None:
    first = place.publish()
    ranked = place.keys.ranked(first, 0, "web")
    place.store.set(ranked, b"list", ttl_s=300)
    place.publish()
    place.publish()
    assert 0 < (place.store.ttl_s(ranked) or 0) <= 300, "superseding does not prolong it"
    place.activate(first)
    assert 0 < (place.store.ttl_s(ranked) or 0) <= 300, "reviving does not make it last"


def test_a_version_of_nowhere_is_refused_by_name(place) -> None:
    version = place.publish()
    with pytest.raises(VersionError, match="20200101T000000Z-000000"):
        place.activate("20200101T000000Z-000000")
    assert place.active == version


def test_changes_of_flags_that_every_version_knows_are_forgotten(place) -> None:
    version = place.publish()
    cut = place.versions.manifest(version).cut_us
    for user_id, timestamp_us in (("ann", cut - 1), ("bea", cut), ("cid", cut + 1)):
        append_change_blocking(place.store, place.keys, FlagChange(user_id, timestamp_us, {Flag.ACTIVE: False}))
    hidden = HiddenSet()
    place.publish()
    assert [change.user_id for change in follow_blocking(place.store, place.keys, hidden)] == ["cid"]
    assert hidden.epoch == 3
