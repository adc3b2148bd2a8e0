"""What an index takes of a budget of memory: wide codes while they fit, then narrow ones, then shards."""

from collections.abc import Iterator

import pytest

from models.candidates.config import IndexConfig
from models.candidates.index_layout import IndexLayout, bytes_of_a_vector, layout_of, settled
from models.system import memory_budget

USERS, DIMENSIONS = 1_000_000, 64
CONFIG = IndexConfig()


@pytest.fixture(autouse=True)
def _no_budget_after() -> Iterator[None]:
    yield
    memory_budget.limit(None)


def test_without_a_budget_one_shard_holds_whole_numbers() -> None:
    assert layout_of(USERS, DIMENSIONS, CONFIG) == IndexLayout("float32", USERS)


@pytest.mark.parametrize(("gigabytes", "codes"), [(4, "float32"), (1.6, "float16"), (1.3, "int8")])
def test_codes_are_the_widest_that_fit(gigabytes: float, codes: str) -> None:
    memory_budget.limit(int(gigabytes * 1e9))
    layout = layout_of(USERS, DIMENSIONS, CONFIG)
    assert (layout.codes, layout.shard_users) == (codes, USERS)


def test_what_fits_with_no_codes_is_cut_into_shards_that_do() -> None:
    memory_budget.limit(int(0.5e9))
    layout = layout_of(USERS, DIMENSIONS, CONFIG)
    size = bytes_of_a_vector("int8", DIMENSIONS, CONFIG.links)
    assert layout.codes == "int8"
    assert layout.shard_users * size <= 0.25 * 0.5e9 < (layout.shard_users + 1) * size
    assert sum(min(layout.shard_users, USERS - start) for start in layout.starts(USERS)) == USERS


def test_what_the_configuration_says_stands() -> None:
    memory_budget.limit(int(0.5e9))
    asked = IndexConfig(codes="float32", shard_users=400_000)
    assert layout_of(USERS, DIMENSIONS, asked) == IndexLayout("float32", 400_000)


def test_a_process_without_the_budget_builds_what_was_settled() -> None:
    memory_budget.limit(int(0.5e9))
    expected = layout_of(USERS, DIMENSIONS, CONFIG)
    chosen = settled(USERS, DIMENSIONS, CONFIG)
    memory_budget.limit(None)
    assert layout_of(USERS, DIMENSIONS, chosen) == expected


@pytest.mark.parametrize("users", [0, 1, 10])
def test_few_users_are_one_shard(users: int) -> None:
    memory_budget.limit(int(1e9))
    assert list(layout_of(users, DIMENSIONS, CONFIG).starts(users)) == [0]
