"""Ablation: the system's lists without one of its parts.

Nothing is trained again. A removed feature is set to its mean over the viewer's candidates. A removed source loses the
candidates that no other source found.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.candidates.generator import CandidateGenerator
from models.ranker.ranker import FALLBACK, PersonTables, Ranker
from models.schema.candidate_sources import Source
from models.schema.pair_features import EMBEDDING, PROFILE_AFFINITY, SMOOTH, SPECTRAL
from models.version.candidate_block import Block

WITHOUT_EMBEDDINGS = "without embeddings"
WITHOUT_PROFILE = "without profile"
WITHOUT_SPECTRUM = "without spectrum"
PRODUCT_ALONE = "tower product alone"
HEAD_ALONE = "head alone, no towers"
PRERANK_ALONE = "cheap score alone"


class ZeroCandidateVectors(NamedTuple):
    """The tables of a version with all vectors of the candidate tower zero."""

    candidate_vectors: NDArray[np.float32]
    tower_inputs: NDArray[np.float16]
    statistics: NDArray[np.float32]


def ablated_lists(
    generator: CandidateGenerator, ranker: Ranker, tables: PersonTables, users: NDArray[np.int64], length: int
) -> dict[str, NDArray[np.int32]]:
    """For each removed part the best `length` candidates of `users` (U,), (U, length) int32, -1 past the last."""
    zeroed = ZeroCandidateVectors(np.zeros_like(tables.candidate_vectors), tables.tower_inputs, tables.statistics)
    lists: dict[str, NDArray[np.int32]] = {}
    at = 0
    for pools in generator.batches(users):
        for block in pools.blocks():
            for name, rows in _variants(block, ranker, tables, zeroed):
                kept = lists.setdefault(name, np.full((len(users), length), -1, np.int32))
                kept[at, : min(length, len(rows))] = rows[:length]
            at += 1
    return lists


def _variants(
    block: Block, ranker: Ranker, tables: PersonTables, zeroed: PersonTables
) -> Iterator[tuple[str, NDArray[np.uint32]]]:
    """Yields each variant's name and its ranking of one viewer's candidates, best first."""

    def by_ranker(changed: Block, used: PersonTables = tables) -> NDArray[np.uint32]:
        return changed.rows[np.argsort(-ranker.logits(used, changed), kind="stable")]

    embedding = _neutral(_without_source(block, Source.EMBEDDING), EMBEDDING)
    yield WITHOUT_EMBEDDINGS, by_ranker(embedding, zeroed)
    yield WITHOUT_PROFILE, by_ranker(_neutral(_without_source(block, Source.SAME_ATTRIBUTES), PROFILE_AFFINITY))
    yield WITHOUT_SPECTRUM, by_ranker(_neutral(block, SPECTRAL, SMOOTH))
    for source in Source:
        yield f"without {str(source.name).lower()}", by_ranker(_without_source(block, source))
    if ranker.kind != FALLBACK:
        query = ranker.query(tables.tower_inputs[block.viewer].astype(np.float32))
        product = tables.candidate_vectors[block.rows] @ query
        yield PRODUCT_ALONE, block.rows[np.argsort(-product, kind="stable")]
        yield HEAD_ALONE, by_ranker(block, zeroed)
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
