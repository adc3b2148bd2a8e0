"""What processes say of what they serve: as long as they serve it, found without a walk over all keys."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from models.publishing import serving_processes
from models.publishing.erasure_guard import OldVersions
from models.publishing.serving_processes import (
    Report,
    find_former,
    report,
    reports,
    served,
    wait_until_served,
    withdraw,
)
from models.publishing.transfer import Loader
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.tables import Tables
from service.container import build, open_store_clients
from tests.support.api import FirstFeature
from tests.support.clock import wait_for
from tests.support.stores import running_server
from tests.support.versions import MakeVersion, PublishingHarness
from tests.support.worker import MutualFriendsGenerator, make_worker

KEYS = Keys("pymk")
TTL_S = 0.6
OTHERS = 30_000
"""keys of others: a store in which nothing may walk over all keys"""


@pytest.fixture
def short_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports expire within TTL_S, and are repeated in good time."""
    monkeypatch.setattr(serving_processes, "TTL_S", TTL_S)
    monkeypatch.setattr("service.worker.worker.DEAD_S", TTL_S)
    for module in ("service.state.heartbeat.BEAT_S", "service.worker.worker.HEARTBEAT_S"):
        monkeypatch.setattr(module, TTL_S / 5)


class SlowDisk:
    """Opens the parts of a version, the second one only when `go` is set."""

    def __init__(self, open_part: Callable[[Path], Any]) -> None:
        self.go, self._open_part, self._opened = threading.Event(), open_part, 0

    def __call__(self, directory: Path) -> Any:
        self._opened += 1
        if self._opened > 1:
            assert self.go.wait(60)
        return self._open_part(directory)


@pytest.mark.usefixtures("short_lived")
def test_a_service_that_opens_a_version_for_long_says_meanwhile_what_it_serves(
    embedded_harness: PublishingHarness,
) -> None:
    harness, disk = embedded_harness, SlowDisk(lambda _: FirstFeature())
    first = harness.publish()
    settings = Settings(home=harness.versions.home, redis_timeout_ms=5000)

    async def serve_and_switch() -> None:
        async with build(settings, open_store_clients, disk) as parts:  # type: ignore[arg-type]
            assert parts.versions.active is not None
            second = await asyncio.to_thread(harness.publish)
            waited = {"wait_s": 4 * TTL_S, "keys": KEYS}
            behind = await asyncio.to_thread(wait_until_served, harness.store, second, **waited)
            assert list(behind.values()) == [first], "it still serves the former version"
            assert list(reports(harness.store, keys=KEYS).values()) == [Report(first, opens=second)]
            disk.go.set()
            assert await asyncio.to_thread(wait_until_served, harness.store, second, keys=KEYS, wait_s=60) == {}
        assert reports(harness.store, keys=KEYS) == {}, "it takes itself off the list"

    asyncio.run(serve_and_switch())


@pytest.mark.usefixtures("short_lived")
def test_admin_calls_that_take_all_threads_do_not_keep_a_version_from_being_opened(
    embedded_harness: PublishingHarness,
) -> None:
    harness = embedded_harness
    harness.publish()
    settings = Settings(home=harness.versions.home, redis_timeout_ms=5000)

    async def serve_and_switch() -> None:
        async with build(settings, open_store_clients, lambda _: FirstFeature()) as parts:
            busy = threading.Event()
            calls = [asyncio.create_task(asyncio.to_thread(busy.wait, 60)) for _ in range(64)]
            await asyncio.sleep(0)
            publishing = threading.Thread(target=harness.publish)
            publishing.start()
            before = parts.versions.active
            while parts.versions.active is before:  # noqa: ASYNC110  # the watcher polls, too
                await asyncio.sleep(0.02)
            publishing.join()
            busy.set()
            await asyncio.gather(*calls)

    asyncio.run(asyncio.wait_for(serve_and_switch(), 60))


@pytest.mark.usefixtures("short_lived")
def test_a_worker_that_opens_a_version_for_long_says_meanwhile_what_it_serves(
    embedded_harness: PublishingHarness,
) -> None:
    harness = embedded_harness
    disk = SlowDisk(lambda directory: MutualFriendsGenerator(Tables.open(directory / "tables")))
    first = harness.publish()
    worker = make_worker(harness.versions.home, harness.store, disk)  # type: ignore[arg-type]
    worker._open_generator = disk
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert wait_until_served(harness.store, first, keys=KEYS, wait_s=60) == {}
        wait_for(lambda: served(harness.store, keys=KEYS) == {"one": first})
        second = harness.publish()
        assert wait_until_served(harness.store, second, keys=KEYS, wait_s=4 * TTL_S) == {"one": first}
        assert reports(harness.store, keys=KEYS) == {"one": Report(first, opens=second)}
        disk.go.set()
        assert wait_until_served(harness.store, second, keys=KEYS, wait_s=60) == {}
    finally:
        disk.go.set()
        worker._stop.set()
        thread.join()


def test_an_erasure_waits_for_a_process_that_is_opening_an_old_version(
    embedded_harness: PublishingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = embedded_harness
    first, second = harness.publish(), harness.publish()
    monkeypatch.setattr(OldVersions, "_is_old", lambda _, version: version == first)
    report(harness.store, "web-1", Report(second, opens=first), keys=KEYS)
    report(harness.store, "web-2", Report(second), keys=KEYS)
    old = OldVersions(Loader(harness.store, KEYS), harness.versions, second)
    assert old.serving() == ["web-1"]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SyncStore, redis.Redis]]:
    """A server with many keys of others."""
    with running_server(tmp_path_factory.mktemp("crowded")) as port:
        store = open_sync(Settings(redis_url=f"redis://127.0.0.1:{port}"))
        store.set_many((f"other:{number}", b"x") for number in range(OTHERS))
        with redis.Redis(port=port) as client:
            yield store, client
        store.close()


