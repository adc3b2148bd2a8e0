"""Load on a service with a canary: viewers who ask for lists and act on them as their friendships say."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.publishing.canary_counts import ShareDraw

SHOWN = 10
LOOKED_AT = 3
"""people of a list that a viewer considers"""


@dataclass
class Viewers:
    """People who invite whom they share friends with, and dismiss whom they share none with."""

    friends: Mapping[str, frozenset[str]]
    acts: float = 0.3
    """share of the lists that are acted on"""

    def __post_init__(self) -> None:
        self.ids = sorted(self.friends)

    def events(self, viewer: str, shown: Sequence[str], draw: random.Random) -> list[dict[str, str]]:
        """What a viewer does with the first people of a list."""
        found = []
        for other in shown[:LOOKED_AT]:
            if draw.random() < self.acts:
                mutual = len(self.friends[viewer] & self.friends.get(other, frozenset()))
                if mutual >= 2:
                    found.append({"kind": "invite", "user_id": viewer, "other_id": other})
                elif mutual == 0 and draw.random() < 0.3:
                    found.append({"kind": "dismiss", "user_id": viewer, "other_id": other})
        return found


@dataclass
class CanaryLoad:
    """So many connections that ask one after the other, until so many lists were had or the canary ended."""

    port: int
    viewers: Viewers
    control: str
    canary: str
    share: float
    """the largest that the canary has"""
    wanted: int
    connections: int
    pace_s: float = 0.0
    """pause of a connection between two requests"""
    until_gone: bool = False
    """whether to end once no answer of the last `wanted` / 10 requests was the canary's"""
    begun: int = 0
    last_of_canary: int = 0
    """number of the last request that the canary answered"""
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = ShareDraw(self.canary, self.share)
        self._random = random.Random(7)

    async def run(self) -> None:
        await asyncio.gather(*(self._connection() for _ in range(self.connections)))

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while self.begun < self.wanted and not self._is_over():
                self.begun += 1
                await self._request(reader, writer, self.begun)
                await asyncio.sleep(self.pace_s)
        finally:
            writer.close()

    def _is_over(self) -> bool:
        seen = self.versions[self.canary]
        return self.until_gone and bool(seen) and self.begun - self.last_of_canary > self.wanted // 10

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        viewer = self._random.choice(self.viewers.ids)
        started = time.perf_counter()
        path = f"/pymk/recommendations?user_id={viewer}&limit={SHOWN}"
        status, answer = await self._sent(reader, writer, f"GET {path}", b"")
        self.latencies_s.append(time.perf_counter() - started)
        self.statuses[status] += 1
        if status != 200:
            self.faults[json.dumps(answer)] += 1
            return
        version = answer["version"]
        self.versions[version] += 1
        self.served[answer["served"]] += 1
        if version == self.canary:
            self.last_of_canary = number
            if not self._draw.has(viewer):
                self.faults[f"{viewer} is outside the share, and saw the canary"] += 1
        elif version != self.control:
            self.faults[f"{version} is neither"] += 1
        events = self.viewers.events(viewer, [one["user_id"] for one in answer["recommendations"]], self._random)
        if events:
            status, told = await self._sent(reader, writer, "POST /pymk/events", json.dumps(events).encode())
            if status != 202:
                self.faults[f"{status} {told}"] += 1

    async def _sent(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str, body: bytes
    ) -> tuple[int, Any]:
        head = f"{line} HTTP/1.1\r\nHost: localhost\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}\r\n".encode() + body)
        answered = await reader.readuntil(b"\r\n\r\n")
        length = int(answered.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(answered[9:12]), json.loads(await reader.readexactly(length))
