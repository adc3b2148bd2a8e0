"""A switch of versions loses nobody, whoever replays."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.candidate_refresh.refresher import LoadedVersion, Refresher
from models.candidate_refresh.replay import replay, replaying
from models.publishing.publish import activate, publish, rollback
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.store.memory import MemoryStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from tests.support.mutual_friends_generator import MutualFriendsGenerator

KEYS = Keys("pymk")
CLIQUES = {name: [f"{name}{number}" for number in range(10)] for name in "abcd"}
CONNECT = EventKind.CONNECT

PEOPLE = [person for clique in CLIQUES.values() for person in clique]


def test_a_switch_loses_nobody(place: Any) -> None:
    place.put("zoe", company="Firm d")
    place.did((CONNECT, "a0", "c0"))
    place.works()
    version, seen = place.another(1), list[set[str]]()

    def watched(manifest: Manifest, progress: Callable[[int, int], None]) -> None:
        replaying(place.store, place.versions, KEYS, 90)(manifest, progress)
        assert place.version != version, "it is replayed before the switch"
        seen.append(place.by_friends(place.block("a0", version)))
        assert place.newcomer("zoe", version) is not None

    publish(place.versions.path(version), place.store, place.versions, keys=KEYS, replay=watched)
    assert seen[0] >= set(CLIQUES["c"]) - {"c0"}
    assert place.version == version
    rollback(place.store, place.versions, keys=KEYS, replay=replaying(place.store, place.versions, KEYS, 90))
    assert place.by_friends(place.block("a0")) >= set(CLIQUES["c"]) - {"c0"}


def test_a_worker_replays_for_those_who_cannot(place: Any) -> None:
    place.did((CONNECT, "a0", "c0"))
    place.works()
    version = place.another(1)
    stop = place.worker._stop
    thread = threading.Thread(target=place.worker.run)
    thread.start()
    sampled_viewers = replaying(place.store, place.versions, KEYS, 90, wait_s=20, open_here=False)
    activate(place.store, place.versions, version, keys=KEYS, replay=sampled_viewers)
    assert int(place.store.get(KEYS.replayed(version)) or 0) > 0
    assert place.by_friends(place.block("a0", version)) >= set(CLIQUES["c"]) - {"c0"}
    stop.set()
    thread.join()


def test_without_a_replay_the_worker_that_follows_makes_up_for_it(place: Any) -> None:
    place.did((CONNECT, "a0", "c0"))
    place.works()
    version = place.another(1)
    activate(place.store, place.versions, version, keys=KEYS)
    assert not place.by_friends(place.block("a0", version)) & set(CLIQUES["c"])
    place.works()
    assert place.by_friends(place.block("a0", version)) >= set(CLIQUES["c"]) - {"c0"}


def test_a_replay_does_everybody_even_where_many_share_a_stamp(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.candidate_refresh.replay.READ_AT_ONCE", 3)
    versions, store = Versions(made), MemoryStore()
    directory = versions.path(versions.ids()[0])
    tables, manifest = Tables.open(directory / "tables"), Manifest.read(directory)
    timestamp_us = manifest.cut_us + 5
    store.timestamps_raise(KEYS.touched, {person: timestamp_us + (person[0] == "d") for person in PEOPLE})
    refresher = Refresher(store, KEYS, 90, ("web",))
    assert replay(refresher, LoadedVersion(manifest, tables, MutualFriendsGenerator(tables))).people == len(PEOPLE)
    assert all(store.get(KEYS.block(manifest.version, row)) for row in tables.vocabulary.rows(PEOPLE).tolist())
