"""Activates a version that the store no longer holds while the service is asked, and says what its readers saw of it.

    python tests/load/make_version.py --home HOME --versions 2       once, see there
    python tests/load/activation.py --home HOME                      200 requests a second beside `pymk activate`
    python tests/load/activation.py --home HOME --over-http --rewriting

The version that is not served is removed from the store and activated, which loads it from its files: once with nobody
asking, for its time, and once under load. What readers saw without it is measured in between. In the end the version
that was active is active again. The store's file is left as it is while that goes on, or (--rewriting) written anew
from the beginning of each, as the server does by itself once the file has doubled. Exit status 1 where a bar is missed.
"""

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import redis
import typer
from servers import Service, environment, loadtest, service

from models.publishing.pointer import read_pointer
from models.publishing.transfer import Loader
from models.settings import Settings
from models.store.connect import open_sync
from models.store.embedded.client import EmbeddedServer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions

LONGEST_S = 240.0
"""of one activation"""
WARM_UP_S, QUIET_S = 5.0, 20.0
BEFORE_S, AFTER_S = 3.0, 2.0
"""of load around an activation, so that its ends are seen as well"""
STALL_MS = 10
"""from which on the store notes what kept it"""
MOST_UNANSWERED, MOST_SLOWDOWN = 0.001, 3.0
"""share of requests beyond that without an activation; time under load over that alone"""


HEAD = (
    "| | activated in | asked | unanswered | p50 | p99 | longest (harness late at p99) | the store's stalls |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Run:
    """One line of the table."""

    what: str
    seconds: float | None
    """of the activation"""
    seen: dict[str, Any] | None
    """what `pymk loadtest` said of all requests"""
    lateness_ms: float = 0.0
    """of the harness itself, at p99"""
    stalls: str = ""
    """what kept the store from answering, by its own word, and for how long at most"""

    def cells(self) -> str:
        """The line in Markdown."""
        took = "" if self.seconds is None else f"{self.seconds:.1f} s"
        if self.seen is None:
            return f"| {self.what} | {took} | | | | | | {self.stalls} |"
        latency = self.seen["latency_ms"]
        named = " | ".join(f"{latency[one]:.1f} ms" if latency else "-" for one in ("p50", "p99", "max"))
        return (
            f"| {self.what} | {took} | {self.seen['asked']} | {self.seen['unanswered_share']:.2%} | {named} "
            f"({self.lateness_ms:.1f}) | {self.stalls} |"
        )


@dataclass
class ActivationBench:
    """A home with two versions, one of them active, and the service that serves it."""

    home: Path
    store: SyncStore
    server: redis.Redis
    service: Service
    over_http: bool
    rewriting: bool

    def resting(self) -> str:
        """The version that is not active. Raises SystemExit where there is none."""
        pointer = read_pointer(self.store, keys=self._keys)
        others = set(Versions(self.home).ids()) - {pointer.version if pointer else ""}
        if pointer is None or not others:
            raise SystemExit(f"{self.home} needs two versions: make_version.py --versions 2")
        return max(others)

    def prepare(self) -> str:
        """Removes the resting version from the store and waits until that has no more to do; returns its id."""
        version = self.resting()
        Loader(self.store, self._keys).remove(version)
        self._rewritten()
        return version

    def activate(self, version: str) -> float:
        """Makes it active; how many seconds that took. Raises SystemExit where it fails."""
        if self.rewriting:
            self.store.compact()
        began = time.monotonic()
        if self.over_http:
            status, body = self.service.get(f"/admin/versions/{version}/activate", "POST", LONGEST_S)
            if status != 200:
                raise SystemExit(f"activation failed: {body.decode()}")
        else:
            command = [sys.executable, "-m", "models.cli", "activate", version]
            subprocess.run(command, env=environment(self.home), stdout=subprocess.DEVNULL, check=True)
        return time.monotonic() - began

    def stalls(self) -> str:
        """What kept the store busy for STALL_MS or longer since the last call, by its own latency monitor."""
        events = [(name.decode(), worst) for name, _, _, worst, *_ in self.server.execute_command("LATENCY LATEST")]
        self.server.execute_command("LATENCY RESET")
        return ", ".join(f"{name} {worst} ms" for name, worst in sorted(events, key=lambda one: -one[1])) or "none"

    def _rewritten(self) -> None:
        """Has the store write its file anew, and waits for that: each activation finds the same."""
        self._await_rewriting()  # one that the server began by itself
        self.store.compact()
        time.sleep(1)
        self._await_rewriting()

    def _await_rewriting(self) -> None:
        deadline = time.monotonic() + LONGEST_S
        while self.store.info().compacting:
            if time.monotonic() > deadline:
                raise SystemExit("the store does not get done with writing its file anew")
            time.sleep(0.2)

    @property
    def _keys(self) -> Keys:
        return Keys(Settings(home=self.home).namespace)


def asked(bench: ActivationBench, rate: float, what: str, version: str | None) -> Run:
    """The service under load, with a version activated meanwhile or none."""
    took: list[float] = []

    def beside() -> None:
        time.sleep(WARM_UP_S + BEFORE_S)
        if version is None:
            time.sleep(QUIET_S)
        else:
            took.append(bench.activate(version))
        time.sleep(AFTER_S)

    bench.stalls()
    options = ("--rate", f"{rate:g}", "--duration", f"{LONGEST_S:g}", "--warm-up", f"{WARM_UP_S:g}", "--no-check")
    _, run = loadtest(bench.service, *options, "--max-lateness-ms", "1000", beside=beside, ends_with_it=True)
    (bench.home / "load" / f"{what.replace(' ', '-')}.json").write_text(json.dumps(run))
    late = run["harness"]["lateness_ms"]["p99"]
    return Run(what, took[0] if took else None, run["all"], late, bench.stalls())


def measure(
    home: Annotated[Path, typer.Option(help="PYMK_HOME with two versions, that make_version.py made.")],
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = 200.0,
    over_http: Annotated[bool, typer.Option("--over-http", help="By POST instead of the command.")] = False,
    rewriting: Annotated[bool, typer.Option("--rewriting", help="While the store writes its file anew.")] = False,
) -> None:
    """Measure what readers see of an activation and print the table."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and by children then, too
    home = home.absolute()
    with closing(open_sync(Settings(home=home))) as store, closing(EmbeddedServer(home)) as embedded:
        server = redis.Redis(unix_socket_path=embedded.socket_path)
        found = []
        with closing(server), service(home) as one:
            server.config_set("auto-aof-rewrite-percentage", 0)
            server.config_set("latency-monitor-threshold", STALL_MS)
            bench = ActivationBench(home, store, server, one, over_http, rewriting)
            try:
                version = bench.prepare()
                bench.stalls()
                found.append(Run("alone", bench.activate(version), None, stalls=bench.stalls()))
                found.append(asked(bench, rate, "no activation", None))
                found.append(asked(bench, rate, "both", bench.prepare()))
            finally:
                server.config_set("auto-aof-rewrite-percentage", 100)
                server.config_set("latency-monitor-threshold", 0)
    typer.echo("\n".join([*HEAD, *(run.cells() for run in found)]))
    if not kept(*found):
        raise typer.Exit(1)


def kept(alone: Run, without: Run, both: Run) -> bool:
    """Whether an activation under load kept its bars."""
    added = (both.seen or {})["unanswered_share"] - (without.seen or {})["unanswered_share"]
    return added <= MOST_UNANSWERED and (both.seconds or 0) <= MOST_SLOWDOWN * (alone.seconds or 0)


if __name__ == "__main__":
    application = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    application.command()(measure)
    application()
