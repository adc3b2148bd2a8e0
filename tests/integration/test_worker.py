"""The worker on the embedded store: candidates follow what people do, and nothing is lost on the way."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import anyio
import pytest

from models import publishing
from models.block import Block
from models.events import EventKind
from models.keys import SHARDS, Keys
from models.live.archive import Archive
from models.live.changes import write_erasure, write_profile
from models.live.log import Event
from models.live.newcomer import Newcomer
from models.live.plain_maker import PlainMaker
from models.live.refreshing import Edition, Maker, Refresher
from models.live.replay import replay, replaying
from models.live.version_maker import VersionMaker, open_maker
from models.live.writing import write_events
from models.manifest import Manifest
from models.settings import Settings
from models.sources import Source
from models.store.memory import AsyncMemoryStore, MemoryStore
from models.store.opening import open_async, open_sync
from models.store.protocol import AsyncStore, SyncStore
from models.tables import Tables
from models.versions import Versions
from offline.config import NightConfig
from offline.night import Night
from service.worker import Worker

KEYS = Keys("pymk")
CLIQUES = {name: [f"{name}{number}" for number in range(10)] for name in "abcd"}
PEOPLE = [person for clique in CLIQUES.values() for person in clique]
BRIDGE = ("a9", "b0")
CONNECT, DISCONNECT = EventKind.CONNECT, EventKind.DISCONNECT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one version of four cliques of ten, each at a company, a and b joined by a bridge; not published."""
    data, home = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("home")
    (data / "users.csv").write_text(
        "".join(f"{line}\n" for line in ["user_id,company", *(f"{one},Firm {one[0]}" for one in PEOPLE)])
    )
    pairs = [pair for clique in CLIQUES.values() for pair in combinations(clique, 2)] + [BRIDGE]
    (data / "connections.csv").write_text("".join(f"{line}\n" for line in ["user_id,other_id", *map(",".join, pairs)]))
    Night(data=data, home=home, store=MemoryStore(), keys=KEYS, config=NightConfig()).run()
    return home


@pytest.fixture(scope="module")
def maker(made: Path) -> VersionMaker:
    """The maker of that version."""
    return open_maker(Versions(made).path(Versions(made).ids()[0]))


@dataclass
class Place:
    """A home whose version is published, its store, and one worker whose turns the test calls."""

    home: Path
    store: SyncStore
    worker: Worker

    @property
    def versions(self) -> Versions:
        return Versions(self.home)

    @property
    def version(self) -> str:
        pointer = publishing.active(self.store, keys=KEYS)
        assert pointer is not None
        return pointer.version

    @property
    def tables(self) -> Tables:
        return Tables.open(self.versions.path(self.version) / "tables")

    def did(self, *events: tuple[EventKind, str, str]) -> None:
        self._write(lambda store: write_events(store, KEYS, [Event(kind, one, other) for kind, one, other in events]))

    def put(self, user_id: str, **columns: Any) -> None:
        self._write(lambda store: write_profile(store, KEYS, user_id, columns))

    def erased(self, user_id: str) -> None:
        self._write(lambda store: write_erasure(store, KEYS, user_id))

    def _write(self, write: Callable[[AsyncStore], Any]) -> None:
        async def run() -> None:
            opened: AsyncStore
            if isinstance(self.store, MemoryStore):
                opened = AsyncMemoryStore(self.store)
            else:
                opened = await open_async(Settings(home=self.home, redis_timeout_ms=5000))
            await write(opened)
            if not isinstance(self.store, MemoryStore):
                await opened.aclose()

        anyio.run(run)

    def works(self) -> None:
        """Turns until there is nothing left to do."""
        worked(self.worker)

    def block(self, person: str, version: str | None = None) -> dict[str, int]:
        """The candidates in somebody's block, with their source bits."""
        version = version or self.version
        tables = Tables.open(self.versions.path(version) / "tables")
        row = tables.vocabulary.row(person)
        record = self.store.get(KEYS.block(version, row if row is not None else -1))
        assert record is not None
        return named(tables, Block.unpack(record))

    def newcomer(self, person: str, version: str | None = None) -> dict[str, int] | None:
        """The same of a newcomer; None where there is no record."""
        record = self.store.get(KEYS.newcomer(version or self.version, person))
        return None if record is None else named(self.tables, Newcomer.unpack(record).block)

    def another(self, hours: float) -> str:
        """A copy of the version among the versions, made so much later: the same tables, another cut."""
        manifest = self.versions.manifest(self.version)
        start = manifest.created_at + timedelta(hours=hours)
        version = f"{start:%Y%m%dT%H%M%SZ}-00000a"
        directory = Path(shutil.copytree(self.versions.path(self.version), self.versions.path(version)))
        fields = {"version": version, "created_at": start, "live_cut": manifest.cut_us + 1}
        (directory / "manifest.json").write_bytes(manifest.model_copy(update=fields).encode())
        return version


