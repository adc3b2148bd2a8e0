"""The loader: which records it asks for, what it builds of them, and how each may be missing or damaged."""

import numpy as np
import pytest

from models.errors import CorruptRecordError
from models.live_state.edges import Direction
from models.live_state.profile_changes import LiveProfile
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.system.clock import now_us
from models.version.candidate_block import Block
from models.version.new_user_record import Newcomer, ProfileCodes
from service.recommend.responses import read_block
from service.recommend.viewer_loader import ViewerLoader
from service.state.served_version import ServedVersion
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")
CID = 2


def live_record(*, profile: bool = False) -> bytes:
    """A record of a user who connected with gus, and put a profile if told."""
    record, now = LiveRecord(), now_us()
    record.apply("gus", Direction.OUT, EventKind.CONNECT, now)
    if profile:
        record.profile = now
    return record.next_revision(now).pack()


def profile_record(**columns: str) -> bytes:
    """A live profile with these columns."""
    return LiveProfile({column: (now_us(), value) for column, value in columns.items()}).pack()


def block_of(memory: MemoryStore, served: ServedVersion, row: int) -> bytes:
    record = memory.get(KEYS.block(served.version, row))
    assert record is not None
    return record


def newcomer_record(memory: MemoryStore, served: ServedVersion) -> bytes:
    """What the worker makes of a newcomer: with ann's block, and Bolt as company."""
    tables, block = served.tables, Block.unpack(block_of(memory, served, 0))
    codes = ProfileCodes.of({"company": "Bolt"}, tables)
    return Newcomer(1, tables.statistics[1], tables.towers.query(1), codes, np.array([0], np.int32), block).pack()


def test_which_records_are_read_first(served: ServedVersion) -> None:
    version = served.version
    assert KEYS.viewer_records(version, "cid", CID) == [KEYS.live("cid"), KEYS.block(version, CID)]
    assert KEYS.viewer_records(version, "cid", CID, "web") == [KEYS.live("cid"), KEYS.ranked(version, CID, "web")]
    assert KEYS.viewer_records(version, "zoe", None, "web") == [KEYS.live("zoe")]


def test_a_viewer_to_whom_nothing_happened(
    loader: ViewerLoader, served: ServedVersion, memory: MemoryStore, faults: list[str]
) -> None:
    viewer, _, missing = loader.load(served, "cid", CID, None)
    assert (viewer.row, viewer.view, viewer.codes, viewer.is_served) == (CID, None, None, True)
    block = read_block(served, viewer, block_of(memory, served, CID), loader.degrade)
    assert block is not None
    assert (block.viewer, missing, faults) == (CID, (), [])
    assert read_block(served, viewer, block, loader.degrade) is block


def test_live_state_and_a_changed_profile(
    loader: ViewerLoader, served: ServedVersion, memory: MemoryStore, faults: list[str]
) -> None:
    loaded = loader.load(served, "cid", CID, live_record())
    assert loaded.missing == (), "a profile that did not change is not read"
    loaded = loader.load(served, "cid", CID, live_record(profile=True))
    assert loaded.missing == (KEYS.live_profile("cid"),)
    viewer, same, missing = loader.complete(served, loaded, [profile_record(company="Bolt")])
    assert viewer.codes is not None
    assert viewer.codes.categorical.tolist() == [1]
    assert viewer.view is not None
    assert 6 in viewer.view.friends
    assert (same, missing, faults) == (loaded.block, (), [])


def test_a_newcomer_with_candidates_and_without(
    loader: ViewerLoader, served: ServedVersion, memory: MemoryStore, faults: list[str]
) -> None:
    loaded = loader.load(served, "zoe", None, live_record(profile=True))
    assert loaded.missing == (KEYS.newcomer(served.version, "zoe"), KEYS.live_profile("zoe"))
    viewer, block, _ = loader.complete(served, loaded, [newcomer_record(memory, served), None])
    assert (viewer.row, block is not None, viewer.inputs is not None) == (None, True, True)
    viewer, block, _ = loader.complete(served, loaded, [None, profile_record(company="Acme")])
    assert viewer.codes is not None
    assert (viewer.codes.categorical.tolist(), viewer.inputs, block) == ([0], None, None)
    assert viewer.can_have_candidates
    viewer, block, _ = loader.complete(served, loaded, [None, None])
    assert (viewer.codes, block, faults) == (None, None, [])
    assert viewer.can_have_candidates, "a friend is enough"


def test_a_stranger_needs_no_second_trip(loader: ViewerLoader, served: ServedVersion) -> None:
    viewer, block, missing = loader.load(served, "nobody", None, None)
    assert (viewer.row, viewer.can_have_candidates, block, missing) == (None, False, None, ())


@pytest.mark.parametrize("damaged", [b"", b"\x01", b"x" * 100])
def test_a_damaged_block_counts_as_none(
    loader: ViewerLoader, served: ServedVersion, faults: list[str], damaged: bytes
) -> None:
    viewer = loader.load(served, "cid", CID, None).viewer
    assert read_block(served, viewer, damaged, loader.degrade) is None
    assert (viewer.row, faults) == (CID, ["corrupt_block"])


def test_a_block_of_another_viewer_counts_as_none(
    loader: ViewerLoader, served: ServedVersion, memory: MemoryStore, faults: list[str]
) -> None:
    viewer = loader.load(served, "cid", CID, None).viewer
    assert read_block(served, viewer, block_of(memory, served, 0), loader.degrade) is None
    assert faults == ["corrupt_block"]
    assert read_block(served, viewer, None, loader.degrade) is None
    assert faults == ["corrupt_block"], "a missing block is no fault"


def test_a_damaged_profile_leaves_the_one_of_the_version(
    loader: ViewerLoader, served: ServedVersion, memory: MemoryStore, faults: list[str]
) -> None:
    loaded = loader.load(served, "cid", CID, live_record(profile=True))
    viewer, block, missing = loader.complete(served, loaded, [b"damaged"])
    assert (viewer, block, missing) == (loaded.viewer, loaded.block, ())
    assert faults == ["corrupt_profile"]


@pytest.mark.parametrize("records", [[b"damaged", None], [None, b"damaged"]])
def test_a_damaged_newcomer_is_built_without_it(
    loader: ViewerLoader, served: ServedVersion, faults: list[str], records: list[bytes | None]
) -> None:
    loaded = loader.load(served, "zoe", None, live_record(profile=True))
    viewer, block, missing = loader.complete(served, loaded, records)
    assert (viewer, block, missing) == (loaded.viewer, None, ())
    assert faults == ["corrupt_newcomer"]


def test_there_is_no_viewer_without_the_live_record(
    loader: ViewerLoader, served: ServedVersion, faults: list[str]
) -> None:
    with pytest.raises(CorruptRecordError):
        loader.load(served, "cid", CID, b"damaged")
    assert faults == ["corrupt_record"]
