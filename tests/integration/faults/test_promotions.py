"""Promotion after promotion: what was acknowledged is in effect for ever, and the time without answers is short.

In the manner of Jepsen: clients write and note what was acknowledged, primaries are killed, hung and asked to hand
over meanwhile, and a checker reads the end. A longer run, whose figures are printed:

    PYMK_PROMOTIONS=50 PYMK_ACKNOWLEDGED=100000 pytest -s tests/integration/faults/test_promotions.py
"""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.errors import StoreUnavailableError
from models.live_state.user_record import LiveRecord
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from tests.support.clock import wait_for
from tests.support.faults.cluster_store import ClusterStore, cluster_store
from tests.support.faults.replicated_store import FAULTS, ReplicatedStore, replicated_store
from tests.support.homes import Home, Service

PROMOTIONS = int(os.environ.get("PYMK_PROMOTIONS", "3"))
ACKNOWLEDGED = int(os.environ.get("PYMK_ACKNOWLEDGED", "300"))
CLIENTS = 4
BATCH = 20
LAST = 1000
"""of each kind, what is looked at after a promotion; at the end all of it is"""
VIEWERS = 100
KEYS = Keys("pymk")
LIST = "/pymk/recommendations?user_id=cid"


@pytest.fixture(params=["sentinels", "cluster"])
def replicated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReplicatedStore | ClusterStore]:
    """A store under Sentinels, or a cluster, whose servers sync each write."""
    running = replicated_store if request.param == "sentinels" else cluster_store
    with running(tmp_path, "--appendfsync", "always") as store:
        yield store


@dataclass
class Clients:
    """Clients that forbid, and one that asks for lists, until `stop`."""

    service: Service
    stop: threading.Event = field(default_factory=threading.Event)
    blocks: list[tuple[str, str]] = field(default_factory=list)
    """acknowledged: who blocked whom"""
    hidden: list[str] = field(default_factory=list)
    """people whose `discoverable: false` was acknowledged"""
    erased: list[str] = field(default_factory=list)
    """receipts of the erasures that were acknowledged"""
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    fault: str = ""
    """the one at the moment"""
    longest_s: dict[str, float] = field(default_factory=dict)
    """by kind and fault, the longest time without an answer"""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def write(self, mine: int) -> None:
        """Writes block after block, and now and then a flag and an erasure; repeats what was not acknowledged."""
        before = time.monotonic()
        for number in self._numbers:
            if self.stop.is_set() and len(self.blocks) >= ACKNOWLEDGED:
                return
            pairs = [(f"viewer{(number * BATCH + at) % VIEWERS}", f"other{number}-{at}") for at in range(BATCH)]
            steps: list[tuple[Callable[[], int], Callable[[], None]]] = [
                (lambda pairs=pairs, number=number: self._block(pairs, number), lambda p=pairs: self.blocks.extend(p))
            ]
            if number % 5 == mine:
                one = f"hides{number}"
                steps.append((lambda one=one: self._hide(one), lambda one=one: self.hidden.append(one)))
                other = f"leaves{number}"
                steps.append((lambda one=other: self._erase(one), lambda: None))
            for act, note in steps:
                while act() != 202:
                    self.refused += 1
                    time.sleep(0.02)
                note()
                now = time.monotonic()
                self._waited("acknowledgement", now - before)
                before = now

    def _block(self, pairs: Sequence[tuple[str, str]], number: int) -> int:
        events = [
            {"kind": "block", "user_id": viewer, "other_id": other, "event_id": f"{number}-{at}"}
            for at, (viewer, other) in enumerate(pairs)
        ]
        return self.service.post("/pymk/events", events)[0]

    def _hide(self, user_id: str) -> int:
        return self.service.put(f"/pymk/users/{user_id}", {"discoverable": False})[0]

    def _erase(self, user_id: str) -> int:
        """Registers somebody, and erases them."""
        status, _ = self.service.put(f"/pymk/users/{user_id}", {"discoverable": True})
        if status == 202:
            status, body = self.service.delete(f"/pymk/users/{user_id}")
            if status == 202:
                self.erased.append(body["receipt"])
        return status

    def _waited(self, kind: str, seconds: float) -> None:
        of = f"{kind}, {self.fault}"
        self.longest_s[of] = max(self.longest_s.get(of, 0.0), round(seconds, 2))

    def ask(self) -> None:
        """Asks for one list whose viewer has blocked somebody."""
        before = time.monotonic()
        while not self.stop.is_set():
            status, body = self.service.get(LIST)
            if status == 200:
                if "eva" in {one["user_id"] for one in body["recommendations"]}:
                    self.wrong.append(f"eva is shown, whom cid blocked, after {time.monotonic() - before:.2f} s")
                now = time.monotonic()
                self._waited("list", now - before)
                before = now
            elif status != 503:
                self.wrong.append(f"a list is answered with {status}")
            time.sleep(0.02)