def named(tables: Tables, block: Block) -> dict[str, int]:
    rows = zip(block.rows.tolist(), block.sources.tolist(), strict=True)
    return {tables.vocabulary.user_id(row): bits for row, bits in rows}


def by_friends(block: dict[str, int]) -> set[str]:
    return {person for person, bits in block.items() if bits & Source.FRIENDS_OF_FRIENDS}


def worked(worker: Worker, ahead_s: float = 0.0) -> None:
    """Turns until three in a row found nothing; `ahead_s` later than it is."""
    idle = 0
    for _ in range(300):
        idle = 0 if worker.log.turn() + worker.turn(time.time() + ahead_s) else idle + 1
        if idle == 3:
            return
    raise AssertionError("the worker does not come to an end")


def worker_of(home: Path, store: SyncStore, maker: Maker, name: str = "one") -> Worker:
    return Worker(
        store,
        Versions(home),
        KEYS,
        lambda _: maker,
        name=name,
        stop=threading.Event(),
        superseded_ttl_s=60,
        forbidden_days=90,
        exposure_limit=3,
    )


@pytest.fixture
def place(made: Path, maker: VersionMaker, tmp_path: Path) -> Iterator[Place]:
    shutil.copytree(made / "versions", tmp_path / "versions")
    store = open_sync(Settings(home=tmp_path))
    versions = Versions(tmp_path)
    publishing.publish(versions.path(versions.ids()[0]), store, versions, keys=KEYS)
    place = Place(tmp_path, store, worker_of(tmp_path, store, maker))
    place.works()
    yield place
    store.close()


def test_after_a_connect_both_see_the_others_friends(place: Place) -> None:
    assert not by_friends(place.block("a0")) & set(CLIQUES["c"])
    place.did((CONNECT, "a0", "c0"))
    place.works()
    assert by_friends(place.block("a0")) >= set(CLIQUES["c"]) - {"c0"}
    assert by_friends(place.block("c0")) >= set(CLIQUES["a"]) - {"a0"}
    assert "c0" not in place.block("a0")
    assert place.worker.people.tally.latency(0.99) is not None


def test_after_a_disconnect_friends_of_the_former_friend_are_gone(place: Place) -> None:
    assert by_friends(place.block("a9")) >= set(CLIQUES["b"]) - {"b0"}
    place.did((DISCONNECT, "b0", "a9"))
    place.works()
    assert not by_friends(place.block("a9")) & set(CLIQUES["b"])
    assert not by_friends(place.block("b0")) & set(CLIQUES["a"])
    assert "b0" not in place.block("a9"), "lately disconnected"


def test_who_is_dismissed_no_more_comes_back_into_the_block(place: Place) -> None:
    place.did((EventKind.DISMISS, "a9", "b1"), (CONNECT, "a9", "c0"))
    place.works()
    assert "b1" not in place.block("a9")
    place.did((EventKind.UNDISMISS, "a9", "b1"))
    place.works()
    assert "b1" in by_friends(place.block("a9"))


def test_ranked_lists_go_with_the_block_they_were_made_from(place: Place) -> None:
    row = place.tables.vocabulary.row("a0")
    assert row is not None
    key = KEYS.ranked(place.version, row, "mobile")
    place.store.set(key, b"a list", 60)
    place.did((CONNECT, "a0", "c0"))
    place.works()
    assert place.store.get(key) is None
    place.store.set(key, b"kept too late, from the block before", 60)
    place.worker.turn(time.time() + 2)
    assert place.store.get(key) is None


