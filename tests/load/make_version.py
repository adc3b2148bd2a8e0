"""Makes a large version for measurements, in minutes instead of a night, and publishes it in an embedded store.

    python tests/load/make_version.py --home HOME                    100,000 users, 1,000 candidates each
    python tests/load/make_version.py --home HOME --users 2000 --versions 2

A synthetic network goes through the night's own snapshot into real tables; a ranker of the trained shape has random
weights and vectors beside a linear way that prefers mutual friends; blocks hold friends of friends first and strangers
to fill them, with a friend or two that the rules have to drop. What is served from it costs what a real list costs;
what is in a list means nothing. HOME/load/ids.txt holds the ids of those who have a block, HOME/load/measured.json the
memory of the store before and after.
"""

import datetime as dt
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.features.profile_encoder import ProfileEncoder
from models.features.user_statistics import user_statistics
from models.graph import Graph
from models.networks import checkpoint
from models.networks.ranker_head import RankerHead, RankerHeadConfig
from models.publishing.publish import publish
from models.publishing.transfer import CARRIED
from models.ranker.product_feature import with_product
from models.schema.candidate_sources import NIGHTLY, Source
from models.schema.columns import Flag
from models.schema.pair_features import (
    ALLOCATION,
    ALLOCATION_SCALE,
    COMMON,
    EXTRA_INPUTS,
    KEPT_FEATURES,
    PAIR_FEATURES,
    extra_inputs,
)
from models.schema.statistic_names import STATISTICS
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.system import files
from models.version.block_file import write_blocks
from models.version.candidate_block import Block, quantise
from models.version.local_versions import Versions, new_id
from models.version.manifest import Manifest
from models.version.tables import write_tables
from models.version.towers import Towers
from offline.features.temporal_graph import friendships, user_history
from offline.snapshot.snapshot import Snapshot, write_snapshot
from offline.synth import directory, network

DIMENSIONS = 128
"""of the towers, as most nights choose them"""
CHUNK = 1000
"""viewers whose candidates are made at once"""
FRIENDS_LEFT = 2
"""friends in a block, as if befriended since, for the rules to drop"""
SAMPLE = 50
"""blocks by which the ranker's inputs are brought to the order of one"""


class Candidates:
    """Blocks of `kept` candidates: friends of friends by resource allocation, then strangers."""

    def __init__(self, graph: Graph, kept: int, seed: int) -> None:
        self.graph, self.kept = graph, kept
        self._random = np.random.default_rng(seed)
        degrees = np.maximum(graph.degrees, 1)
        self._adjacency = _sparse(graph, np.ones(graph.n))
        self._weighed = {
            "common": self._adjacency,
            "allocation": _sparse(graph, 1 / degrees),
        }

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[Block]:
        """The blocks of these rows, in their order."""
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            paths = {name: (self._adjacency[chunk] @ matrix).tocsr() for name, matrix in self._weighed.items()}
            for one in paths.values():
                one.sort_indices()
            for at, row in enumerate(chunk.tolist()):
                part = slice(paths["common"].indptr[at], paths["common"].indptr[at + 1])
                yield self._block(row, paths["common"].indices[part], *(one.data[part] for one in paths.values()))

    def _block(
        self,
        viewer: int,
        others: NDArray[np.int32],
        common: NDArray[np.float64],
        allocation: NDArray[np.float64],
    ) -> Block:
        """The block of one viewer; `others` (k,) are the people two steps away, with two sums over the paths."""
        friend = np.isin(others, self.graph.neighbours(viewer), assume_unique=True)
        left = np.flatnonzero(friend)[:FRIENDS_LEFT]
        found = np.concatenate([np.flatnonzero(~friend & (others != viewer)), left])
        found = found[np.argsort(-allocation[found], kind="stable")][: self.kept]
        strangers = self._strangers(viewer, others, self.kept - len(found))
        rows = np.concatenate([others[found], strangers]).astype(np.uint32)
        m, near = len(rows), len(found)
        values = np.zeros((len(KEPT_FEATURES), m), np.float32)
        values[2:] = self._random.random((len(KEPT_FEATURES) - 2, m), dtype=np.float32)
        values[COMMON, :near] = np.log1p(common[found])
        values[ALLOCATION, :near] = np.log1p(ALLOCATION_SCALE * allocation[found])
        sources = np.full(m, Source.EMBEDDING, np.uint8)
        sources[:near] = Source.FRIENDS_OF_FRIENDS | Source.RANDOM_WALK
        return quantise(viewer, rows, sources, values)

    def _strangers(self, viewer: int, near: NDArray[np.int32], count: int) -> NDArray[np.int64]:
        """Up to `count` distinct rows that are neither near nor the viewer nor her friends."""
        n = self.graph.n
        drawn = (int(self._random.integers(n)) + np.arange(min(n, 2 * count + len(near) + 100))) % n
        known = np.concatenate([near, self.graph.neighbours(viewer), [viewer]])
        return drawn[~np.isin(drawn, known)][:count]


