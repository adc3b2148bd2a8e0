"""Checks of a finished version: its files belong together, people are served, scores are those of training."""

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from models.candidates.ann_index import IndexManifest
from models.candidates.config import CandidateConfig
from models.candidates.generator import CONFIG, CandidateGenerator
from models.errors import ArtefactError, CorruptRecordError
from models.graph import Graph
from models.ranker.product_feature import with_product
from models.ranker.ranker import Ranker, list_mass
from models.schema.columns import Flag
from models.schema.pair_features import KEPT_FEATURES
from models.schema.statistic_names import LOG_DEGREE
from models.schema.vocabulary import Vocabulary
from models.system import files
from models.version.block_file import Blocks
from models.version.candidate_block import Block, published_of
from models.version.tables import Tables
from offline.evaluation.gate_check import GateCheck
from offline.gate.config import GateConfig
from offline.gate.losses import SHOWN, beyond
from offline.night.context import NightContext
from offline.night.model_bundle import ModelBundle
from offline.ranker.training_lists import TrainingLists, training_lists

FIRST = 20
"""best candidates of a list that are compared"""
MOST_OFF = 1e-3
"""difference of two probabilities that rounding explains, beside the same share of the larger one"""
LIKE = 0.9
"""share of the first candidates that must be scored alike: equal candidates may be cut off in another order"""
AT_ONCE = 64
CONTEXT = "web"


def version_checks(
    night: NightContext,
    bundle: ModelBundle,
    directory: Path,
    active: Tables | None,
    config: GateConfig,
    rows: NDArray[np.int64] | None = None,
) -> list[GateCheck]:
    """The checks of a version directory that has all its files but the manifest and the report.

    `rows` are the people whose candidates were made with these files; None: everybody.
    """
    schema, tables, blocks = _schema(night, directory)
    if tables is None or blocks is None:
        return [schema]
    known = None if active is None else active.vocabulary
    # those that it was made with: a delta night keeps the active version's
    candidates = CandidateConfig.model_validate(files.read_json(directory / "candidates" / CONFIG))
    return [
        schema,
        _index_recall(night, directory),
        *_served(tables, blocks, known, config),
        _parity(bundle, directory, tables, blocks, config, candidates, rows),
    ]


def _schema(night: NightContext, directory: Path) -> tuple[GateCheck, Tables | None, Blocks | None]:
    """Whether tables, blocks and ranker are read back and have the people and columns of the snapshot."""
    snapshot = night.snapshot
    try:
        tables = Tables.open(directory / "tables")
        blocks = Blocks.open(directory / "blocks", tables.n)
        Ranker.open(directory / "model")
    except ArtefactError as error:
        return GateCheck(name="schema", verdict="refused", sentence=f"the version cannot be read: {error}"), None, None
    faults = []
    if tables.vocabulary.digest != snapshot.vocabulary.digest:
        faults.append(f"it has {tables.n} people in another order, the snapshot {snapshot.n}")
    if tables.column_kinds != snapshot.description.kinds:
        faults.append("its profile columns are not the snapshot's")
    towers = tables.towers
    numbers = (towers.scales, towers.own, towers.fold, tables.statistics)
    if not all(np.isfinite(one).all() for one in numbers):
        faults.append("its vectors or statistics have cells that are no numbers")
    said = "; ".join(faults) or f"{tables.n:,} people and {len(tables.column_kinds)} columns, as in the snapshot"
    verdict = GateCheck(name="schema", verdict="refused" if faults else "passed", sentence=f"tables: {said}")
    return verdict, tables, blocks


def _index_recall(night: NightContext, directory: Path) -> GateCheck:
    manifest = IndexManifest.model_validate(files.read_json(directory / "index" / "index.json"))
    least = night.config.index.recall_least
    return GateCheck.judged(
        "index_recall",
        refused=manifest.recall < least,
        value=manifest.recall,
        threshold=least,
        sentence=f"the index finds {manifest.recall:.3f} of the {manifest.recall_neighbours} nearest",
    )


def _served(tables: Tables, blocks: Blocks, known: Vocabulary | None, config: GateConfig) -> list[GateCheck]:
    """How many of the active people, and of the new among them, have candidates, if there is anybody for them."""
    shown = (tables.flags & SHOWN) == SHOWN
    others = int(shown.sum()) - shown.astype(np.int64) - tables.graph.degrees - tables.forbidden.degrees
    active = np.asarray(tables.flags & np.uint8(Flag.ACTIVE), bool) & (others > 0)
    has = np.zeros(tables.n, bool)
    has[blocks.rows()] = True
    if known is None:
        new, said = active & (tables.graph.degrees == 0), "people without friends"
    else:
        there = known.rows(tables.vocabulary.user_ids())
        new, said = active & (there < 0), "people who are new since the active version"
    return [
        _share("served", active, has, "active people", config.least_served),
        _share("newcomers_served", new, has, said, config.least_newcomers_served),
    ]


def _share(name: str, among: NDArray[np.bool_], has: NDArray[np.bool_], what: str, least: float) -> GateCheck:
    of, without = int(among.sum()), int((among & ~has).sum())
    if not of:
        return GateCheck.skipped(name, f"there are no {what} for whom there is anybody")
    return GateCheck.judged(
        name,
        refused=beyond(without, of, 1 - least),
        value=1 - without / of,
        threshold=least,
        sentence=f"{of - without:,} of {of:,} {what} have candidates (gate.least_{name} wants {least:.0%})",
    )


