"""A cluster of three primaries with a replica each, whose servers are killed, hung, and started again."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis

from tests.support.clock import wait_for
from tests.support.faults.replicated_store import Server
from tests.support.stores import free_ports, has_state_ok

PRIMARIES = 3
SLOTS = 1 << 14
NODE_TIMEOUT_MS = 800


@dataclass
class ClusterStore:
    """The servers, the first three of which begin as primaries."""

    servers: list[Server]
    promotions: int = 0

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a command that uses it."""
        nodes = ",".join(f"127.0.0.1:{one.port}" for one in self.servers[:PRIMARIES])
        return {"PYMK_REDIS_URL": f"redis://{nodes}", "PYMK_REDIS_CLUSTER": "true", "PYMK_REDIS_REPLICAS": "1"}

    def primaries(self) -> list[Server]:
        """The servers that are primaries at the moment and answer."""
        return [one for one in self.servers if _role(one) == "master"]

    def promote(self, fault: str) -> None:
        """Has a primary killed, hung or handed over, waits until its replica is the primary, and brings it back."""
        old = self.primaries()[self.promotions % PRIMARIES]
        others = [one for one in self.servers if one is not old]
        if fault == "killed":
            old.kill()
        elif fault == "hung":
            old.signal(signal.SIGSTOP)
        else:
            (heir,) = (one for one in others if _upstream(one) == old.port)
            with heir.client() as client:
                client.execute_command("CLUSTER", "FAILOVER", *(() if fault == "handed over in step" else ("FORCE",)))
        wait_for(lambda: sum(_role(one) == "master" for one in others) == PRIMARIES, timeout_s=60, interval_s=0.05)
        self.promotions += 1
        if fault == "killed":
            old.start()
        elif fault == "hung":
            old.signal(signal.SIGCONT)
        self.settle()

    def reshard(self) -> None:
        """Moves half of the slots of the first server to the second, and back."""
        first, second = self.servers[:2]
        for source, target in ((first, second), (second, first)):
            _migrate(source, target, 0, SLOTS // PRIMARIES // 2)
        self.settle()

    def settle(self) -> None:
        """Waits until each primary has a replica in step, and all slots are served."""
        wait_for(self._is_settled, timeout_s=60, interval_s=0.05)

    def _is_settled(self) -> bool:
        primaries = self.primaries()
        if len(primaries) != PRIMARIES:
            return False
        for one in primaries:
            with suppress(redis.RedisError), one.client() as client:
                facts = client.info("replication")
                assert isinstance(facts, dict)
                replica = facts.get("slave0")
                if not isinstance(replica, dict) or replica["state"] != "online" or not has_state_ok(client):
                    return False
                continue
            return False
        return True


def _role(server: Server) -> str:
    with suppress(redis.RedisError, OSError), server.client() as client:
        facts = client.info("replication")
        assert isinstance(facts, dict)
        return str(facts["role"])
    return ""


def _upstream(server: Server) -> int:
    with server.client() as client:
        facts = client.info("replication")
    assert isinstance(facts, dict)
    return int(facts.get("master_port", 0))


@contextmanager
def cluster_store(directory: Path, *options: str) -> Iterator[ClusterStore]:
    """Runs the servers as long as the context; `options` are those of each server."""
    servers = []
    ports = free_ports(4 * PRIMARIES)
    for number, (port, bus) in enumerate(zip(ports[::2], ports[1::2], strict=True)):
        own = directory / f"node-{number}"
        own.mkdir()
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        arguments += ["--repl-diskless-sync-delay", "0", "--cluster-enabled", "yes", "--cluster-port", str(bus)]
        arguments += ["--cluster-node-timeout", str(NODE_TIMEOUT_MS), *options]
        servers.append(Server(own, port, arguments))
    store = ClusterStore(servers)
    try:
        for one in servers:
            one.start()
        _join(servers)
        store.settle()
        yield store
    finally:
        for one in servers:
            one.kill()


def _join(servers: Sequence[Server]) -> None:
    """Makes one cluster of the servers: slots to the first three, the others their replicas."""
    bounds = [SLOTS * at // PRIMARIES for at in range(PRIMARIES + 1)]
    identities = []
    first = servers[0]
    for number, one in enumerate(servers):
        with one.client() as client:
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            identities.append(client.execute_command("CLUSTER", "MYID"))
            if number:
                bus = first.arguments[first.arguments.index("--cluster-port") + 1]
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
    for one, (low, high) in zip(servers, pairwise(bounds), strict=False):
        with one.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
    for one, upstream in zip(servers[PRIMARIES:], identities, strict=False):
        with one.client() as client:
            wait_for(partial(_replicates, client, upstream), interval_s=0.05)


def _migrate(source: Server, target: Server, low: int, high: int) -> None:
    """Moves a range of slots that all are the source's."""
    with target.client() as client:
        identity = client.execute_command("CLUSTER", "MYID")
    with source.client() as client:
        command = ("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", low, high, "NODE", identity)
        client.execute_command(*command)
        wait_for(lambda: _owner(client, low) == target.port, timeout_s=60, interval_s=0.05)


def _owner(client: redis.Redis, slot: int) -> int:
    """The port of the primary of a slot, as a node knows it."""
    ranges: list[list[Any]] = client.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
    return next(int(primary[1]) for low, high, primary, *_ in ranges if low <= slot <= high)


def _replicates(client: redis.Redis, upstream: bytes) -> bool:
    try:
        client.execute_command("CLUSTER", "REPLICATE", upstream)  # type: ignore[no-untyped-call]
    except redis.ResponseError:  # it has not heard of that one yet
        return False
    return True