def _sparse(graph: Graph, weights: NDArray[np.float64]) -> csr_array:
    """(n, n): each friend's weight."""
    heads = np.repeat(weights, graph.degrees)
    return csr_array((heads, graph.indices, graph.indptr), shape=(graph.n, graph.n))


def random_towers(n: int, seed: int) -> Towers:
    """Random vectors of the usual width."""
    random = np.random.default_rng(seed)
    codes = random.integers(-127, 128, (n, DIMENSIONS)).astype(np.int8)
    weights = np.full((3, DIMENSIONS), 1 / 127, np.float32)
    weights[1:] = 1
    return Towers(codes, *weights)


@torch.no_grad()
def random_ranker(towers: Towers, statistics: NDArray[np.float32], sample: list[Block]) -> RankerHead:
    """A ranker of the trained shape, in evaluation mode: random weights, and a linear way led by mutual friends."""
    torch.manual_seed(0)
    config = RankerHeadConfig(
        pair_features=PAIR_FEATURES,
        extra_inputs=len(EXTRA_INPUTS),
        viewer_inputs=len(STATISTICS),
    )
    model = RankerHead(config)
    rows = []
    for kept in sample:
        block = with_product(towers, kept, towers.query(kept.viewer))
        values, viewer = block.values(), statistics[block.viewer]
        extra = extra_inputs(values[COMMON], statistics[block.rows], viewer, block.sources)
        mine = np.tile(viewer, (len(block), 1))
        rows.append(np.concatenate([values.T, block.codes.T / np.float32(255), extra, mine], axis=1))
    pair = np.concatenate(rows)
    spread = pair.std(axis=0)
    model.mean.copy_(torch.from_numpy(pair.mean(axis=0)))
    model.scale.copy_(torch.from_numpy(np.where(spread > 1e-4, spread, 1).astype(np.float32)))
    model.past.weight[0, COMMON] = 1.0
    model.past.weight[0, ALLOCATION] = 2.0
    model.calibration.copy_(torch.tensor([0.5, -2.0, 0.0, 0.0]))
    return model.eval()


