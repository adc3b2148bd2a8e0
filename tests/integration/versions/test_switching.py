"""Publishing, activating, rolling back: what is served, what expires and what comes back."""

import json
import secrets
import shutil
import time
from collections.abc import Iterable
from typing import Any

import pytest

from models.errors import VersionError
from models.live_state.flag_change import FlagChange
from models.live_state.visibility import (
    HiddenSet,
    append_change_blocking,
    follow_blocking,
    number_of,
)
from models.publishing.pointer import read_pointer
from models.publishing.publish_lock import Lease
from models.schema.columns import Flag
from models.store.keys import CHUNK_BYTES
from models.store.throttled_write import SHORT_BYTES
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from tests.support.versions import PublishingHarness


def test_nothing_is_active_before_the_first_publication(harness: PublishingHarness) -> None:
    assert harness.active is None
    with pytest.raises(VersionError, match="nothing is published"):
        harness.rollback()


def test_a_published_version_is_wholly_in_the_store(harness: PublishingHarness) -> None:
    version = harness.publish()
    assert harness.active == version
    blocks = Blocks.open(harness.versions.path(version) / "blocks", 8)
    stored = harness.store.get_many([harness.keys.block(version, row) for row in range(8)])
    assert stored == [blocks.record(row) or None for row in range(8)]
    assert Block.unpack(stored[0] or b"").rows.tolist() == [4, 5, 6, 7]
    manifest = Manifest.parse(harness.store.get(harness.keys.manifest(version)) or b"", "store")
    assert manifest == harness.versions.manifest(version)
    assert manifest.published_at is not None
    assert harness.never_expires(version)


