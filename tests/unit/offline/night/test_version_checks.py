"""What parity compares: the candidates as their packed blocks hold them."""

import numpy as np

from models.schema.pair_features import KEPT_FEATURES, PAIR_FEATURES
from models.version.candidate_block import Block
from offline.night.version_checks import _publish
from offline.ranker.training_lists import TrainingLists
from tests.support.tables import tables_in_memory

PEOPLE, KEPT = 3_000, 1_000


def lists_of(codes: np.ndarray) -> TrainingLists:
    """One list of the person 0 with these codes."""
    return TrainingLists(
        users=np.zeros(1, np.int64),
        rows=np.random.default_rng(1).permutation(PEOPLE)[None, :KEPT].astype(np.uint32),
        sources=np.random.default_rng(2).integers(1, 256, (1, KEPT)).astype(np.uint8),
        codes=codes[None].copy(),
        low=np.zeros((1, len(codes)), np.float32),
        step=np.ones((1, len(codes)), np.float32),
        counts=np.full(1, KEPT),
        outcomes=np.zeros((1, KEPT), np.bool_),
        friends_made=np.zeros(1, np.int64),
        offset=np.zeros(1, np.int64),
        purpose=np.zeros(1, np.uint8),
        outcome_weight=np.ones(1, np.float32),
    )


def test_codes_that_a_block_has_no_room_for_are_compared_as_it_rounds_them() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (len(PAIR_FEATURES), KEPT)).astype(np.uint8)
    lists, kept = lists_of(codes), len(KEPT_FEATURES)
    low, high = np.zeros(kept, np.float32), np.full(kept, 255, np.float32)
    packed = Block(0, lists.rows[0], lists.sources[0], codes[:kept], low, high).pack()
    published = Block.unpack(packed, PEOPLE)
    assert (published.codes != codes[:kept]).any(), "noise does not fit: its lowest bits are rounded"
    tables = tables_in_memory([f"u{row:04}" for row in range(PEOPLE)], [(0, 1)])
    _publish(lists, 0, KEPT, tables)
    assert (lists.codes[0, :kept] == published.codes).all()
    assert (lists.rows[0] == published.rows).all()
    assert lists.counts.tolist() == [KEPT]


def test_a_cut_list_has_its_first_candidates() -> None:
    codes = np.repeat(np.arange(KEPT, dtype=np.uint16)[None] // 4, len(PAIR_FEATURES), axis=0).astype(np.uint8)
    lists = lists_of(codes)
    tables = tables_in_memory([f"u{row:04}" for row in range(PEOPLE)], [(0, 1)])
    _publish(lists, 0, 100, tables)
    assert lists.counts.tolist() == [100]
    assert (lists.codes[0, : len(KEPT_FEATURES), :100] == codes[: len(KEPT_FEATURES), :100]).all()