def _parity(
    bundle: ModelBundle,
    directory: Path,
    tables: Tables,
    blocks: Blocks,
    config: GateConfig,
    candidates: CandidateConfig,
    made: NDArray[np.int64] | None,
) -> GateCheck:
    """Whether the lists as the service scores them are those that the trained network makes of candidates made anew.

    Those of a user who is absent are compared as far as they are published.
    """
    rows = blocks.rows() if made is None else np.intersect1d(blocks.rows(), made)
    rows = np.sort(np.random.default_rng(0).permutation(rows)[: config.parity_users])
    if not len(rows):
        return GateCheck.skipped("parity", "nobody has candidates whose scores could be compared")
    generator, ranker = CandidateGenerator.open(directory), Ranker.open(directory / "model")
    faiss.omp_set_num_threads(1)  # its threads and torch's live badly in one process
    # heads of outcomes weigh each context otherwise: one of them for each user in turn
    unlike, contexts = 0, list(dict.fromkeys((CONTEXT, *(bundle.outcomes.contexts if bundle.outcomes else ()))))
    for start in range(0, len(rows), AT_ONCE):
        lists = training_lists(generator, rows[start : start + AT_ONCE], _nobody(tables.n), candidates.kept)
        for at, row in enumerate(lists.users.tolist()):
            is_cut = candidates.absent_days and published_of(blocks.record(row)) == candidates.kept_of_absent
            _publish(lists, at, candidates.kept_of_absent if is_cut else int(lists.counts[at]), tables)
        in_context = [contexts[(start + at) % len(contexts)] for at in range(len(lists))]
        offline = _offline_scores(bundle, ranker, tables, lists, in_context)
        for at, row in enumerate(lists.users.tolist()):
            try:
                block = Block.unpack(blocks.record(row), tables.n)
            except CorruptRecordError:
                unlike += 1
                continue
            served = ranker.scores(tables, block, in_context[at])
            m = lists.counts[at]
            unlike += not _alike(block.rows, served, lists.rows[at, :m], offline[at, :m])
    share, most = unlike / len(rows), config.most_unlike
    return GateCheck.judged(
        "parity",
        refused=beyond(unlike, len(rows), most),
        value=share,
        threshold=most,
        sentence=f"the lists of {unlike:,} of {len(rows):,} people are scored otherwise by the service than by the "
        f"trained network (gate.most_unlike allows {most:.0%})",
    )


def _publish(lists: TrainingLists, at: int, count: int, tables: Tables) -> None:
    """Makes of a list what is published of it: its `count` best candidates, with the codes that their packed block
    holds, which are rounded where they would not fit, and the towers' product on the scale of these.
    """
    kept, m, row = slice(len(KEPT_FEATURES)), min(count, int(lists.counts[at])), int(lists.users[at])
    low, high = lists.low[at, kept], lists.low[at, kept] + lists.step[at, kept] * np.float32(255)
    block = Block(row, lists.rows[at, :m], lists.sources[at, :m], lists.codes[at, kept, :m], low, high)
    packed = Block.unpack(block.pack(), tables.n)
    whole = with_product(tables.towers, packed, tables.towers.query(row))
    lists.codes[at, :, :m], lists.low[at], lists.step[at], lists.counts[at] = whole.codes, whole.low, whole.step, m


def _nobody(n: int) -> Graph:
    return Graph(np.zeros(n + 1, np.int64), np.zeros(0, np.int32))


@torch.no_grad()
def _offline_scores(
    bundle: ModelBundle, ranker: Ranker, tables: Tables, lists: TrainingLists, contexts: Sequence[str]
) -> NDArray[np.float32]:
    """(U, m) scores, of each list in its context (U,), by the network as it was trained, with the heads of outcomes if
    there are any; without a network by the service's own fallback.
    """
    found, model = np.zeros(lists.rows.shape, np.float32), bundle.ranker
    if model is None:
        for at, row in enumerate(lists.users.tolist()):
            m = lists.counts[at]
            kept = slice(len(KEPT_FEATURES))
            codes, low, step = lists.codes[at, kept, :m], lists.low[at, kept], lists.step[at, kept]
            block = Block(row, lists.rows[at, :m], lists.sources[at, :m], codes, low, low + step * np.float32(255))
            found[at, :m] = ranker.scores(tables, block, contexts[at])
        return found
    model.eval()
    inputs = lists.pair_inputs(tables.statistics)
    logits = model(torch.from_numpy(inputs)).numpy()
    slope, level, by_degree, by_mass = model.calibration.numpy()
    for at_list, m in enumerate(lists.counts.tolist()):
        if m:
            of_list = np.ascontiguousarray(logits[at_list, :m])
            degree = tables.statistics[lists.users[at_list], LOG_DEGREE]
            odds = slope * of_list + level + by_degree * degree + by_mass * list_mass(of_list)
            if (heads := bundle.outcomes) is not None:
                odds = heads.blended(
                    odds, heads.log_odds(inputs[at_list, :m].astype(np.float64), of_list, contexts[at_list])
                )
            found[at_list, :m] = 1 / (1 + np.exp(-odds))
    return found


def _alike(
    rows: NDArray[np.uint32], scores: NDArray[np.float32], others: NDArray[np.uint32], expected: NDArray[np.float32]
) -> bool:
    """Whether nearly all of the best of some scored candidates are among others with the same score."""
    if not len(rows) or not len(others):
        return len(rows) == len(others)
    best = np.argsort(-scores, kind="stable")[:FIRST]
    order = np.argsort(others)
    at = order[np.minimum(np.searchsorted(others[order], rows[best]), len(others) - 1)]
    off = np.abs(scores[best] - expected[at])
    same = (others[at] == rows[best]) & (off <= MOST_OFF * (1 + np.maximum(scores[best], expected[at])))
    return bool(same.mean() >= LIKE)