def write_version(snapshot: Snapshot, versions: Versions, candidates: int, seed: int) -> tuple[str, list[str]]:
    """A version of the snapshot's people on disk; its id, and the ids of those who have a block."""
    made = friendships(snapshot)
    people = user_history(snapshot, ProfileEncoder.fit(snapshot.profiles)).before(snapshot.cut + 1, made)
    statistics = user_statistics(made.graph, np.sqrt(made.graph.degrees + 1).astype(np.float32))
    towers = random_towers(people.n, seed)
    active = np.flatnonzero(snapshot.flags & np.uint8(Flag.ACTIVE)).astype(np.int64)
    generator = Candidates(made.graph, min(candidates, snapshot.n - 1), seed)
    model = random_ranker(towers, statistics, list(generator.blocks(active[:: max(len(active) // SAMPLE, 1)])))
    _say("tables")
    version = new_id()
    with versions.staging(version) as target:
        (target / "model").mkdir()
        checkpoint.save(target / "model" / "ranker", model, model.config, {})
        content, offsets = snapshot.profile_json()
        write_tables(
            target / "tables",
            vocabulary=snapshot.vocabulary,
            graph=made.graph,
            forbidden=people.known,
            flags=snapshot.flags,
            profiles=snapshot.profiles,
            profile_json=(content.tobytes(), offsets),
            reason_columns=snapshot.reason_columns,
            towers=towers,
            statistics=statistics,
            statistic_names=STATISTICS,
        )
        _say("blocks")
        write_blocks(target / "blocks", _records(generator, active, snapshot.n))
        files.write_json(target / "report.json", {})
        Manifest(
            version=version,
            created_at=dt.datetime.now(dt.UTC),
            cut=dt.datetime.fromtimestamp(snapshot.cut, dt.UTC),
            users=snapshot.n,
            connections=made.count,
            vocabulary=snapshot.vocabulary.digest,
            pair_features=PAIR_FEATURES,
            sources=tuple(source.name.lower() for source in NIGHTLY if source.name),
            ranker={"kind": "two_tower"},
        ).with_files(target).write(target)
    return version, [snapshot.vocabulary.user_id(int(row)) for row in active]


def _records(generator: Candidates, active: NDArray[np.int64], n: int) -> Iterator[bytes]:
    """The packed block of every row, empty for the inactive."""
    at = 0
    for block in generator.blocks(active):
        yield from (b"" for _ in range(at, block.viewer))
        yield block.pack()
        at = block.viewer + 1
    yield from (b"" for _ in range(at, n))


def copy_version(versions: Versions, version: str) -> str:
    """Another version of the same files, linked rather than copied."""
    other = new_id(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1))
    source = versions.path(version)
    with versions.staging(other) as target:
        for path in sorted(source.rglob("*")):
            to = target / path.relative_to(source)
            if path.is_dir():
                to.mkdir()
            elif path.parent != source or path.name == "report.json":
                to.hardlink_to(path)
        Manifest.read(source).model_copy(update={"version": other, "published_at": None}).write(target)
    return other


def publish_measured(home: Path, versions: Versions, made: list[str]) -> dict[str, float]:
    """Publishes versions in turn; memory of the store before and after the first, all told and by what it holds."""
    keys = Keys(Settings(home=home).namespace)
    with closing(open_sync(Settings(home=home))) as store:
        before = store.info().memory_used_bytes
        publish(versions.path(made[0]), store, versions, keys=keys)
        after = store.info().memory_used_bytes
        for version in made[1:]:
            publish(versions.path(version), store, versions, keys=keys)
    manifest = versions.manifest(made[0])
    carried = sum(one.bytes for name, one in manifest.files.items() if name.startswith(tuple(f"{c}/" for c in CARRIED)))
    return {
        "users": manifest.users,
        "store_bytes_before": before,
        "store_bytes_after": after,
        "store_bytes_per_user": (after - before) / manifest.users,
        "carried_bytes_per_user": carried / manifest.users,
    }


def make(
    home: Annotated[Path, typer.Option(help="PYMK_HOME to make it in; nothing may be published there.")],
    users: Annotated[int, typer.Option(min=20, help="People of the network.")] = 100_000,
    candidates: Annotated[int, typer.Option(min=10, max=60_000, help="Candidates in a block.")] = 1000,
    versions: Annotated[int, typer.Option(min=1, max=2, help="2: a second one of the same files, to swap with.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same version.")] = 0,
) -> None:
    """Make a large version quickly and publish it in the embedded store of HOME."""
    os.environ["PYMK_HOME"] = str(home)
    began, place = perf_counter(), home / "load"
    if (place / "measured.json").exists():
        raise SystemExit(f"{home} holds such a version already; name another directory or remove it")
    _say("network")
    data = place / "DATA"
    directory.write(network.generate(users, seed=seed), data)
    _say("snapshot")
    snapshot = write_snapshot(data, place / "snapshot", started_at=dt.datetime.now(dt.UTC))
    disk = Versions(home)
    version, ids = write_version(snapshot, disk, candidates, seed)
    made = [version, *(copy_version(disk, version) for _ in range(versions - 1))]
    files.write_bytes(place / "ids.txt", "".join(f"{one}\n" for one in ids).encode())
    made_s = perf_counter() - began
    _say("publish")
    measured = publish_measured(home, disk, made)
    measured |= {"made_s": round(made_s, 1), "published_s": round(perf_counter() - began - made_s, 1)}
    files.write_json(place / "measured.json", measured)
    typer.echo(f"{measured['users']:.0f} users in {perf_counter() - began:.1f} s, of which {measured['published_s']} s")
    typer.echo(f"publishing; {measured['store_bytes_per_user']:.0f} bytes of the store per user; {', '.join(made)}")


def _say(step: str) -> None:
    sys.stderr.write(f"{step} ...\n")


if __name__ == "__main__":
    typer.run(make)
