"""A version of eight people, written, copied and published."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from models.graph import Graph
from models.publishing.pointer import read_pointer
from models.publishing.publish import activate, publish, rollback
from models.ranker.ranker import Ranker
from models.schema.pair_features import KEPT_FEATURES
from models.schema.profiles import CategoricalColumn, MultiColumn, Profiles
from models.schema.relationship import Relationship
from models.schema.vocabulary import Vocabulary
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system import files
from models.version.block_file import write_blocks
from models.version.candidate_block import Block, quantise
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables, write_tables
from models.version.towers import Towers

PEOPLE = ("ann", "bea", "cid", "dan", "eva", "fay", "gus", "héloïse")
"""rows 0 to 7: two cliques of four, bridged by dan and eva"""

MakeVersion = Callable[..., str]
"""(home, **fields of the manifest) → the id of a version in that home, as of VersionCopies"""


def write_version(directory: Path, version: str) -> Manifest:
    """Writes a whole version of PEOPLE into an empty directory; returns its manifest.

    The block of each user is the other clique. héloïse has no block and is not discoverable. ann has blocked eva.
    """
    n = len(PEOPLE)
    pairs = [(a, b) for clique in (range(4), range(4, 8)) for a in clique for b in clique if a < b] + [(3, 4)]
    graph = Graph.from_pairs(n, *np.array(pairs).T)
    flags = np.full(n, 7, dtype=np.uint8)
    flags[7] = 6
    stored = [
        f'{{"name":"{name.title()}","company":"{"Acme" if row < 4 else "Bolt"}"}}'.encode()
        for row, name in enumerate(PEOPLE)
    ]
    stored[7] = b""
    profiles = Profiles(
        n,
        {
            "company": CategoricalColumn(np.array([0, 0, 0, 0, 1, 1, 1, -1], np.int32), ["Acme", "Bolt"]),
            "genres": MultiColumn(
                np.array([0, 2, 2, 2, 2, 2, 2, 2, 3], np.int64), np.array([0, 1, 1], np.int32), ["folk", "jazz"]
            ),
            "schools": MultiColumn(np.array([0, 1, 1, 1, 1, 1, 1, 1, 1], np.int64), np.array([0], np.int32), ["Elm"]),
        },
    )
    codes = np.zeros((n, 4), np.int8)
    codes[:4, 0] = codes[4:, 1] = 100
    towers = Towers(codes, *np.array([[0.01] * 4, [1.25] * 4, [2.0] * 4], np.float32))
    write_tables(
        directory / "tables",
        vocabulary=Vocabulary.from_ids(PEOPLE),
        graph=graph,
        forbidden=Graph.from_directed(n, [0, 4], [4, 0]),
        forbidden_kinds=[Relationship.BLOCKED_BY_VIEWER, Relationship.BLOCKED_BY_OTHER],
        flags=flags,
        profiles=profiles,
        profile_json=(b"".join(stored), np.cumsum([0, *map(len, stored)])),
        reason_columns=["company"],
        towers=towers,
        statistics=np.log1p(graph.degrees)[:, None],
        statistic_names=["log_degree"],
    )
    records = []
    for row in range(n - 1):
        others = np.arange(4, 8) if row < 4 else np.arange(4)
        values = np.arange(8, dtype=np.float32).reshape(2, 4)
        records.append(quantise(row, others.astype(np.uint32), np.full(4, 1, np.uint8), values).pack())
    write_blocks(directory / "blocks", [*records, b""])
    files.write_json(directory / "report.json", {"recall@20": 0.5})
    (directory / "model").mkdir()
    files.write_json(directory / "model" / "ranker.json", {"kind": "resource_allocation", "version": version})
    start = datetime.strptime(version[:16], "%Y%m%dT%H%M%S%z")
    manifest = Manifest(
        version=version,
        created_at=start,
        cut=start - timedelta(hours=1),
        users=n,
        connections=len(pairs),
        vocabulary=Vocabulary.from_ids(PEOPLE).digest,
        pair_features=("common_neighbours", "resource_allocation"),
        sources=("friends_of_friends",),
        ranker={"kind": "resource_allocation"},
        metrics={"recall@20": 0.5, "ratio": 1.25},
    ).with_files(directory)
    manifest.write(directory)
    return manifest


def make_servable(home: Path, version: str) -> None:
    """Gives a version of PEOPLE in a home a ranker and blocks with every pair feature, as `pymk serve` reads them."""
    directory = Versions(home).path(version)
    files.write_json(
        directory / "model" / "ranker.json", {"kind": "resource_allocation", "calibration": [1.0, 0.0, 0.0, 0.0]}
    )
    write_blocks(directory / "blocks", [_of_the_other_clique(row) for row in range(7)] + [b""])
    Versions(home).manifest(version).with_files(directory).write(directory)


def _of_the_other_clique(row: int) -> bytes:
    """A block with every pair feature."""
    others = np.arange(4, 8) if row < 4 else np.arange(4)
    values = np.tile(np.arange(4, dtype=np.float32), (len(KEPT_FEATURES), 1))
    return quantise(row, others.astype(np.uint32), np.full(4, 1, np.uint8), values).pack()


class VersionCopies:
    """Copies a written version into the versions of a home. Each copy is an hour younger than the one before."""

    def __init__(self, written: Path, home: Path) -> None:
        self._written, self._home, self._copies = written, home, 0

    def __call__(self, home: Path | None = None, **changed: Any) -> str:
        """Returns the id of the copy, whose manifest has the `changed` fields."""
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=self._copies)
        version = f"{start:%Y%m%dT%H%M%SZ}-{self._copies:06x}"
        directory = Path(shutil.copytree(self._written, (home or self._home) / "versions" / version))
        fields = {"version": version, "created_at": start, **changed}
        (directory / "manifest.json").write_bytes(Manifest.read(directory).model_copy(update=fields).encode())
        self._copies += 1
        return version


@dataclass(frozen=True)
class PublishingHarness:
    """A home, a store and the namespace of one test."""

    home: Path
    store: SyncStore
    keys: Keys
    make: MakeVersion

    @property
    def versions(self) -> Versions:
        return Versions(self.home)

    @property
    def active(self) -> str | None:
        pointer = read_pointer(self.store, keys=self.keys)
        return None if pointer is None else pointer.version

    def publish(self, store: SyncStore | None = None, version: str | None = None) -> str:
        """Publishes a version, a copy by default, by way of another store if one is given; returns its id."""
        version = version or self.make()
        publish(self.versions.path(version), store or self.store, self.versions, keys=self.keys)
        return version

    def activate(self, version: str, store: SyncStore | None = None) -> None:
        activate(store or self.store, self.versions, version, keys=self.keys)

    def rollback(self) -> str:
        return rollback(self.store, self.versions, keys=self.keys).version

    def of_version(self, version: str) -> set[str]:
        """The keys of a version in the store, without its cached lists."""
        found = set(self.store.scan(self.keys.version(version)))
        return {key for key in found if not key.startswith(self.keys.ranked_lists(version))}

    def never_expires(self, version: str) -> bool:
        keys = self.of_version(version)
        return len(keys) > 7 and all(self.store.ttl_s(key) is None for key in keys)

    def expires(self, version: str) -> bool:
        keys = self.of_version(version)
        return len(keys) > 7 and all(self.store.ttl_s(key) is not None for key in keys)


@dataclass(frozen=True)
class BenchmarkVersion:
    """A published version that benchmarks read, and some of its viewers."""

    home: Path
    directory: Path
    tables: Tables
    ranker: Ranker
    records: list[bytes]
    """packed blocks of the viewers"""

    @property
    def blocks(self) -> list[Block]:
        """The viewers' blocks."""
        return [Block.unpack(record) for record in self.records]

    def ids(self) -> list[str]:
        """The viewers' ids."""
        return [self.tables.vocabulary.user_id(block.viewer) for block in self.blocks]
