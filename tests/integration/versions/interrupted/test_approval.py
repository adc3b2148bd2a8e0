"""Approvals whose store goes away on the way: what is served is not rejected, and a repeated call completes them."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from models.errors import StoreUnavailableError, VersionError
from models.publishing.approvals.approval import approve, hold, reject
from models.publishing.audit import Actor, read_audit
from models.publishing.decisions import read_decisions
from models.store.keys import Keys
from tests.support.memory_store import MemoryStore
from tests.support.stores import DyingStore
from tests.support.versions import MakeVersion, PublishingHarness

ANN, BEA = Actor("ann@host", "looks good"), Actor("bea@host", "too few")


def held(harness: PublishingHarness) -> str:
    version = harness.make()
    assert hold(harness.store, harness.versions, version, keys=harness.keys)
    return version


def dying(harness: PublishingHarness, left: int) -> DyingStore:
    """Goes away so many operations after the pointer was set."""
    return DyingStore(harness.store, left, lambda name, of: name == "compare_and_set" and of[0] == harness.keys.active)


def interrupted(harness: PublishingHarness, version: str, left: int = 0) -> None:
    """Approves a version, which is interrupted after the pointer was set."""
    with pytest.raises(StoreUnavailableError):
        approve(dying(harness, left), harness.versions, version, keys=harness.keys, by=ANN)
    assert harness.active == version


def state(harness: PublishingHarness, version: str) -> str:
    return read_decisions(harness.store, harness.keys)[version].state


def trail(harness: PublishingHarness, *versions: str) -> list[tuple[str, str]]:
    entries = read_audit(harness.store, harness.keys)
    return sorted((entry.what, entry.version) for entry in entries if entry.version in versions)


def attempts(home: Path, make: MakeVersion) -> Iterator[tuple[PublishingHarness, str, str]]:
    """An older version and one whose approval was interrupted, at each operation after the pointer was set."""
    for left in range(1000):
        own = home / str(left)
        harness = PublishingHarness(own, MemoryStore(), Keys("pymk"), partial(make, own))
        harness.publish()
        older, version = held(harness), held(harness)
        store = dying(harness, left)
        with suppress(StoreUnavailableError):
            approve(store, harness.versions, version, keys=harness.keys, by=ANN)
        if not store.is_away:
            return
        yield harness, older, version


def test_a_version_whose_approval_was_interrupted_is_not_rejected(harness: PublishingHarness) -> None:
    harness.publish()
    version = held(harness)
    interrupted(harness, version)
    assert state(harness, version) == "waiting"
    with pytest.raises(VersionError, match=f"was approved.*pymk approve {version} completes"):
        reject(harness.store, harness.versions, version, keys=harness.keys, by=BEA)
    assert harness.active == version
    assert harness.versions.is_whole(version)
    assert harness.never_expires(version)
    approve(harness.store, harness.versions, version, keys=harness.keys, by=ANN)
    assert state(harness, version) == "approved"


def test_an_approval_interrupted_anywhere_is_completed_once(tmp_path: Path, make_version: MakeVersion) -> None:
    count = 0
    for harness, older, version in attempts(tmp_path, make_version):
        with pytest.raises(VersionError, match="was approved"):
            reject(harness.store, harness.versions, version, keys=harness.keys, by=BEA)
        with suppress(VersionError):  # where all was written but the end of the lease
            approve(harness.store, harness.versions, version, keys=harness.keys, by=ANN)
        with pytest.raises(VersionError, match="was approved already, by ann@host"):
            approve(harness.store, harness.versions, version, keys=harness.keys, by=BEA)
        assert harness.active == version
        assert harness.versions.is_whole(version)
        assert (state(harness, older), state(harness, version)) == ("rejected", "approved")
        assert trail(harness, older, version) == [
            *sorted((("approved", version), ("published", version), ("rejected", older))),
            ("waiting", older),
            ("waiting", version),
        ]
        assert older not in harness.versions.ids()
        count += 1
    assert count > 10


def test_what_rollback_leads_to_is_neither_rejected_nor_superseded(harness: PublishingHarness) -> None:
    harness.publish()
    first, second = held(harness), held(harness)
    interrupted(harness, first)
    approve(harness.store, harness.versions, second, keys=harness.keys, by=BEA)
    assert state(harness, first) == "approved", "it was served, so the approval of another does not reject it"
    assert harness.rollback() == first
    assert harness.versions.is_whole(first)


def test_a_version_that_was_served_in_between_is_approved_without_being_served_again(
    harness: PublishingHarness,
) -> None:
    harness.publish()
    first = held(harness)
    interrupted(harness, first)
    second = harness.publish()
    with pytest.raises(VersionError, match="was approved"):
        reject(harness.store, harness.versions, first, keys=harness.keys, by=BEA)
    approve(harness.store, harness.versions, first, keys=harness.keys, by=ANN)
    assert (harness.active, state(harness, first)) == (second, "approved")
    assert harness.rollback() == first