def test_a_newcomer_is_found_by_profile_and_then_by_friends(place: Place) -> None:
    place.put("zoe", company="Firm d")
    place.works()
    record = place.store.get(KEYS.newcomer(place.version, "zoe"))
    assert record is not None
    newcomer = Newcomer.unpack(record)
    best = [place.tables.vocabulary.user_id(row) for row in newcomer.block.rows[:5].tolist()]
    assert {one[0] for one in best} == {"d"}, "the people at her company first"
    assert newcomer.codes.categorical.tolist() == [place.tables.categorical_values[0].index("Firm d")]
    assert newcomer.tower_inputs.shape == place.tables.tower_inputs.shape[1:]
    place.did(*((CONNECT, "zoe", friend) for friend in ("b1", "b2", "b3")))
    place.works()
    found = place.newcomer("zoe")
    assert found is not None
    assert by_friends(found) >= set(CLIQUES["b"]) - {"b1", "b2", "b3"}
    assert not found.keys() & {"b1", "b2", "b3"}


def test_a_newcomer_by_connects_alone_has_a_record_too_and_erasure_takes_it(place: Place) -> None:
    place.did((CONNECT, "c1", "zoe"))
    place.works()
    assert by_friends(place.newcomer("zoe") or {}) >= set(CLIQUES["c"]) - {"c1"}
    place.erased("zoe")
    place.works()
    assert place.newcomer("zoe") is None
    assert "zoe" not in dict(place.store.stamps_after(KEYS.touched, 0, 100))


def test_a_switch_loses_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("zoe", company="Firm d")
    place.did((CONNECT, "a0", "c0"))
    place.works()
    monkeypatch.setattr("models.live.version_maker.open_maker", lambda directory: open_maker(directory))
    version, seen = place.another(1), list[set[str]]()

    def watched(manifest: Manifest, progress: Callable[[int, int], None]) -> None:
        replaying(place.store, place.versions, KEYS, 90)(manifest, progress)
        assert place.version != version, "it is replayed before the switch"
        seen.append(by_friends(place.block("a0", version)))
        assert place.newcomer("zoe", version) is not None

    publishing.publish(place.versions.path(version), place.store, place.versions, keys=KEYS, replay=watched)
    assert seen[0] >= set(CLIQUES["c"]) - {"c0"}
    assert place.version == version
    publishing.rollback(place.store, place.versions, keys=KEYS, replay=replaying(place.store, place.versions, KEYS, 90))
    assert by_friends(place.block("a0")) >= set(CLIQUES["c"]) - {"c0"}


def test_a_worker_replays_for_those_who_cannot(place: Place) -> None:
    place.did((CONNECT, "a0", "c0"))
    place.works()
    version = place.another(1)
    stop = place.worker._stop
    thread = threading.Thread(target=place.worker.run)
    thread.start()
    asked = replaying(place.store, place.versions, KEYS, 90, wait_s=20, open_here=False)
    publishing.activate(place.store, place.versions, version, keys=KEYS, replay=asked)
    assert int(place.store.get(KEYS.replayed(version)) or 0) > 0
    assert by_friends(place.block("a0", version)) >= set(CLIQUES["c"]) - {"c0"}
    stop.set()
    thread.join()


def test_without_a_replay_the_worker_that_follows_makes_up_for_it(place: Place) -> None:
    place.did((CONNECT, "a0", "c0"))
    place.works()
    version = place.another(1)
    publishing.activate(place.store, place.versions, version, keys=KEYS)
    assert not by_friends(place.block("a0", version)) & set(CLIQUES["c"])
    place.works()
    assert by_friends(place.block("a0", version)) >= set(CLIQUES["c"]) - {"c0"}


def test_a_version_that_knows_a_newcomer_has_no_record_of_her(place: Place) -> None:
    place.put("a0", company="Firm d")
    place.works()
    assert place.newcomer("a0") is None
    assert place.block("a0")


