"""Nights that are interrupted while their version begins to wait: somebody is told all the same."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from models.errors import StoreUnavailableError
from models.publishing.approvals.approval import approve, hold
from models.publishing.approvals.notices import Notices
from models.publishing.audit import Actor, read_audit
from models.publishing.decisions import read_decisions
from models.store.keys import Keys
from models.version.manifest import Manifest
from tests.support.memory_store import MemoryStore
from tests.support.stores import DyingStore
from tests.support.versions import MakeVersion, PublishingHarness

ANN = Actor("ann@host")


@dataclass(frozen=True)
class Recorded(Notices):
    """Notices that are written down; those of `broken` ways fail."""

    webhook: str | None = "http://127.0.0.1:9/"
    told: list[tuple[str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    meanwhile: Callable[[], object] = lambda: None

    def waiting(self, manifest: Manifest, told_by: Collection[str] = ()) -> set[str]:
        self.meanwhile()
        worked = self.ways - set(told_by) - self.broken
        self.told.extend((manifest.version, way) for way in sorted(worked))
        return worked


def waits(harness: PublishingHarness, version: str, notices: Notices, store: object = None) -> bool:
    return hold(store or harness.store, harness.versions, version, keys=harness.keys, notices=notices)  # type: ignore[arg-type]


def entries(harness: PublishingHarness, version: str) -> list[str]:
    return [entry.what for entry in read_audit(harness.store, harness.keys) if entry.version == version]


def test_a_night_interrupted_after_its_decision_tells_when_it_is_tried_again(harness: PublishingHarness) -> None:
    notices, version = Recorded(), harness.make()
    dying = DyingStore(harness.store, 0, lambda name, of: name == "compare_and_set" and of[0] == harness.keys.decisions)
    with pytest.raises(StoreUnavailableError):
        waits(harness, version, notices, dying)
    assert not notices.told
    assert not waits(harness, version, notices), "it waits already"
    assert notices.told == [(version, "webhook")]
    assert not waits(harness, version, notices)
    assert notices.told == [(version, "webhook")], "once"
    assert entries(harness, version) == ["waiting"]


def test_a_night_interrupted_anywhere_is_in_the_trail_once_and_tells(tmp_path: Path, make_version: MakeVersion) -> None:
    for left in range(1000):
        own = tmp_path / str(left)
        harness = PublishingHarness(own, MemoryStore(), Keys("pymk"), partial(make_version, own))
        notices, version = Recorded(), harness.make()
        dying = DyingStore(harness.store, left, lambda *_: True)
        with suppress(StoreUnavailableError):
            waits(harness, version, notices, dying)
        waits(harness, version, notices)
        assert entries(harness, version) == ["waiting"]
        assert set(notices.told) == {(version, "webhook")}
        assert read_decisions(harness.store, harness.keys)[version].told == ("webhook",)
        if not dying.is_away:
            break
    assert left > 10


def test_a_notice_that_failed_is_tried_again_by_the_next_night(harness: PublishingHarness) -> None:
    notices = Recorded(command="true", broken={"webhook"})
    first, second, third = harness.make(), harness.make(), harness.make()
    assert waits(harness, first, notices)
    assert notices.told == [(first, "command")]
    notices.broken.clear()
    assert waits(harness, second, notices)
    assert notices.told[1:] == [(first, "webhook"), (second, "command"), (second, "webhook")]
    approve(harness.store, harness.versions, second, keys=harness.keys, by=ANN)
    assert waits(harness, third, notices)
    assert notices.told[4:] == [(third, "command"), (third, "webhook")], "nobody is told of what waits no more"


def test_a_decision_meanwhile_stands(harness: PublishingHarness) -> None:
    version = harness.make()

    def decide() -> None:
        approve(harness.store, harness.versions, version, keys=harness.keys, by=ANN)

    assert waits(harness, version, Recorded(meanwhile=decide))
    assert read_decisions(harness.store, harness.keys)[version].state == "approved"


def test_of_a_decision_of_an_earlier_release_nobody_is_told_again(harness: PublishingHarness) -> None:
    version, notices = harness.make(), Recorded()
    assert hold(harness.store, harness.versions, version, keys=harness.keys)
    content = harness.store.get(harness.keys.decisions)
    assert content is not None
    earlier = content.replace(b',"told":[]', b"")
    assert earlier != content
    harness.store.set(harness.keys.decisions, earlier)
    assert waits(harness, harness.make(), notices)
    assert version not in {told for told, _ in notices.told}