def lost(clients: Clients, settings: Mapping[str, str], last: int = 0) -> list[str]:
    """What was acknowledged and is not in effect in the store, as soon as that can be read.

    Of each kind the last so many are looked at; 0: all.
    """
    until = time.monotonic() + 60
    while True:
        try:
            return lost_now(clients, settings, last)
        except StoreUnavailableError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def lost_now(clients: Clients, settings: Mapping[str, str], last: int) -> list[str]:
    """As `lost`. Raises StoreUnavailableError."""
    found = []
    blocks, hidden, erased = clients.blocks[-last:], clients.hidden[-last:], clients.erased[-last:]
    own = {name.removeprefix("PYMK_").lower(): value for name, value in settings.items()}
    with closing(open_sync(Settings.model_validate(own))) as store:
        blocked = {
            viewer: LiveRecord.unpack(store.get(KEYS.live(viewer))).edges for viewer in {viewer for viewer, _ in blocks}
        }
        found += [f"{viewer} blocked {other}" for viewer, other in blocks if other not in blocked[viewer]]
        for one in hidden:
            if not any(value is False for _, value in LiveRecord.unpack(store.get(KEYS.live(one))).flags.values()):
                found.append(f"{one} is not discoverable")
    for one in erased:
        status, _ = clients.service.get(f"/pymk/erasures/{one}")
        if status in (0, 503):
            raise StoreUnavailableError("The service has no store.")
        if status != 200:
            found.append(f"erasure {one}: {status}")
    return found


def test_nothing_acknowledged_is_lost_over_promotions(
    replicated: ReplicatedStore | ClusterStore, make_home: Callable[..., Home]
) -> None:
    home = make_home(**replicated.settings)
    worker = home.begin("worker", stderr=subprocess.DEVNULL)
    try:
        with home.serving() as service:
            first = [{"kind": "block", "user_id": "cid", "other_id": "eva"}]
            assert service.post("/pymk/events", first) == (202, {"accepted": 1})
            clients = Clients(service)
            threads = [threading.Thread(target=clients.write, args=(at,), daemon=True) for at in range(CLIENTS)]
            threads.append(threading.Thread(target=clients.ask, daemon=True))
            for thread in threads:
                thread.start()
            try:
                for _, fault in zip(range(PROMOTIONS), itertools.cycle(FAULTS), strict=False):
                    clients.fault = fault
                    replicated.promote(fault)
                    wanted = ACKNOWLEDGED * replicated.promotions // PROMOTIONS
                    wait_for(lambda wanted=wanted: len(clients.blocks) >= wanted, timeout_s=120)  # type: ignore[misc]
                    assert lost(clients, replicated.settings, LAST) == []
            finally:
                clients.stop.set()
                for thread in threads:
                    thread.join(120)
            assert lost(clients, replicated.settings) == []
            assert clients.wrong == []
            assert len(clients.blocks) >= ACKNOWLEDGED
            assert clients.hidden
            assert clients.erased
        assert worker.poll() is None
    finally:
        worker.kill()
        worker.wait()
    acknowledged = len(clients.blocks) + len(clients.hidden) + len(clients.erased)
    sys.stderr.write(
        f"\n{acknowledged} acknowledged over {replicated.promotions} promotions, {clients.refused} refused, repeated\n"
        f"longest seconds without: {dict(sorted(clients.longest_s.items()))}\n"
    )
