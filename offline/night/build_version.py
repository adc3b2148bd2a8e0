"""The last steps of a night: everything again from the whole graph, written as a version."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.candidates.ann_index_builder import BuildIndex, build_index_in_own_process
from models.candidates.generator import CONFIG, CandidateGenerator
from models.graph import Graph
from models.schema.columns import Flag
from models.schema.statistic_names import STATISTICS
from models.system import files
from models.version.block_file import write_blocks
from models.version.tables import write_tables
from offline.features.graph_features import People, compute_graph_features
from offline.features.temporal_graph import Friendships
from offline.night.candidates import build_candidates
from offline.night.config import NightConfig
from offline.night.evaluate import EvaluationTables
from offline.night.model_bundle import ModelBundle
from offline.snapshot.snapshot import Snapshot

log = structlog.get_logger(__name__)


def make_version(
    snapshot: Snapshot,
    friendships: Friendships,
    people: People,
    bundle: ModelBundle,
    directory: Path,
    config: NightConfig,
    build_index: BuildIndex = build_index_in_own_process,
) -> None:
    """Writes tables, blocks, index and landscape of the whole graph into `directory`; the model is there already."""
    active = np.flatnonzero(snapshot.flags & np.uint8(Flag.ACTIVE)).astype(np.int64)
    graph_features = compute_graph_features(friendships.graph, people, bundle.reference(snapshot.vocabulary))
    scratch = directory / "candidates"
    view = build_candidates(
        graph_features,
        people,
        bundle.embedder,
        bundle.prerank_weights,
        active,
        scratch,
        config.candidates,
        config.index,
        build_index,
    )
    (scratch / "index").rename(directory / "index")
    view.candidate_inputs.save(scratch)
    people.coder.save(scratch)
    files.write_json(scratch / CONFIG, config.candidates.model_dump())
    tables = EvaluationTables.of(bundle, view)
    content, offsets = snapshot.profile_json()
    write_tables(
        directory / "tables",
        vocabulary=snapshot.vocabulary,
        graph=friendships.graph,
        forbidden=people.known,
        forbidden_kinds=snapshot.forbidden_kinds(),
        flags=snapshot.flags,
        profiles=snapshot.profiles,
        profile_json=(content.tobytes(), offsets),
        reason_columns=snapshot.reason_columns,
        candidate_vectors=tables.candidate_vectors,
        tower_inputs=tables.tower_inputs,
        statistics=tables.statistics,
        statistic_names=STATISTICS,
        suspicion=_suspicion(people, friendships.graph, config),
    )
    write_blocks(directory / "blocks", _records(view.generator, active, snapshot.n))
    (scratch / "nearest.npy").unlink()


def _suspicion(people: People, graph: Graph, config: NightConfig) -> NDArray[np.float16] | None:
    """(n,) how suspicious everybody is, where the night is to say so and there are profiles to say it by."""
    if config.suspicion is None:
        return None
    if not people.profile.shape[1] or not graph.degrees.any():
        log.warning("suspicion_left_out", reason="there are no profiles or no friendships to judge by")
        return None
    from offline.suspicion.detector import suspicion

    return suspicion(people.profile, graph, config.suspicion, log=log)


def _records(generator: CandidateGenerator, active: NDArray[np.int64], n: int) -> Iterator[bytes]:
    """The packed block of every row, empty for the inactive."""
    at, made = 0, 0
    for pools in generator.batches(active):
        for block in pools.blocks():
            yield from (b"" for _ in range(at, block.viewer))
            yield block.pack()
            at = block.viewer + 1
        made += len(pools.users)
        log.info("candidates_made", users=made, of=len(active))
    yield from (b"" for _ in range(at, n))
