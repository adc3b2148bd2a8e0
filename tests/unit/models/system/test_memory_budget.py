"""How large blocks are under a budget of memory."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.system import memory_budget

MB = 1 << 20


@pytest.fixture(autouse=True)
def no_budget_is_left_behind() -> Iterator[None]:
    yield
    memory_budget.limit(None)


def test_without_a_budget_blocks_are_as_large_as_wanted() -> None:
    assert memory_budget.at_once(1_000, 1 << 40) == memory_budget.within(1_000, 1 << 40) == 1_000
    assert memory_budget.most() is None


def test_what_is_held_leaves_less_for_blocks() -> None:
    memory_budget.limit(memory_budget.resident_bytes() + 400 * MB)
    before = memory_budget.at_once(1_000, MB)
    assert 80 <= before <= 101, "a quarter of what is left"
    held = np.ones(200 * MB, np.uint8)
    assert memory_budget.at_once(1_000, MB) <= before - 40
    assert memory_budget.at_once(10, MB) == 10, "no more than wanted"
    assert held.any()


def test_beyond_the_budget_work_goes_on_with_the_least() -> None:
    memory_budget.limit(1)
    assert memory_budget.at_once(1_000, MB) == memory_budget.within(1_000, MB) == 1
    assert memory_budget.at_once(1_000, MB, least=32) == memory_budget.within(1_000, MB, least=32) == 32


def test_what_changes_a_result_goes_by_the_budget_alone() -> None:
    memory_budget.limit(4_000 * MB)
    before = memory_budget.within(10_000, MB)
    held = np.ones(100 * MB, np.uint8)
    assert memory_budget.within(10_000, MB) == before == 1_000
    assert held.any()
