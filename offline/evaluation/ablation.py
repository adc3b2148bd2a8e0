"""Ablation: the system's lists without one of its parts.

Nothing is trained again. A removed feature is set to its mean over the viewer's candidates. A removed source loses the
candidates that no other source found.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.ranker.product_feature import with_product
from models.ranker.ranker import PersonTables, Ranker
from models.schema.candidate_sources import NIGHTLY, Source
from models.schema.pair_features import EMBEDDING, PRODUCT, PROFILE_AFFINITY
from models.version.candidate_block import Block
from offline.evaluation.report import PRODUCT_ALONE, WITHOUT_TOWERS
from offline.evaluation.system import Candidates

WITHOUT_EMBEDDINGS = "without embeddings"
WITHOUT_PROFILE = "without profile"
PRERANK_ALONE = "cheap score alone"


def ablated_lists(
    candidates: Candidates, ranker: Ranker, tables: PersonTables, users: NDArray[np.int64], length: int
) -> dict[str, NDArray[np.int32]]:
    """For each removed part the best `length` candidates of `users` (U,), (U, length) int32, -1 past the last."""
    lists: dict[str, NDArray[np.int32]] = {}
    for at, block in enumerate(candidates.blocks(users)):
        for name, rows in _variants(block, ranker, tables):
            kept = lists.setdefault(name, np.full((len(users), length), -1, np.int32))
            kept[at, : min(length, len(rows))] = rows[:length]
    return lists


def tower_lists(
    candidates: Candidates, ranker: Ranker, tables: PersonTables, users: NDArray[np.int64], length: int
) -> dict[str, NDArray[np.int32]]:
    """The best `length` candidates of `users` (U,) by the product alone, and by the ranker with it at its mean.

    Empty if the towers have no dimension.
    """
    if not tables.towers.dimensions:
        return {}
    names = (PRODUCT_ALONE, WITHOUT_TOWERS)
    lists = {name: np.full((len(users), length), -1, np.int32) for name in names}
    for at, kept in enumerate(candidates.blocks(users)):
        block = with_product(tables.towers, kept, tables.towers.query(kept.viewer))
        scores = block.values()[PRODUCT], ranker.logits(tables, _neutral(block, PRODUCT))
        for name, score in zip(names, scores, strict=True):
            rows = block.rows[np.argsort(-score, kind="stable")[:length]]
            lists[name][at, : len(rows)] = rows
    return lists


def _variants(block: Block, ranker: Ranker, tables: PersonTables) -> Iterator[tuple[str, NDArray[np.uint32]]]:
    """Yields each variant's name and its ranking of one viewer's candidates, best first."""
    block = with_product(tables.towers, block, tables.towers.query(block.viewer))

    def by_ranker(changed: Block) -> NDArray[np.uint32]:
        return changed.rows[np.argsort(-ranker.logits(tables, changed), kind="stable")]

    yield WITHOUT_EMBEDDINGS, by_ranker(_neutral(_without_source(block, Source.EMBEDDING), EMBEDDING))
    yield WITHOUT_PROFILE, by_ranker(_neutral(_without_source(block, Source.SAME_ATTRIBUTES), PROFILE_AFFINITY))
    yield WITHOUT_TOWERS, by_ranker(_neutral(block, PRODUCT))
    for source in NIGHTLY:
        yield f"without {str(source.name).lower()}", by_ranker(_without_source(block, source))
    if tables.towers.dimensions:
        yield PRODUCT_ALONE, block.rows[np.argsort(-block.values()[PRODUCT], kind="stable")]
    yield PRERANK_ALONE, block.rows


def _neutral(block: Block, *features: int) -> Block:
    """The block with these features constant."""
    codes = block.codes.copy()
    for feature in features:
        codes[feature] = round(float(block.codes[feature].mean())) if len(block) else 0
    return dataclasses.replace(block, codes=codes)


def _without_source(block: Block, source: Source) -> Block:
    """The block without the candidates that only this source found, and without its bit."""
    left = block.sources & np.uint8(~source & 0xFF)
    kept = left != 0
    return dataclasses.replace(
        block, rows=block.rows[kept], sources=left[kept], codes=np.ascontiguousarray(block.codes[:, kept])
    )
