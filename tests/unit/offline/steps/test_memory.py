"""Sizes on the command line, networks that do not fit, and steps that took more than they should."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from models.errors import UsageError
from models.system import memory_budget
from offline.steps import memory


@pytest.fixture(autouse=True)
def no_budget_is_left_behind() -> Iterator[None]:
    yield
    memory_budget.limit(None)


@pytest.mark.parametrize(
    ("text", "size"), [("8G", 8_000_000_000), ("8GiB", 8 << 30), ("1500M", 1_500_000_000), ("2000000000", 2 * 10**9)]
)
def test_sizes(text: str, size: int) -> None:
    assert memory.parsed(text) == size


@pytest.mark.parametrize("text", ["", "x", "-8G", "8Q", "8 G 1"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is no size: write it as 8G"):
        memory.parsed(text)


@pytest.mark.parametrize("text", ["0", "8", "100M"])
def test_too_little_for_any_network_is_said(text: str) -> None:
    with pytest.raises(UsageError, match=r"is too little: a night on a small network takes 1\.\dG"):
        memory.parsed(text)


def test_a_network_that_does_not_fit_is_refused_with_what_it_takes() -> None:
    memory.check(10_000_000, 100_000_000)
    memory_budget.limit(8_000_000_000)
    memory.check(100_000, 1_000_000)
    with pytest.raises(UsageError, match=r"--memory 8.0G is too little for 10,000,000 people .* takes about \d+\.\dG"):
        memory.check(10_000_000, 100_000_000)


def test_a_step_that_took_more_is_told() -> None:
    memory_budget.limit(2_000_000_000)
    with capture_logs() as logs:
        memory.tell("training", 1_000)
        memory.tell("version", 3_000)
    assert [(line["event"], line["step"], line["peak"], line["budget"]) for line in logs] == [
        ("memory_exceeded", "version", "3.1G", "2.0G")
    ]
