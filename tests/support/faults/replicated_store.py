"""A primary, two replicas and three Sentinels on this machine, whose servers are killed, hung, and started again."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

from models.store.embedded.binary import server_binary
from tests.support.clock import wait_for
from tests.support.stores import answers, free_ports

SERVICE = "people"
QUORUM = 2
DOWN_AFTER_MS = 500
FAULTS = ("killed", "hung", "handed over", "handed over in step")
"""what happens to a primary; in the last it stops writing until its successor has everything"""


@dataclass
class Server:
    """One process of a store or of a Sentinel, in a directory of its own."""

    directory: Path
    port: int
    arguments: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, *more: str) -> None:
        """Starts the process, with more arguments, and waits until it answers."""
        command = [str(server_binary()), *self.arguments, *more]
        self.process = subprocess.Popen(command, cwd=self.directory, stdout=subprocess.DEVNULL)
        with self.client() as client:
            wait_for(lambda: self._is_alive() and answers(client), timeout_s=20, interval_s=0.02)

    def _is_alive(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the server ended: it may have found its port taken"
        return True

    def client(self) -> redis.Redis:
        """A client of this server alone."""
        return redis.Redis(port=self.port, socket_timeout=2, protocol=2, driver_info=None)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Ends the process at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class ReplicatedStore:
    """The servers by port, and what the Sentinels say of them."""

    servers: dict[int, Server]
    sentinels: list[Server]
    promotions: int = field(default=0)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a command that uses it."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return {"PYMK_REDIS_URL": f"redis+sentinel://{hosts}/{SERVICE}", "PYMK_REDIS_REPLICAS": "2"}

    def primary(self) -> Server:
        """The primary, by the Sentinels' latest configuration."""
        found = []
        for sentinel in self.sentinels:
            with sentinel.client() as client, suppress(redis.RedisError):
                state = client.sentinel_master(SERVICE)
                assert isinstance(state, dict)
                found.append((state["config-epoch"], state["port"]))
        return self.servers[max(found)[1]]

    def promote(self, fault: str) -> None:
        """Has one of FAULTS happen to the primary, waits until another one is it, and brings the old one back."""
        old = self.primary()
        if fault == "killed":
            old.kill()
        elif fault == "hung":
            old.signal(signal.SIGSTOP)
        else:
            how = () if fault == "handed over" else ("COORDINATED",)
            with self.sentinels[0].client() as client:
                wait_for(lambda: _failover(client, *how), timeout_s=30, interval_s=0.2)
        wait_for(lambda: self.primary() is not old, timeout_s=60, interval_s=0.05)
        self.promotions += 1
        if fault == "killed":
            old.start("--replicaof", "127.0.0.1", str(self.primary().port))
        elif fault == "hung":
            old.signal(signal.SIGCONT)
        self.settle()

    def settle(self) -> None:
        """Waits until both others follow the primary."""
        wait_for(self._is_settled, timeout_s=60, interval_s=0.05)

    def _is_settled(self) -> bool:
        with suppress(redis.RedisError):
            with self.primary().client() as client:
                facts = client.info("replication")
            assert isinstance(facts, dict)
            states = [of["state"] for name, of in facts.items() if name.startswith("slave") and isinstance(of, dict)]
            return facts["role"] == "master" and states == ["online"] * (len(self.servers) - 1)
        return False


def _failover(client: redis.Redis, *how: str) -> bool:
    try:
        client.execute_command("SENTINEL", "FAILOVER", SERVICE, *how)  # type: ignore[no-untyped-call]
    except redis.ResponseError:  # one is on its way, or no replica is fit yet
        return False
    return True


@contextmanager
def replicated_store(directory: Path, *options: str) -> Iterator[ReplicatedStore]:
    """Runs the servers as long as the context; `options` are those of the store servers."""
    ports = free_ports(6)
    servers = {}
    for port in ports[:3]:
        own = directory / f"store-{port}"
        own.mkdir()
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        arguments += ["--repl-diskless-sync-delay", "0", "--repl-timeout", "10", *options]
        if port != ports[0]:
            arguments += ["--replicaof", "127.0.0.1", str(ports[0])]
        servers[port] = Server(own, port, arguments)
    sentinels = []
    for number, port in enumerate(ports[3:]):
        own = directory / f"sentinel-{number}"
        own.mkdir()
        lines = (
            f"port {port}",
            "bind 127.0.0.1",
            f"sentinel monitor {SERVICE} 127.0.0.1 {ports[0]} {QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            f"sentinel parallel-syncs {SERVICE} 2",
        )
        (own / "sentinel.conf").write_text("\n".join(lines) + "\n")
        sentinels.append(Server(own, port, ["sentinel.conf", "--sentinel"]))
    store = ReplicatedStore(servers, sentinels)
    try:
        for one in (*servers.values(), *sentinels):
            one.start()
        store.settle()
        wait_for(lambda: all(map(_knows_all, sentinels)), timeout_s=30, interval_s=0.1)
        yield store
    finally:
        for one in (*sentinels, *servers.values()):
            one.kill()


def _knows_all(sentinel: Server) -> bool:
    """Whether a Sentinel knows both replicas and both other Sentinels."""
    with sentinel.client() as client, suppress(redis.RedisError):
        state = client.sentinel_master(SERVICE)
        assert isinstance(state, dict)
        return (state["num-slaves"], state["num-other-sentinels"]) == (2, 2)
    return False