def test_two_workers_share_the_shards_and_do_all_of_it(place: Place) -> None:
    edition = Edition(place.versions.manifest(place.version), place.tables, PlainMaker(place.tables))
    workers = [worker_of(place.home, place.store, edition.maker, name) for name in ("left", "right")]
    place.worker.log._leases.release()
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for number in range(9):
        place.did(*((CONNECT, f"a{one}", f"c{number}") for one in range(10)))
    until(lambda: done(place))
    until(lambda: sorted(len(worker.log._leases.held) for worker in workers) == [SHARDS // 2] * 2)
    for worker in workers:
        worker._stop.set()
    for thread in threads:
        thread.join()
    archived = [entry for shard in range(SHARDS) for _, entry in Archive(place.home).read(shard)]
    assert len(archived) == 90
    for one in range(10):
        assert not place.block(f"a{one}").keys() & {f"c{number}" for number in range(9)}
        assert "c9" in by_friends(place.block(f"a{one}"))


def done(place: Place) -> bool:
    logs = [place.store.stream_length(KEYS.log(shard)) for shard in range(SHARDS)]
    return not any(logs) and not place.store.queue_length(KEYS.refresh)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Mortal:
    """A store whose user dies at its n-th operation, before or after it was done."""

    def __init__(self, store: SyncStore, dies_at: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, dies_at, after

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            answer = operation(*arguments, **options)
            if self._left == 0:
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_killed_anywhere_is_followed_by_one_that_loses_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Every operation of the store in turn is the last one of a first worker."""
    versions = Versions(made)
    tables = Tables.open(versions.path(versions.ids()[0]) / "tables")
    monkeypatch.setattr("models.publishing.pull_tables", lambda store, version, versions, keys: made_path(made))
    for dies_at in range(1, 400):
        home = tmp_path / f"{dies_at}"
        place = Place(home, MemoryStore(), None)  # type: ignore[arg-type]
        pointer = publishing.ActivePointer(version=versions.ids()[0], activated_at=datetime.now(UTC))
        place.store.set(KEYS.active, pointer.model_dump_json().encode())
        place.did((CONNECT, "a0", "c0"))
        place.put("zoe", company="Firm d")
        died = False
        mortal: Any = Mortal(place.store, dies_at, after=after)
        first = worker_of(home, mortal, PlainMaker(tables), "first")
        try:
            worked(first)
        except Killed:
            died = True
        second = worker_of(home, place.store, PlainMaker(tables), "second")
        second.log._leases.clock = lambda: time.time() + 60
        worked(second, 120)  # when what a dead one had taken is free again
        row = tables.vocabulary.row("a0")
        block = place.store.get(KEYS.block(versions.ids()[0], row if row is not None else -1))
        assert block is not None, dies_at
        assert by_friends(named(tables, Block.unpack(block))) >= set(CLIQUES["c"]) - {"c0"}
        assert place.store.get(KEYS.newcomer(versions.ids()[0], "zoe")) is not None, dies_at
        assert set(dict(place.store.stamps_after(KEYS.touched, 0, 9))) == {"a0", "c0", "zoe"}
        archived = [entry for shard in range(SHARDS) for _, entry in Archive(home).read(shard)]
        assert len(archived) == 2
        assert done(place), dies_at
        if not died:
            return
    raise AssertionError("the worker does more than was expected")


def made_path(home: Path) -> Path:
    return Versions(home).path(Versions(home).ids()[0])


def test_who_is_shown_too_often_is_told(place: Place) -> None:
    shown: Sequence[tuple[EventKind, str, str]] = [(EventKind.IMPRESSION, f"a{one}", "b5") for one in range(4)]
    place.did(*shown, (EventKind.IMPRESSION, "a0", "b6"))
    place.works()
    place.worker.exposure.turn()
    from models.live.exposure import Exposed

    assert Exposed.unpack(place.store.get(KEYS.exposure)).people == {"b5"}


def test_a_replay_does_everybody_even_where_many_share_a_stamp(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.live.replay.READ_AT_ONCE", 3)
    versions, store = Versions(made), MemoryStore()
    directory = versions.path(versions.ids()[0])
    tables, manifest = Tables.open(directory / "tables"), Manifest.read(directory)
    stamp = manifest.cut_us + 5
    store.stamps_raise(KEYS.touched, {person: stamp + (person[0] == "d") for person in PEOPLE})
    refresher = Refresher(store, KEYS, 90, ("web",))
    assert replay(refresher, Edition(manifest, tables, PlainMaker(tables))).people == len(PEOPLE)
    assert all(store.get(KEYS.block(manifest.version, row)) for row in range(tables.n))
