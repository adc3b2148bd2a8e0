"""A small network, a home where it is published, and a worker whose turns a test calls."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import anyio
import pytest

from models.candidate_refresh.generator import VersionGenerator, open_generator
from models.candidate_refresh.refresher import Generator
from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.publishing.pointer import read_pointer
from models.publishing.publish import publish
from models.schema.candidate_sources import Source
from models.schema.event_kinds import EventKind
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.keys import Keys
from models.store.memory import AsyncMemoryStore, MemoryStore
from models.store.protocol import AsyncStore, SyncStore
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from models.version.new_user_record import Newcomer
from models.version.tables import Tables
from offline.night.config import NightConfig
from offline.night.nightly import Night
from service.worker.worker import Worker

KEYS = Keys("pymk")
CLIQUES = {name: [f"{name}{number}" for number in range(10)] for name in "abcd"}
PEOPLE = [person for clique in CLIQUES.values() for person in clique]
BRIDGE = ("a9", "b0")
CONNECT, DISCONNECT = EventKind.CONNECT, EventKind.DISCONNECT


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one version, not published: four cliques of ten, each at a company, a bridge, and somebody alone."""
    data, home = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("home")
    (data / "users.csv").write_text(
        "".join(f"{line}\n" for line in ["user_id,company", *(f"{one},Firm {one[0]}" for one in PEOPLE), "lone,"])
    )
    pairs = [pair for clique in CLIQUES.values() for pair in combinations(clique, 2)] + [BRIDGE]
    (data / "connections.csv").write_text("".join(f"{line}\n" for line in ["user_id,other_id", *map(",".join, pairs)]))
    Night(data=data, home=home, store=MemoryStore(), keys=KEYS, config=NightConfig()).run()
    return home


@pytest.fixture(scope="session")
def generator(made: Path) -> VersionGenerator:
    """The maker of that version."""
    return open_generator(Versions(made).path(Versions(made).ids()[0]))


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
        pointer = read_pointer(self.store, keys=KEYS)
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

    def works(self, now_s: float | None = None) -> None:
        """Turns until there is nothing left to do, all of them at `now_s` where it is given."""
        worked(self.worker, now_s=now_s)

    @staticmethod
    def named(tables: Tables, block: Block) -> dict[str, int]:
        rows = zip(block.rows.tolist(), block.sources.tolist(), strict=True)
        return {tables.vocabulary.user_id(row): bits for row, bits in rows}

    @staticmethod
    def by_friends(block: dict[str, int] | None) -> set[str]:
        """Those of a block who were found through friends."""
        return {person for person, bits in (block or {}).items() if bits & Source.FRIENDS_OF_FRIENDS}

    def block(self, person: str, version: str | None = None) -> dict[str, int]:
        """The candidates in somebody's block, with their source bits."""
        version = version or self.version
        tables = Tables.open(self.versions.path(version) / "tables")
        row = tables.vocabulary.row(person)
        record = self.store.get(KEYS.block(version, row if row is not None else -1))
        assert record is not None
        return self.named(tables, Block.unpack(record))

    def newcomer(self, person: str, version: str | None = None) -> dict[str, int] | None:
        """The same of a newcomer; None where there is no record."""
        record = self.store.get(KEYS.newcomer(version or self.version, person))
        return None if record is None else self.named(self.tables, Newcomer.unpack(record).block)

    def another(self, hours: float) -> str:
        """A copy of the version among the versions, made so much later: the same tables, another cut."""
        manifest = self.versions.manifest(self.version)
        start = manifest.created_at + timedelta(hours=hours)
        version = f"{start:%Y%m%dT%H%M%SZ}-00000a"
        directory = Path(shutil.copytree(self.versions.path(self.version), self.versions.path(version)))
        fields = {"version": version, "created_at": start, "live_cut": manifest.cut_us + 1}
        (directory / "manifest.json").write_bytes(manifest.model_copy(update=fields).encode())
        return version


def worked(worker: Worker, ahead_s: float = 0.0, now_s: float | None = None) -> None:
    """Turns until three in a row found nothing; `ahead_s` later than it is, or all at one moment."""
    idle = 0
    for _ in range(300):
        now = time.time() + ahead_s if now_s is None else now_s
        idle = 0 if worker.log.run_once() + worker.run_once(now) else idle + 1
        if idle == 3:
            return
    raise AssertionError("the worker does not come to an end")


def worker_of(home: Path, store: SyncStore, generator: Generator, name: str = "one") -> Worker:
    return Worker(
        store,
        Versions(home),
        KEYS,
        lambda _: generator,
        name=name,
        stop=threading.Event(),
        superseded_ttl_s=60,
        forbidden_days=90,
        exposure_limit=3,
    )


@pytest.fixture
def place(made: Path, generator: VersionGenerator, tmp_path: Path) -> Iterator[Place]:
    shutil.copytree(made / "versions", tmp_path / "versions")
    store = open_sync(Settings(home=tmp_path))
    versions = Versions(tmp_path)
    publish(versions.path(versions.ids()[0]), store, versions, keys=KEYS)
    place = Place(tmp_path, store, worker_of(tmp_path, store, generator))
    place.works()
    yield place
    store.close()


@pytest.fixture(scope="session")
def work_off() -> Callable[..., None]:
    """Calls the turns of a worker until there is nothing left to do."""
    return worked


@pytest.fixture(scope="session")
def make_worker() -> Callable[..., Worker]:
    """Makes a worker of a home, a store, a maker and a name."""
    return worker_of


@pytest.fixture(scope="session")
def make_place() -> type[Place]:
    """Makes a Place."""
    return Place
