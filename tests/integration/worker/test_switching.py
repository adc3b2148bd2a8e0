"""A switch of versions loses nobody, whoever replays."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from models.candidate_refresh.refresher import LoadedVersion, Refresher
from models.candidate_refresh.replay import replay, replaying
from models.publishing.publish import activate, publish, rollback
from models.schema.event_kinds import EventKind
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from tests.support.memory_store import MemoryStore
from tests.support.worker import CLIQUES, KEYS, PEOPLE, MutualFriendsGenerator, WorkerHarness

CONNECT = EventKind.CONNECT


def test_a_switch_loses_nobody(harness: WorkerHarness) -> None:
    harness.write_profile("zoe", company="Firm d")
    harness.write((CONNECT, "a0", "c0"))
    harness.work()
    version, seen = harness.copy_version(1), list[set[str]]()

    def watched(manifest: Manifest, progress: Callable[[int, int], None]) -> None:
        replaying(harness.store, harness.versions, KEYS, 90)(manifest, progress)
        assert harness.version != version, "it is replayed before the switch"
        seen.append(harness.by_friends(harness.block("a0", version)))
        assert harness.newcomer("zoe", version) is not None

    publish(harness.versions.path(version), harness.store, harness.versions, keys=KEYS, replay=watched)
    assert seen[0] >= set(CLIQUES["c"]) - {"c0"}
    assert harness.version == version
    rollback(harness.store, harness.versions, keys=KEYS, replay=replaying(harness.store, harness.versions, KEYS, 90))
    assert harness.by_friends(harness.block("a0")) >= set(CLIQUES["c"]) - {"c0"}


def test_a_worker_replays_for_those_who_cannot(harness: WorkerHarness) -> None:
    harness.write((CONNECT, "a0", "c0"))
    harness.work()
    version = harness.copy_version(1)
    stop = harness.worker._stop
    thread = threading.Thread(target=harness.worker.run)
    thread.start()
    sampled_viewers = replaying(harness.store, harness.versions, KEYS, 90, wait_s=20, open_here=False)
    activate(harness.store, harness.versions, version, keys=KEYS, replay=sampled_viewers)
    assert int(harness.store.get(KEYS.replayed(version)) or 0) > 0
    assert harness.by_friends(harness.block("a0", version)) >= set(CLIQUES["c"]) - {"c0"}
    stop.set()
    thread.join()


def test_without_a_replay_the_worker_that_follows_makes_up_for_it(harness: WorkerHarness) -> None:
    harness.write((CONNECT, "a0", "c0"))
    harness.work()
    version = harness.copy_version(1)
    activate(harness.store, harness.versions, version, keys=KEYS)
    assert not harness.by_friends(harness.block("a0", version)) & set(CLIQUES["c"])
    harness.work()
    assert harness.by_friends(harness.block("a0", version)) >= set(CLIQUES["c"]) - {"c0"}


def test_a_replay_does_everybody_even_where_many_share_a_timestamp(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.candidate_refresh.replay.READ_AT_ONCE", 3)
    versions, store = Versions(prepared), MemoryStore()
    directory = versions.path(versions.ids()[0])
    tables, manifest = Tables.open(directory / "tables"), Manifest.read(directory)
    timestamp_us = manifest.cut_us + 5
    store.timestamps_raise(KEYS.touched, {person: timestamp_us + (person[0] == "d") for person in PEOPLE})
    refresher = Refresher(store, KEYS, 90, ("web",))
    assert replay(refresher, LoadedVersion(manifest, tables, MutualFriendsGenerator(tables))).people == len(PEOPLE)
    assert all(store.get(KEYS.block(manifest.version, row)) for row in tables.vocabulary.rows(PEOPLE).tolist())
