"""The last steps of a night: everything again from the whole graph, written as a version."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.candidates.config import CandidateConfig
from models.candidates.generator import BATCH, CONFIG, CandidateGenerator
from models.graph import Graph
from models.schema.candidate_sources import NIGHTLY
from models.schema.columns import Flag
from models.schema.pair_features import PAIR_FEATURES
from models.schema.statistic_names import ALL_STATISTICS
from models.system import files
from models.system.clock import DAY_S
from models.version.block_file import write_blocks
from models.version.manifest import Manifest
from models.version.tables import write_tables
from offline.evaluation.report import Report
from offline.features.graph_features import People
from offline.features.temporal_graph import Friendships
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.evaluate import EvaluationTables
from offline.night.model_bundle import ModelBundle
from offline.spark.engine import FILES as SPARK_FILES
from offline.steps.stages import stage

log = structlog.get_logger(__name__)


def build_version(night: NightContext, bundle: ModelBundle, directory: Path) -> None:
    """Writes tables, blocks, index and candidate inputs of the whole graph into `directory`.

    The files of the bundle are there already.
    """
    # the candidates
    snapshot, graph, config = night.snapshot, night.known.graph, night.config
    people = night.history.before(snapshot.cut + 1, night.known)
    active = np.flatnonzero(snapshot.flags & np.uint8(Flag.ACTIVE)).astype(np.int64)
    scratch = directory / "candidates"
    graph_features = night.graph_features(graph, people, bundle.reference(snapshot.vocabulary), scratch)
    builder = night.candidates(bundle.embedder, bundle.prerank_weights, bundle.training.towers)
    view = builder.build(graph_features, people, active, scratch, keeps_index=True)

    # what the worker needs to make more of them
    (scratch / "index").rename(directory / "index")
    view.candidate_inputs.save(scratch)
    people.coder.save(scratch)
    files.write_json(scratch / CONFIG, config.candidates.model_dump())

    # what the service reads
    fewer = fewer_of_absent(night, config.candidates)
    tables = EvaluationTables.of(view)
    content, offsets = snapshot.profile_json()
    write_tables(
        directory / "tables",
        vocabulary=snapshot.vocabulary,
        graph=graph,
        forbidden=people.known,
        forbidden_kinds=snapshot.forbidden_kinds(),
        flags=snapshot.flags,
        profiles=snapshot.profiles,
        profile_json=(content.tobytes(), offsets),
        reason_columns=snapshot.reason_columns,
        towers=tables.towers,
        statistics=tables.statistics,
        statistic_names=ALL_STATISTICS[: tables.statistics.shape[1]],
        suspicion=_suspicion(people, graph, config),
    )
    with stage("candidates", people=len(active)):
        write_blocks(directory / "blocks", _records(view.generator, active, snapshot.n, fewer))
    (scratch / "nearest.npy").unlink()
    files.remove_tree(scratch / SPARK_FILES)


def manifest_of(
    night: NightContext, version: str, bundle: ModelBundle, report: Report, *, forced: bool, data: Path
) -> Manifest:
    """The manifest of a version made from the dataset directory `data`, without the digests of its files."""
    snapshot = night.snapshot
    return Manifest(
        version=version,
        created_at=night.started_at,
        cut=datetime.fromtimestamp(snapshot.cut, UTC),
        live_cut=snapshot.live_cut,
        erasures=snapshot.description.erasures,
        users=snapshot.n,
        connections=night.known.count,
        git_commit=_git_commit(),
        vocabulary=snapshot.vocabulary.digest,
        pair_features=PAIR_FEATURES,
        sources=tuple(source.name.lower() for source in NIGHTLY if source.name),
        ranker={
            "kind": "resource_allocation" if bundle.ranker is None else "two_tower",
            "trained_at": bundle.training.trained_at.isoformat(),
            **bundle.training.metrics,
            **({} if report.outcomes is None else {"outcomes": report.outcomes.model_dump(mode="json")}),
        },
        metrics=report.summary(),
        forced=forced,
        dataset={
            "directory": str(data.resolve()),
            "digest": snapshot.digest,
            **snapshot.description.counts.model_dump(),
        },
    )


def _git_commit() -> str | None:
    """The commit of the code that runs, if it runs from a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _suspicion(people: People, graph: Graph, config: NightConfig) -> NDArray[np.float16] | None:
    """(n,) how suspicious every user is; None if it is not configured or there is no profile or no friendship."""
    if config.suspicion is None:
        return None
    if not people.profile.shape[1] or not graph.degrees.any():
        log.warning("suspicion_left_out", reason="there are no profiles or no friendships")
        return None
    from offline.suspicion.detector import suspicion

    return suspicion(people.profile, graph, config.suspicion, log=log)


def fewer_of_absent(night: NightContext, candidates: CandidateConfig) -> dict[int, int]:
    """How many candidates are published for whoever is absent by these settings, by row."""
    if not candidates.absent_days:
        return {}
    before = night.snapshot.cut - candidates.absent_days * DAY_S
    gone = absent(night.history.acting, night.history.at, night.known, before)
    return dict.fromkeys(np.flatnonzero(gone).tolist(), candidates.kept_of_absent)


def absent(acting: NDArray[np.integer], at: NDArray[np.int64], known: Friendships, before: float) -> NDArray[np.bool_]:
    """(n,) who was last heard of before a moment, in seconds since 1970.

    What counts is the last interaction, of users `acting` (i,) at moments `at` (i,), and the last dated friendship;
    a user of whom neither is known is not absent.
    """
    last = np.zeros(known.graph.n, np.int64)
    np.maximum.at(last, acting, at)
    if known.dates is not None:
        for side in known.graph.pairs():
            np.maximum.at(last, side, known.dates)
    return (last > 0) & (last < before)


def _records(
    generator: CandidateGenerator, active: NDArray[np.int64], n: int, fewer: dict[int, int]
) -> Iterator[bytes]:
    """The packed block of every row, empty for the inactive; rows in `fewer` keep so many candidates at most."""
    at = 0
    for made, block in enumerate(generator.blocks(active), 1):
        yield from (b"" for _ in range(at, block.viewer))
        most = fewer.get(block.viewer)
        yield (block if most is None else block.first(most)).pack()
        at = block.viewer + 1
        if made % BATCH == 0 or made == len(active):
            log.info("candidates_made", users=made, of=len(active))
    yield from (b"" for _ in range(at, n))
