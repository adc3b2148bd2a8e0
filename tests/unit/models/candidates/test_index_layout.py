"""What an index takes of a budget of memory: wide codes while they fit, then narrow ones, then shards."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from models.candidates.config import IndexConfig
from models.candidates.index_build import build_index
from models.candidates.index_layout import (
    MOST_SHARDS,
    PROCESS,
    IndexLayout,
    bytes_of_a_vector,
    bytes_to_build,
    layouts_of,
)
from models.system import memory_budget
from offline.steps import memory

USERS, DIMENSIONS = 1_000_000, 128
CONFIG = IndexConfig()


@pytest.fixture(autouse=True)
def _no_budget_after() -> Iterator[None]:
    yield
    memory_budget.limit(None)
    memory_budget.hold(0)


def first(room: int | None, users: int = USERS, config: IndexConfig = CONFIG) -> IndexLayout:
    return layouts_of(users, DIMENSIONS, config, room)[0]


def test_without_a_budget_one_shard_holds_whole_numbers() -> None:
    assert layouts_of(USERS, DIMENSIONS, CONFIG, None) == [
        IndexLayout("float32", USERS),
    ]


@pytest.mark.parametrize(("gigabytes", "codes"), [(1.5, "float32"), (1.3, "float16"), (1.1, "int8")])
def test_codes_are_the_widest_that_fit(gigabytes: float, codes: str) -> None:
    assert first(int(gigabytes * 1e9)) == IndexLayout(codes, USERS)  # type: ignore[arg-type]


def test_what_fits_with_no_codes_is_cut_into_equal_shards_that_do() -> None:
    room = 500_000_000
    layout = first(room)
    each = bytes_to_build("int8", DIMENSIONS, CONFIG.links)
    shards = len(layout.starts(USERS))
    assert layout.codes == "int8"
    assert layout.shard_users * each <= room - PROCESS
    assert (shards - 1) * ((room - PROCESS) // each) < USERS, "one shard fewer would not do"
    assert layout.shard_users == -(-USERS // shards)


def test_a_recall_that_is_too_low_is_tried_again_with_wider_codes() -> None:
    assert [one.codes for one in layouts_of(USERS, DIMENSIONS, CONFIG, int(1.1e9))] == ["int8", "float16", "float32"]
    assert [one.codes for one in layouts_of(USERS, DIMENSIONS, CONFIG, int(1.3e9))] == ["float16", "float32"]
    assert all(one.shard_users < USERS for one in layouts_of(USERS, DIMENSIONS, CONFIG, int(1.3e9))[1:])


@pytest.mark.parametrize("room", [0, 1, PROCESS])
def test_without_any_room_shards_stay_few(room: int) -> None:
    assert len(first(room).starts(USERS)) <= MOST_SHARDS


def test_what_the_configuration_says_stands() -> None:
    asked = IndexConfig(codes="float32", shard_users=400_000)
    assert layouts_of(USERS, DIMENSIONS, asked, 500_000_000) == [IndexLayout("float32", 400_000)]


@pytest.mark.parametrize("users", [0, 1, 10])
def test_few_users_are_one_shard(users: int) -> None:
    assert list(first(1, users).starts(users)) == [0]


def test_a_shard_of_a_few_users_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 100 users"):
        IndexConfig(shard_users=99)


def test_a_night_leaves_the_index_what_its_network_does_not_take() -> None:
    """From the smallest budget with which a network is taken on, every choice comes up."""
    people, friendships, found = 1_000_000, 10_000_000, list[tuple[str, bool]]()
    least = memory.BASE + memory.BYTES_OF_A_PERSON * people + memory.BYTES_OF_A_FRIENDSHIP * friendships
    for budget in range(least, least + 2_000_000_000, 50_000_000):
        memory_budget.limit(budget)
        memory.check(people, friendships)
        layout = first(memory_budget.room(), people)
        found.append((layout.codes, layout.shard_users < people))
    assert list(dict.fromkeys(found)) == [("int8", True), ("int8", False), ("float16", False), ("float32", False)]


@pytest.mark.parametrize("codes", ["float32", "float16", "int8"])
def test_a_vector_takes_what_is_reckoned(tmp_path: Path, codes: str) -> None:
    vectors = np.random.default_rng(0).standard_normal((3_000, 32), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    config = IndexConfig(codes=codes, recall_neighbours=10, recall_sample=100, threads=1)  # type: ignore[arg-type]
    manifest = build_index(vectors, config, tmp_path / "index").manifest
    assert manifest.bytes / manifest.users == pytest.approx(
        bytes_of_a_vector(manifest.codes, 32, config.links), rel=0.1
    )