def walks(client: redis.Redis) -> int:
    """SCAN commands that the server has answered."""
    stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_scan", {}).get("calls", 0))


def test_among_many_keys_of_others_processes_are_found_without_a_walk(
    crowded: tuple[SyncStore, redis.Redis],
) -> None:
    store, client = crowded
    keys = Keys("found")
    report(store, "web-1", Report("new"), keys=keys)
    report(store, "web-2", Report("old"), keys=keys)
    assert find_former(store, keys=keys) == set(), "every process walks once, in the background"
    before = walks(client)
    assert wait_until_served(store, "new", keys=keys, wait_s=0.2) == {"web-2": "old"}
    withdraw(store, "web-2", keys=keys)
    assert served(store, keys=keys) == {"web-1": "new"}
    assert walks(client) == before


def test_processes_of_former_releases_count_until_the_last_is_gone(crowded: tuple[SyncStore, redis.Redis]) -> None:
    """They write Keys.process alone."""
    store, client = crowded
    keys = Keys("upgrade")
    store.set(keys.process("former-1"), b"old", 60)
    assert served(store, keys=keys) == {"former-1": "old"}, "nobody of this release has started yet"
    store.delete([keys.process("former-1")])
    assert served(store, keys=keys) == {}
    # a downgrade of one host: the next process of this release that starts finds it
    store.set(keys.process("former-2"), b"old", 60)
    report(store, "web-1", Report("new"), keys=keys)
    assert find_former(store, keys=keys) == {"former-2"}
    store.set(keys.process("former-3"), b"old", 60)
    assert served(store, keys=keys) == {"former-2": "old", "former-3": "old", "web-1": "new"}
    store.delete([keys.process("former-2"), keys.process("former-3")])
    assert served(store, keys=keys) == {"web-1": "new"}
    before = walks(client)
    assert served(store, keys=keys) == {"web-1": "new"}
    assert walks(client) == before, "the upgrade is over"


def test_a_clock_that_is_hours_off_leaves_a_live_process_on_the_list(
    crowded: tuple[SyncStore, redis.Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = crowded
    keys, now = Keys("skewed"), time.time()
    monkeypatch.setattr(time, "time", lambda: now - 7200)
    report(store, "web-1", Report("old"), keys=keys)
    monkeypatch.setattr(time, "time", lambda: now + 7200)
    find_former(store, keys=keys)
    assert served(store, keys=keys) == {"web-1": "old"}
    assert store.ttl_s(keys.process("web-1")) is not None, "the store's clock decides when it counts as dead"


def test_the_record_forgets_processes_that_died_long_ago(crowded: tuple[SyncStore, redis.Redis]) -> None:
    store, _ = crowded
    keys = Keys("killed")
    store.fields_set(keys.live_processes, {"long-ago": b'{"opens":"","at":1.0}', "damaged": b"?"})
    report(store, "web-1", Report("new"), keys=keys)
    find_former(store, keys=keys)
    assert set(store.fields(keys.live_processes)) == {serving_processes.ALONE, "web-1"}


def test_a_switch_among_many_keys_of_others_walks_over_none_of_them(
    crowded: tuple[SyncStore, redis.Redis], tmp_path: Path, make_version: MakeVersion
) -> None:
    store, client = crowded
    harness = PublishingHarness(tmp_path, store, Keys("switched"), make_version)
    find_former(store, keys=harness.keys)
    before = walks(client)
    first, second = harness.publish(), harness.publish()
    newcomer = harness.keys.newcomer(first, "zoe")
    store.members_add(harness.keys.newcomers(first), [b"zoe"])
    store.set_many([(newcomer, b"record"), (harness.keys.replayed(first), b"1"), (harness.keys.followed(first), b"1")])
    third = harness.publish()
    assert store.ttl_s(newcomer) is not None
    assert walks(client) == before, "the superseded version expires by what is known of it"
    assert [harness.expires(first), harness.never_expires(second), harness.never_expires(third)] == [True] * 3
    before = walks(client)
    harness.activate(first)
    assert store.ttl_s(newcomer) is None
    assert walks(client) == before, "and lasts again by the same"
    assert [harness.never_expires(first), harness.expires(second), harness.never_expires(third)] == [True] * 3


def test_a_version_with_newcomers_of_a_former_release_expires_as_a_whole(
    crowded: tuple[SyncStore, redis.Redis], tmp_path: Path, make_version: MakeVersion
) -> None:
    store, _ = crowded
    harness = PublishingHarness(tmp_path, store, Keys("mixed"), make_version)
    find_former(store, keys=harness.keys)
    first = harness.publish()
    store.set(harness.keys.process("worker-former"), first.encode(), 60)
    store.set(harness.keys.newcomer(first, "zoe"), b"record")  # a former release does not enter her into the set
    find_former(store, keys=harness.keys)
    harness.publish()
    store.delete([harness.keys.process("worker-former")])
    harness.publish()
    assert store.ttl_s(harness.keys.newcomer(first, "zoe")) is not None
    assert harness.expires(first)