def test_publishing_again_changes_nothing(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.publish()
    before = read_pointer(harness.store, keys=harness.keys)
    harness.publish(version=second)
    assert read_pointer(harness.store, keys=harness.keys) == before
    assert harness.rollback() == first


def test_the_store_keeps_two_and_the_disk_three(harness: PublishingHarness) -> None:
    made = [harness.publish() for _ in range(5)]
    assert harness.versions.ids() == [made[4], made[3], made[2]]
    assert harness.never_expires(made[4])
    assert harness.never_expires(made[3])
    assert harness.expires(made[2])


def test_publications_do_not_prolong_what_already_expires(harness: PublishingHarness) -> None:
    first = harness.publish()
    harness.publish()
    harness.publish()
    harness.store.expire_many([harness.keys.manifest(first), *harness.of_version(first)], 500)
    harness.publish()
    assert (harness.store.ttl_s(harness.keys.manifest(first)) or 0) <= 500


def test_rollback_walks_back_as_far_as_there_is(harness: PublishingHarness) -> None:
    first, second, third = harness.publish(), harness.publish(), harness.publish()
    assert [harness.rollback(), harness.rollback()] == [second, first]
    assert harness.active == first
    assert harness.never_expires(first), "it was expiring, and must not once it is active"
    with pytest.raises(VersionError, match=f"no version was active before {first}"):
        harness.rollback()
    assert harness.active == first
    harness.activate(third)
    assert harness.active == third
    assert harness.never_expires(third)
    assert harness.rollback() == first


def test_activating_the_active_version_changes_nothing(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.publish()
    harness.activate(second)
    assert harness.rollback() == first


def test_a_version_that_has_left_the_store_is_loaded_from_its_files(harness: PublishingHarness) -> None:
    first = harness.publish()
    harness.publish()
    harness.publish()
    harness.store.delete(harness.store.scan(harness.keys.version(first)))
    harness.activate(first)
    assert harness.active == first
    assert harness.never_expires(first)


def test_whoever_reads_while_a_version_is_loaded_gets_a_turn_after_each_short_write(harness: PublishingHarness) -> None:
    version = harness.make()
    directory = harness.versions.path(version)
    (directory / "tables" / "large.bin").write_bytes(bytes(3 * CHUNK_BYTES))
    Manifest.read(directory).with_files(directory).write(directory)
    writes: list[int] = []

    class Watched:
        """Somebody reads after each write."""

        def __getattr__(self, name: str) -> Any:
            return getattr(harness.store, name)

        def set_many(self, pairs: Iterable[tuple[str, bytes]], ttl_s: float | None = None) -> None:
            written = list(pairs)
            harness.store.set_many(written, ttl_s)
            writes.append(sum(len(value) for _, value in written))
            harness.store.get_many(["anything"] * 1000)

    harness.publish(Watched(), version)
    assert harness.never_expires(version)
    assert sum(writes) > 3 * CHUNK_BYTES
    assert max(writes) < CHUNK_BYTES + SHORT_BYTES


def test_a_version_about_to_expire_is_loaded_from_its_files(harness: PublishingHarness) -> None:
    first = harness.publish()
    harness.publish()
    harness.publish()
    harness.store.expire_many(harness.of_version(first), 30)
    harness.store.delete([harness.keys.block(first, 3)])
    harness.activate(first)
    assert harness.store.get(harness.keys.block(first, 3)) is not None
    assert harness.never_expires(first)


def test_a_superseded_version_needs_no_files_to_come_back(harness: PublishingHarness) -> None:
    first = harness.publish()
    harness.publish()
    harness.publish()
    shutil.rmtree(harness.versions.path(first))
    harness.activate(first)
    assert harness.never_expires(first)


def test_ranked_lists_expire_whatever_becomes_of_their_version(harness: PublishingHarness) -> None:
    first = harness.publish()
    ranked = harness.keys.ranked(first, 0, "web")
    harness.store.set(ranked, b"list", ttl_s=300)
    harness.publish()
    harness.publish()
    assert 0 < (harness.store.ttl_s(ranked) or 0) <= 300, "superseding does not prolong it"
    harness.activate(first)
    assert 0 < (harness.store.ttl_s(ranked) or 0) <= 300, "reviving does not make it last"


def test_a_version_of_nowhere_is_refused_by_name(harness: PublishingHarness) -> None:
    version = harness.publish()
    with pytest.raises(VersionError, match="20200101T000000Z-000000"):
        harness.activate("20200101T000000Z-000000")
    assert harness.active == version


def test_changes_of_flags_that_every_version_knows_are_forgotten(harness: PublishingHarness) -> None:
    version = harness.publish()
    cut = harness.versions.manifest(version).cut_us
    for user_id, timestamp_us in (("ann", cut - 1), ("bea", cut), ("cid", cut + 1)):
        append_change_blocking(harness.store, harness.keys, FlagChange(user_id, timestamp_us, {Flag.ACTIVE: False}))
    hidden = HiddenSet()
    harness.publish()
    assert [change.user_id for change in follow_blocking(harness.store, harness.keys, hidden)] == ["cid"]
    assert number_of(hidden.epoch) == 3


def test_a_lease_of_a_dead_host_whose_clock_was_hours_ahead_is_taken_over(
    harness: PublishingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.publishing.publish_lock.LEASE_S", 0.5)
    ahead = json.dumps({"home": "elsewhere:/srv", "token": "dead", "until": time.time() + 7200}).encode()
    harness.store.set(harness.keys.lease, ahead)
    version = harness.publish()
    assert harness.active == version


def test_a_host_whose_clock_is_ahead_takes_no_lease_over(
    harness: PublishingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Lease(harness.store, harness.keys.lease, "elsewhere:/srv").take()
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 7200)
    assert not Lease(harness.store, harness.keys.lease, "here:/srv").take()


def test_a_lease_that_is_renewed_is_not_taken_over(harness: PublishingHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.publishing.publish_lock.LEASE_S", 0.5)

    def renew() -> None:
        lease = {"home": "elsewhere:/srv", "token": secrets.token_hex(4), "until": time.time() + 7200}
        harness.store.set(harness.keys.lease, json.dumps(lease).encode())

    renew()
    lease = Lease(harness.store, harness.keys.lease, "here:/srv")
    for _ in range(6):
        assert not lease.take()
        time.sleep(0.2)
        renew()
