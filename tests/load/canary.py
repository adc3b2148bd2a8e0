"""A canary under load: a copy of the active version, whole or broken, and what its viewers and all others saw.

    pymk synth --users 20000 --out DATA && PYMK_HOME=HOME pymk nightly DATA        once
    python tests/load/canary.py --home HOME --data DATA                            a whole copy, until it is promoted
    python tests/load/canary.py --home HOME --data DATA --broken scores            until it is taken back

20,000 requests over 64 connections meanwhile, each viewer acting on the list by whom friends are shared with. Says
when the canary was last served, which guardrail took it back, and the memory of the service before and with it. Exit
status 1 if a request failed, an answer was of neither version, or somebody outside the share saw the canary.
"""

import asyncio
import csv
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from servers import environment, running, service

from models.publishing.pointer import read_pointer
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions
from tests.support.canary.broken import BROKEN, copied
from tests.support.canary.load import CanaryLoad, Viewers

WORKER_S = 10.0
"""until the worker judges"""


def viewers_of(data: Path) -> Viewers:
    """The people of a dataset and their friends."""
    friends = defaultdict(set)
    with (data / "connections.csv").open() as rows:
        for row in csv.DictReader(rows):
            friends[row["user_id"]].add(row["other_id"])
            friends[row["other_id"]].add(row["user_id"])
    return Viewers({one: frozenset(others) for one, others in friends.items()})


def memory_mb(pid: int) -> float:
    """What a process and its children hold for themselves, and their part of what they share, megabytes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for one in (pid, *map(int, children)):
        lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def pymk(home: Path, *arguments: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "models.cli", *arguments]
    return subprocess.run(command, env=environment(home), capture_output=True, text=True, check=True).stdout


def main(
    home: Annotated[Path, typer.Option(help="Of a published version.")],
    data: Annotated[Path, typer.Option(help="The dataset that it was made of.")],
    broken: Annotated[str | None, typer.Option(help=f"How the copy is broken: {', '.join(BROKEN)}.")] = None,
    share: str = "5%",
    requests: int = 20_000,
    connections: int = 64,
    workers: int = 2,
    pace_s: Annotated[float, typer.Option(help="Pause of a connection between two requests.")] = 0.0,
) -> None:
    """Runs the load and prints what came of it."""
    (home / "load").mkdir(exist_ok=True)
    versions, viewers = Versions(home), viewers_of(data)
    store = open_sync(Settings(home=home))
    pointer = read_pointer(store, keys=Keys("pymk"))
    if pointer is None:
        raise SystemExit(f"nothing is published in {home}")
    canary = copied(versions, pointer.version, BROKEN[broken] if broken else None)
    settings = {
        "PYMK_KEYS": "",
        "PYMK_CANARY_MINUTES": "0",
        "PYMK_CANARY_LISTS": "200" if broken is None else "1000000",
    }
    work = [sys.executable, "-m", "models.cli", "worker"]
    with service(home, workers, **settings) as served, running(work, home, home / "load" / "worker.log", **settings):
        time.sleep(WORKER_S)
        before = memory_mb(served.process.pid)
        pymk(home, "activate", canary, "--share", share)
        with_it = memory_mb(served.process.pid)
        most = 1.0 if broken is None else float(share.removesuffix("%")) / 100
        load = CanaryLoad(served.port, viewers, pointer.version, canary, most, requests, connections, pace_s)
        began = time.monotonic()
        asyncio.run(load.run())
        seconds = time.monotonic() - began
        time.sleep(2)
        report = json.loads(pymk(home, "canary", "--json"))
    store.close()
    p50, p99 = (1000 * float(np.quantile(load.latencies_s, one)) for one in (0.5, 0.99))
    lines = [
        f"{load.begun} requests over {connections} connections in {seconds:.1f} s",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; statuses {dict(load.statuses)}, served {dict(load.served)}",
        f"answers of the canary {load.versions[canary]}, the last at request {load.last_of_canary}",
        f"{report['state']}: {', '.join(report['failed']) or report['note']}",
        f"memory of the service: {before:.0f} MB, with the canary {with_it:.0f} MB",
    ]
    typer.echo("\n".join(lines))
    if load.faults or set(load.statuses) != {200}:
        raise SystemExit(f"faults: {dict(load.faults)}")


if __name__ == "__main__":
    typer.run(main)
