"""Turns are taken one at a time for a name, in the order of asking."""

import asyncio

import pytest

from service.state.turns import Turns

pytestmark = pytest.mark.anyio


async def test_turns_of_a_name_are_in_order_and_those_of_others_at_the_same_time() -> None:
    turns = Turns()
    told: list[str] = []

    async def enter(name: str, number: int) -> None:
        async with turns.of(name):
            told.append(f"{name}{number} in")
            await asyncio.sleep(0.001)
            told.append(f"{name}{number} out")

    await asyncio.gather(enter("a", 1), enter("a", 2), enter("b", 1), enter("a", 3))
    assert [one for one in told if "a" in one] == ["a1 in", "a1 out", "a2 in", "a2 out", "a3 in", "a3 out"]
    assert told.index("b1 in") < told.index("a1 out")
    assert len(turns) == 0, "names are not kept"


async def test_a_fault_or_a_caller_that_leaves_passes_the_turn_on() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="fault"):
        async with turns.of("a"):
            raise ValueError("fault")
    async with turns.of("a"):
        waiting = asyncio.create_task(turns.of("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1), turns.of("a"):
        pass
