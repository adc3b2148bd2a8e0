"""Writes the version of a delta night: blocks of whom the changes concern made anew, all others kept."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import structlog

from models.candidates.ann_index import open_index
from models.candidates.config import CandidateConfig
from models.candidates.generator import CONFIG, CandidateGenerator, IndexNearest
from models.schema.columns import Flag
from models.schema.statistic_names import ALL_STATISTICS
from models.system import files
from models.version.block_file import write_blocks
from models.version.candidate_block import Block
from models.version.tables import write_tables
from offline.night.build_version import fewer_of_absent
from offline.night.context import NightContext
from offline.night.delta.inputs import ActiveState, DeltaInputs
from offline.snapshot.snapshot import Snapshot

log = structlog.get_logger(__name__)


def build_delta(active: ActiveState, delta: DeltaInputs, night: NightContext, directory: Path) -> None:
    """Writes tables, blocks, index and candidate inputs into `directory`, where the files of the bundle are already.

    The index is the active version's; where people came or left it is built again, from the kept vectors. So are the
    settings of candidates.
    """
    snapshot = night.snapshot
    # what the worker needs to make more candidates
    scratch = directory / "candidates"
    delta.inputs.save(scratch)
    delta.coder.save(scratch)
    shutil.copyfile(active.directory / "candidates" / CONFIG, scratch / CONFIG)
    config = CandidateConfig.model_validate(files.read_json(scratch / CONFIG))
    wanted, kept = night.config.candidates.model_dump(), config.model_dump()
    if differing := sorted(name for name in kept if kept[name] != wanted[name]):
        log.warning("candidate_settings_kept", differing=differing, reason="a whole night applies other settings")
    if delta.rows.is_same:
        shutil.copytree(active.directory / "index", directory / "index")
    else:
        nearest = scratch / "nearest.npy"
        nobody = np.zeros(0, np.int64)
        vectors, settings = scratch / "embeddings.npy", night.config.index
        night.build_index(vectors, directory / "index", nearest, nobody, config.nearest, settings)
        nearest.unlink()

    # what the service reads
    content, offsets = snapshot.profile_json()
    suspicion, there = active.tables.suspicion, delta.rows.then >= 0
    if suspicion is not None:
        moved = np.zeros(snapshot.n, np.float16)
        moved[there] = suspicion[delta.rows.then[there]]
        suspicion = moved
    write_tables(
        directory / "tables",
        vocabulary=snapshot.vocabulary,
        graph=delta.inputs.graph,
        forbidden=delta.inputs.known,
        forbidden_kinds=snapshot.forbidden_kinds(),
        flags=snapshot.flags,
        profiles=snapshot.profiles,
        profile_json=(content.tobytes(), offsets),
        reason_columns=snapshot.reason_columns,
        towers=delta.inputs.towers,
        statistics=delta.statistics,
        statistic_names=ALL_STATISTICS[: delta.statistics.shape[1]],
        suspicion=suspicion,
    )
    near = IndexNearest(open_index(directory / "index", delta.inputs.embeddings))
    generator = CandidateGenerator(delta.inputs, near, config)
    write_blocks(directory / "blocks", _records(active, delta, snapshot, generator, fewer_of_absent(night, config)))


def _records(
    active: ActiveState, delta: DeltaInputs, snapshot: Snapshot, generator: CandidateGenerator, fewer: dict[int, int]
) -> Iterator[bytes]:
    """The packed block of every row, empty for the inactive; those made anew in `fewer` have so many at most."""
    is_active = (snapshot.flags & np.uint8(Flag.ACTIVE)) > 0
    at = 0
    for pools in generator.batches(delta.touched):
        for block in pools.blocks():
            yield from (_kept(active, delta, row, bool(is_active[row])) for row in range(at, block.viewer))
            most = fewer.get(block.viewer)
            yield (block if most is None else block.first(most)).pack()
            at = block.viewer + 1
        log.info("candidates_made", users=at, of=snapshot.n)
    yield from (_kept(active, delta, row, bool(is_active[row])) for row in range(at, snapshot.n))


def _kept(active: ActiveState, delta: DeltaInputs, row: int, is_active: bool) -> bytes:
    """The block that the active version has of a row, in the rows of the snapshot."""
    then = int(delta.rows.then[row])
    if not is_active or then < 0:
        return b""
    record = active.blocks.record(then)
    if delta.rows.is_same or not record:
        return record
    block = Block.unpack(record, active.tables.n)
    rows = delta.rows.now[block.rows]
    left = rows >= 0
    kept = rows[left].astype(np.uint32), block.sources[left], block.codes[:, left]
    return Block(row, *kept, block.low, block.high).pack()
