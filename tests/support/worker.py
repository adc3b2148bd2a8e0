"""A network of four cliques, a home where its version is published, and a worker whose rounds a test runs."""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import anyio
import numpy as np

from models.candidate_refresh.refresher import Generator
from models.contacts.write_contacts import write_contacts
from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.neighbourhood import Neighbourhood
from models.publishing.pointer import read_pointer
from models.schema.candidate_sources import Source
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.schema.pair_features import ALLOCATION, COMMON, KEPT_FEATURES
from models.schema.vocabulary import UserId
from models.settings import Settings
from models.store.connect import open_async
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.version.candidate_block import Block, quantise
from models.version.local_versions import Versions
from models.version.new_user_record import OUTSIDE, Newcomer, ProfileCodes
from models.version.tables import Tables
from service.worker.worker import Worker
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("pymk")
CLIQUES = {name: [f"{name}{number}" for number in range(10)] for name in "abcd"}
PEOPLE = [person for clique in CLIQUES.values() for person in clique]
BRIDGE = ("a9", "b0")


def write_cliques(data: Path) -> None:
    """Writes the dataset of four cliques of ten, each at a company, with a bridge, and `lone` without friends."""
    people = ["user_id,company", *(f"{one},Firm {one[0]}" for one in PEOPLE), "lone,"]
    (data / "users.csv").write_text("".join(f"{line}\n" for line in people))
    pairs = [pair for clique in CLIQUES.values() for pair in combinations(clique, 2)] + [BRIDGE]
    (data / "connections.csv").write_text("".join(f"{line}\n" for line in ["user_id,other_id", *map(",".join, pairs)]))


@dataclass
class WorkerHarness:
    """A home whose version is published, its store, and one worker whose rounds the test runs."""

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

    def write(self, *events: tuple[EventKind, str, str]) -> None:
        valid = [Event(kind, UserId(viewer), UserId(other)) for kind, viewer, other in events]
        self._write(lambda store: write_events(store, KEYS, valid))

    def write_profile(self, user_id: str, **columns: Any) -> None:
        self._write(lambda store: write_profile(store, KEYS, UserId(user_id), columns))

    def write_contacts(self, user_id: str, contacts: set[bytes], own: set[bytes]) -> None:
        """Uploads keyed hashes of contacts and own addresses."""
        held, named = frozenset(contacts), frozenset(own)
        self._write(lambda store: write_contacts(store, KEYS, UserId(user_id), contacts=held, own=named, daily=1000))

    def erase(self, user_id: str) -> None:
        self._write(lambda store: write_erasure(store, KEYS, UserId(user_id)))

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

    def work(self, now_s: float | None = None) -> None:
        """Runs the worker until nothing is left to do, all rounds at `now_s` if it is given."""
        run_until_idle(self.worker, now_s=now_s)

    @staticmethod
    def named(tables: Tables, block: Block) -> dict[str, int]:
        rows = zip(block.rows.tolist(), block.sources.tolist(), strict=True)
        return {tables.vocabulary.user_id(row): bits for row, bits in rows}

    @staticmethod
    def by_friends(block: dict[str, int] | None) -> set[str]:
        """Returns those of a block who were found through friends."""
        return {person for person, bits in (block or {}).items() if bits & Source.FRIENDS_OF_FRIENDS}

    def block(self, person: str, version: str | None = None) -> dict[str, int]:
        """Returns the candidates in a user's block, with their source bits."""
        version = version or self.version
        tables = Tables.open(self.versions.path(version) / "tables")
        row = tables.vocabulary.row(person)
        record = self.store.get(KEYS.block(version, row if row is not None else -1))
        assert record is not None
        return self.named(tables, Block.unpack(record))

    def newcomer(self, person: str, version: str | None = None) -> dict[str, int] | None:
        """Returns the same for a newcomer; None if there is no record."""
        record = self.store.get(KEYS.newcomer(version or self.version, person))
        return None if record is None else self.named(self.tables, Newcomer.unpack(record).block)

    def copy_version(self, hours: float) -> str:
        """Copies the version to one made so much later, with the same tables and another cut; returns its id."""
        manifest = self.versions.manifest(self.version)
        start = manifest.created_at + timedelta(hours=hours)
        version = f"{start:%Y%m%dT%H%M%SZ}-00000a"
        directory = Path(shutil.copytree(self.versions.path(self.version), self.versions.path(version)))
        fields = {"version": version, "created_at": start, "live_cut": manifest.cut_us + 1}
        (directory / "manifest.json").write_bytes(manifest.model_copy(update=fields).encode())
        return version


def run_until_idle(worker: Worker, ahead_s: float = 0.0, now_s: float | None = None) -> None:
    """Runs rounds until three in a row did nothing; `ahead_s` later than it is, or all at `now_s`."""
    idle = 0
    for _ in range(300):
        now = time.time() + ahead_s if now_s is None else now_s
        idle = 0 if worker.log.run_once() + worker.run_once(now) else idle + 1
        if idle == 3:
            return
    raise AssertionError("the worker is never idle")


def make_worker(home: Path, store: SyncStore, generator: Generator, name: str = "one") -> Worker:
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


class MutualFriendsGenerator:
    """The plainest candidate generator (models.candidate_refresh.refresher.Generator): friends of friends, or else
    the popular. It needs no numeric library but NumPy, and no file."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def block(self, row: int) -> Block:
        """Returns the friends of friends by the tables."""
        tables = self._tables
        return self.overlay(row, Neighbourhood(tables.graph.neighbours(row), tables.forbidden.neighbours(row)), None)

    def overlay(self, row: int, around: Neighbourhood, profile: Mapping[str, Any] | None) -> Block:
        """Returns the friends of these friends."""
        return self._found(row, around, np.array([row], np.int32))

    def newcomer(self, around: Neighbourhood, profile: Mapping[str, Any], timestamp_us: int) -> Newcomer:
        """Returns the friends of these friends, or the popular; statistics and query are zero."""
        tables = self._tables
        return Newcomer(
            timestamp_us=timestamp_us,
            statistics=np.zeros(tables.statistics.shape[1], np.float32),
            query=np.zeros(tables.towers.dimensions, np.float32),
            codes=ProfileCodes.of(profile, tables),
            friends=around.friends,
            block=self._found(OUTSIDE, around, np.zeros(0, np.int32)),
        )

    def _found(self, viewer: int, around: Neighbourhood, own_row: np.ndarray[Any, np.dtype[np.int32]]) -> Block:
        tables = self._tables
        near = [tables.graph.neighbours(friend) for friend in around.friends.tolist()]
        mutual = np.bincount(np.concatenate([np.zeros(0, np.int32), *near]), minlength=tables.n)
        source = Source.FRIENDS_OF_FRIENDS if mutual.any() else Source.POPULAR
        if not mutual.any():
            mutual[tables.popular] = 1
        shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
        mutual[(tables.flags & shown) != shown] = 0
        mutual[np.concatenate([around.friends, around.known, own_row])] = 0
        rows = np.flatnonzero(mutual)
        rows = rows[np.argsort(-mutual[rows], kind="stable")]
        values = np.zeros((len(KEPT_FEATURES), len(rows)), np.float32)
        values[COMMON] = values[ALLOCATION] = np.log1p(mutual[rows])
        return quantise(viewer, rows.astype(np.uint32), np.full(len(rows), source, np.uint8), values)
