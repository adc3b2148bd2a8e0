"""Switches that are interrupted before the audit trail says so: it has every one of them, once."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from models.errors import StoreUnavailableError
from models.publishing import publish
from models.publishing.audit import Actor, AuditEntry, read_audit, write_audit
from models.publishing.pointer import ActivePointer, read_pointer
from models.store.protocol import STREAM_START, SyncStore
from tests.support.stores import DyingStore
from tests.support.versions import PublishingHarness

ANN = Actor("ann@host", "odd lists")
Switching = Callable[[SyncStore], object]


def interrupted(harness: PublishingHarness, switch: Switching) -> datetime:
    """Switches, which is interrupted as soon as the pointer is set; returns when that was."""
    dying = DyingStore(harness.store, 0, lambda name, of: name == "compare_and_set" and of[0] == harness.keys.active)
    with pytest.raises(StoreUnavailableError):
        switch(dying)
    pointer = read_pointer(harness.store, keys=harness.keys)
    assert pointer is not None
    return pointer.activated_at


def activation(harness: PublishingHarness, version: str) -> Switching:
    return lambda store: publish.activate(store, harness.versions, version, keys=harness.keys, by=ANN)


def rolling_back(harness: PublishingHarness) -> Switching:
    return lambda store: publish.rollback(store, harness.versions, keys=harness.keys, by=ANN)


def stored(harness: PublishingHarness) -> list[AuditEntry]:
    """The entries in the store, without what reading adds."""
    return [
        AuditEntry.model_validate_json(content)
        for _, content in harness.store.stream_read(harness.keys.audit, STREAM_START, 100)
    ]


def told(entries: list[AuditEntry]) -> list[tuple[str, str, str | None]]:
    return [(entry.what, entry.version, entry.before) for entry in entries]


def test_a_switch_that_was_interrupted_is_in_the_trail(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.publish()
    at = interrupted(harness, activation(harness, first))
    (latest, *others) = read_audit(harness.store, harness.keys)
    expected = AuditEntry(at=at, who="ann@host", what="activated", version=first, before=second, note="odd lists")
    assert latest == expected
    assert [one.what for one in others] == ["published", "published"]


def test_the_next_switch_writes_the_entry_of_one_that_was_interrupted(harness: PublishingHarness) -> None:
    first, second, third = harness.publish(), harness.publish(), harness.publish()
    interrupted(harness, rolling_back(harness))
    interrupted(harness, activation(harness, first))
    harness.activate(third)
    switches = [
        ("published", first, None),
        ("published", second, first),
        ("published", third, second),
        ("rolled_back", second, third),
        ("activated", first, second),
        ("activated", third, first),
    ]
    assert told(stored(harness)) == switches
    assert told(read_audit(harness.store, harness.keys)) == switches[::-1]
    assert [entry.note for entry in stored(harness)] == [None, None, None, "odd lists", "odd lists", None]


def test_a_repeated_call_writes_the_entry_of_the_one_that_was_interrupted(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.publish()
    interrupted(harness, activation(harness, first))
    harness.activate(first)
    harness.activate(first)
    assert told(stored(harness))[-1] == ("activated", first, second)
    assert len(stored(harness)) == 3
    assert stored(harness)[-1].who == "ann@host", "who switched, not who completed it"


def test_a_pointer_of_an_earlier_release_has_no_switch_to_tell(harness: PublishingHarness) -> None:
    first, second = harness.publish(), harness.publish()
    earlier = ActivePointer(version=second, activated_at=datetime.now(UTC), before=(first,))
    content = earlier.model_dump_json(exclude={"switch"}).encode()
    harness.store.set(harness.keys.active, content)
    assert len(read_audit(harness.store, harness.keys)) == 2
    harness.activate(second)
    assert len(stored(harness)) == 2
    assert harness.rollback() == first
    assert told(stored(harness))[-1] == ("rolled_back", first, second)


def test_an_entry_that_the_trail_dropped_is_not_written_again(
    harness: PublishingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.publishing.audit.MOST", 10)
    version = harness.publish()
    for number in range(30):
        write_audit(harness.store, harness.keys, "forced", f"v{number}", ANN)
    assert version not in {entry.version for entry in read_audit(harness.store, harness.keys)}
