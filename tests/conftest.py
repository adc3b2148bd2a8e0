"""A version small enough to know by heart, for every room that needs one."""

import os

# Sums in another order differ in their last digits: what has to come out alike twice runs on one thread.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from hypothesis import settings

from models.graph import Graph
from models.schema.columns import Kind
from models.schema.profiles import CategoricalColumn, MultiColumn, Profiles
from models.schema.relationship import Relationship
from models.schema.vocabulary import Vocabulary
from models.system import files
from models.version.block_file import write_blocks
from models.version.candidate_block import quantise
from models.version.manifest import Manifest
from models.version.tables import Tables, most_connected, write_tables

PEOPLE = ("ann", "bea", "cid", "dan", "eva", "fay", "gus", "héloïse")
"""rows 0 to 7: two cliques of four, bridged by dan and eva"""

MakeVersion = Callable[..., str]

# whichever example comes first waits for kernels to be compiled
settings.register_profile("patient", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("patient")


def write_version(directory: Path, version: str) -> Manifest:
    """Writes a whole version of PEOPLE into an empty directory.

    Everybody has a block of the other clique but héloïse, who has none and is not discoverable; ann has blocked eva.
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
    vectors = np.zeros((n, 4), np.float32)
    vectors[:4, 0] = vectors[4:, 1] = 1
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
        candidate_vectors=vectors,
        tower_inputs=np.arange(n * 3).reshape(n, 3),
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


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Steps of small networks take ten times as long where threads share them."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Takes back what a command run inside the test process did to the logging of that process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def written_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of PEOPLE as this code writes it; not to be changed."""
    directory = tmp_path_factory.mktemp("version")
    write_version(directory, "20260101T000000Z-0a1b2c")
    return directory


@pytest.fixture
def make_version(tmp_path: Path, written_version: Path) -> MakeVersion:
    """Puts a version of PEOPLE among the versions of a home, `tmp_path` by default; returns its id.

    Each is an hour younger than the one before.
    """
    made: list[str] = []

    def make(home: Path = tmp_path, **changed: Any) -> str:
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=len(made))
        version = f"{start:%Y%m%dT%H%M%SZ}-{len(made):06x}"
        directory = Path(shutil.copytree(written_version, home / "versions" / version))
        fields = {"version": version, "created_at": start, **changed}
        (directory / "manifest.json").write_bytes(Manifest.read(directory).model_copy(update=fields).encode())
        made.append(version)
        return version

    return make


def tables_in_memory(
    people: Sequence[str],
    pairs: Iterable[tuple[int, int]],
    *,
    forbidden: Iterable[tuple[int, int]] = (),
    flags: Mapping[int, int] | None = None,
    categories: Mapping[str, Sequence[str | None]] | None = None,
    sets: Mapping[str, Sequence[Sequence[str]]] | None = None,
    reasons: Sequence[str] = (),
) -> Tables:
    """Tables of people, given in the order of their ids, without a file: pairs, forbidden pairs and flags by row.

    `categories` and `sets` are columns of a value, or of several, per person; `reasons` are the columns that are told.
    """
    n = len(people)
    graph = Graph.from_pairs(n, *_ends(pairs))
    kept_apart = Graph.from_directed(n, *_ends(forbidden))
    every_flag = np.full(n, 7, dtype=np.uint8)
    for row, flag in (flags or {}).items():
        every_flag[row] = flag
    columns = [(name, sorted({one for one in column if one}), column) for name, column in (categories or {}).items()]
    codes = np.full((n, len(columns)), -1, dtype=np.int32)
    for at, (_, values, column) in enumerate(columns):
        codes[:, at] = [values.index(one) if one else -1 for one in column]
    multi_values = sorted({(name, one) for name, column in (sets or {}).items() for own in column for one in own})
    multi = [
        sorted({multi_values.index((name, one)) for name, column in (sets or {}).items() for one in column[row]})
        for row in range(n)
    ]
    return Tables(
        directory=Path(),
        vocabulary=Vocabulary.from_ids(people),
        graph=graph,
        forbidden=kept_apart,
        forbidden_kinds=np.full(len(kept_apart.indices), Relationship.REPORTED, np.uint8),
        flags=every_flag,
        candidate_vectors=np.zeros((n, 1), np.float32),
        tower_inputs=np.zeros((n, 1), np.float16),
        statistics=np.zeros((n, 0), np.float32),
        statistic_names=[],
        categorical_codes=codes,
        categorical_columns=[name for name, _, _ in columns],
        categorical_values=[values for _, values, _ in columns],
        multi_indptr=np.cumsum([0, *map(len, multi)]).astype(np.int64),
        multi_codes=np.array([code for own in multi for code in own], dtype=np.int32),
        multi_values=multi_values,
        column_kinds={
            **dict.fromkeys(categories or {}, Kind.CATEGORICAL),
            **dict.fromkeys(sets or {}, Kind.MULTI),
        },
        reason_columns=list(reasons),
        popular=most_connected(graph, every_flag),
        profiles=np.zeros(0, np.uint8),
        profile_offsets=np.zeros(n + 1, np.int64),
    )


def _ends(pairs: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    listed = list(pairs)
    return [a for a, _ in listed], [b for _, b in listed]


@pytest.fixture(scope="session")
def make_tables() -> Callable[..., Tables]:
    """Makes tables without a file, by `tables_in_memory`."""
    return tables_in_memory
