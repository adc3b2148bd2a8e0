"""The watch ends every wait in time, a few at once, so that no request waits behind the ends of thousands."""

import asyncio
from dataclasses import replace

import pytest

from models.settings import Settings
from service.server.connection_limits import ConnectionLimits, Watch

MANY = 300
LIMIT_S = 0.16
"""an eighth of it is the shortest round"""


class Stalled:
    """A connection whose client sends nothing; counts with the others how many are ended in one turn of the loop."""

    waits_s = LIMIT_S
    is_waiting = True

    def __init__(self, connections: set["Stalled"], turns: list[int]) -> None:
        self.since: float | None = None
        self._connections, self._turns = connections, turns

    def look(self, now: float) -> None:
        self.since = self.since or now

    def expire(self) -> None:
        self._turns[-1] += 1
        self._connections.discard(self)

    def resume(self) -> None:
        raise AssertionError("nothing was paused")

    abandon = expire


@pytest.mark.anyio
async def test_waits_are_ended_a_few_at_a_time_and_all_of_them() -> None:
    turns = [0]
    connections: set[Stalled] = set()
    connections.update(Stalled(connections, turns) for _ in range(MANY))
    limits = replace(ConnectionLimits.of(Settings()), head_s=LIMIT_S, body_s=LIMIT_S)
    Watch(limits, connections, None)
    async with asyncio.timeout(10):
        while connections:
            await asyncio.sleep(0)
            turns.append(0)
    assert sum(turns) == MANY
    assert max(turns) <= 4
