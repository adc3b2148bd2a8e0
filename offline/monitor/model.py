"""The lists and embeddings of a version: what is kept of them, and how those of another differ."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes

from models.arrays import Float32s
from models.ranker.ranker import Ranker
from models.schema.candidate_sources import names
from models.schema.columns import Flag
from models.schema.vocabulary import Vocabulary
from models.system import files
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.tables import Tables
from offline.evaluation.drift_check import DriftCheck
from offline.monitor.compare_data import SHARE_ALARM, SHARE_WARN, Z_ALARM, Z_WARN
from offline.monitor.distributions import ALMOST_NEVER, SELDOM, ks, ks_by_chance
from offline.monitor.reference import POINTS, ModelReference, quantiles_of

SHOWN = 20
USERS = 1000
"""people whose lists are looked at"""
CONTEXT = "web"
COMMON = 5000
"""people whose embeddings are compared"""
SAMPLED = 500
"""people whose nearest neighbours are compared"""
NEIGHBOURS = 10
LEAST_COMMON = 50
SCORE_WARN, SCORE_ALARM = 0.2, 0.35
"""KS of the probabilities of shown candidates"""
SOURCE_WARN, SOURCE_ALARM = 0.1, 0.2
"""change of the share of a source in the shown candidates"""
CENTRE_WARN, CENTRE_ALARM = 0.3, 0.6
"""distance of the centres of two sets of embeddings after alignment, over their spread"""
SPREAD_WARN, SPREAD_ALARM = 0.2, 0.4
"""relative change of the spread"""
UNLIKE_WARN, UNLIKE_ALARM = 0.75, 0.9
"""share of the nearest neighbours that are others: retraining alone changes many of those that lie equally near"""


@dataclass(frozen=True)
class Embedded:
    """The embeddings of everybody in a version or a dataset, by row."""

    vocabulary: Vocabulary
    embeddings: Float32s
    """(n, d)"""

    @classmethod
    def of_version(cls, directory: Path) -> "Embedded":
        """Those of a version directory. Raises ArtefactError."""
        vocabulary = Tables.open(directory / "tables").vocabulary
        return cls(vocabulary, files.read_array(directory / "candidates" / "embeddings.npy", np.float32, (None, None)))


def model_reference_of(directory: Path) -> ModelReference:
    """The lists of a sample of people as a version directory serves them. Raises ArtefactError."""
    tables = Tables.open(directory / "tables")
    blocks, ranker = Blocks.open(directory / "blocks", tables.n), Ranker.open(directory / "model").with_outcomes(None)
    active = np.asarray(tables.flags & np.uint8(Flag.ACTIVE), bool)
    rows = blocks.rows()
    drawn = np.sort(np.random.default_rng(0).permutation(rows)[:USERS])
    sample = (Block.unpack(blocks.record(row), tables.n) for row in drawn.tolist())
    served = float(np.isin(np.flatnonzero(active), rows).mean()) if active.any() else 0.0
    return model_reference(sample, lambda block: ranker.scores(tables, block, CONTEXT), served)


def model_reference(blocks: Iterable[Block], score: Callable[[Block], Float32s], served: float) -> ModelReference:
    """What is kept of these candidates; `served` is the share of the active people who have some."""
    scores, found, users, candidates, shown = [np.zeros(0, np.float32)], Counter[str](), 0, 0, 0
    for block in blocks:
        of_block = score(block)
        best = np.argsort(-of_block, kind="stable")[:SHOWN]
        scores.append(of_block[best])
        for bits in block.sources[best].tolist():
            found.update(names(bits))
        users, candidates, shown = users + 1, candidates + len(block), shown + len(best)
    return ModelReference(
        users=users,
        scores=quantiles_of(np.concatenate(scores)),
        candidates=candidates / max(users, 1),
        served=served,
        sources={name: round(count / max(shown, 1), 6) for name, count in sorted(found.items())},
    )


def compare_lists(then: ModelReference, now: ModelReference) -> list[DriftCheck]:
    """Checks of scores, coverage and sources."""
    checks = []
    if then.scores and now.scores:
        # candidates of one list depend on each other: chance is that of so many people
        distance, middle = ks(then.scores, now.scores), POINTS // 2
        checks.append(
            DriftCheck.of(
                "scores",
                "scores",
                distance,
                warn=max(SCORE_WARN, ks_by_chance(then.users, now.users, SELDOM)),
                alarm=max(SCORE_ALARM, ks_by_chance(then.users, now.users, ALMOST_NEVER)),
                sentence=f"the probabilities of shown candidates moved by {distance:.3f} (KS), the median from "
                f"{then.scores[middle]:.4f} to {now.scores[middle]:.4f}",
            )
        )
    error = np.sqrt(max(then.served * (1 - then.served), 1e-4) * (1 / max(then.users, 1) + 1 / max(now.users, 1)))
    checks.append(
        DriftCheck.of(
            "served",
            "coverage",
            abs(now.served - then.served),
            warn=max(SHARE_WARN, Z_WARN * error),
            alarm=max(SHARE_ALARM, Z_ALARM * error),
            sentence=f"{now.served:.1%} of the active people have candidates, and {then.served:.1%} had",
        )
    )
    change = abs(now.candidates - then.candidates) / max(then.candidates, 1)
    checks.append(
        DriftCheck.of(
            "candidates",
            "coverage",
            change,
            warn=0.2,
            alarm=0.4,
            sentence=f"people have {now.candidates:.0f} candidates each, and had {then.candidates:.0f}",
        )
    )
    for name in sorted(then.sources.keys() | now.sources.keys()):
        one, other = then.sources.get(name, 0.0), now.sources.get(name, 0.0)
        checks.append(
            DriftCheck.of(
                f"source_{name}",
                "coverage",
                abs(other - one),
                warn=max(SOURCE_WARN, ks_by_chance(then.users, now.users, SELDOM)),
                alarm=max(SOURCE_ALARM, ks_by_chance(then.users, now.users, ALMOST_NEVER)),
                sentence=f"source {name} found {other:.1%} of the shown candidates, and {one:.1%} before",
            )
        )
    return checks


def compare_embeddings(then: Embedded, now: Embedded) -> list[DriftCheck]:
    """Checks of the embeddings of people in both: centre, spread, and nearest neighbours among them.

    An encoder may rotate its whole space between two trainings, so the later embeddings are rotated onto the earlier
    ones first (orthogonal Procrustes, Schönemann 1966). No checks if too few people are in both or the widths differ.
    """
    theirs = then.vocabulary.rows(now.vocabulary.user_ids())
    mine = np.flatnonzero(theirs >= 0)
    if len(mine) < LEAST_COMMON or then.embeddings.shape[1] != now.embeddings.shape[1]:
        return []
    mine = np.sort(np.random.default_rng(0).permutation(mine)[:COMMON])
    one = then.embeddings[theirs[mine]].astype(np.float64)
    other = now.embeddings[mine].astype(np.float64)
    rotation, _ = orthogonal_procrustes(other, one)
    aligned = other @ rotation
    # centre and spread
    spread, spread_now = _spread(one), _spread(aligned)
    moved = float(np.linalg.norm(aligned.mean(axis=0) - one.mean(axis=0))) / max(spread, 1e-9)
    widened = abs(spread_now - spread) / max(spread, 1e-9)
    # nearest neighbours
    sampled = np.random.default_rng(1).permutation(len(mine))[:SAMPLED]
    unlike = 1 - _overlap(_nearest(one, sampled), _nearest(other, sampled))
    return [
        DriftCheck.of(
            "embedding_centre",
            "embeddings",
            moved,
            warn=CENTRE_WARN,
            alarm=CENTRE_ALARM,
            sentence=f"the centre of the embeddings moved by {moved:.2f} of their spread, after alignment",
        ),
        DriftCheck.of(
            "embedding_spread",
            "embeddings",
            widened,
            warn=SPREAD_WARN,
            alarm=SPREAD_ALARM,
            sentence=f"the embeddings spread by {spread_now:.3f} around their centre, and did by {spread:.3f}",
        ),
        DriftCheck.of(
            "embedding_neighbours",
            "embeddings",
            unlike,
            warn=UNLIKE_WARN,
            alarm=UNLIKE_ALARM,
            sentence=f"{1 - unlike:.0%} of the {NEIGHBOURS} nearest by embedding are still the same, over "
            f"{len(sampled)} people",
        ),
    ]


def _spread(points: NDArray[np.float64]) -> float:
    """The root mean square distance from the centre."""
    return float(np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean()))


def _nearest(points: NDArray[np.float64], sampled: NDArray[np.int64]) -> NDArray[np.int64]:
    """(a, NEIGHBOURS) the nearest of all points to those sampled for, by cosine."""
    units = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    products: NDArray[np.float64] = units[sampled] @ units.T
    products[np.arange(len(sampled)), sampled] = -np.inf
    count = min(NEIGHBOURS, len(points) - 1)
    found: NDArray[np.int64] = np.argpartition(-products, count - 1, axis=1)[:, :count]
    return found


def _overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """The mean share of neighbours in common."""
    shared = [len(set(a) & set(b)) for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    kept: int = one.shape[1]
    return float(np.mean(shared)) / max(kept, 1)
