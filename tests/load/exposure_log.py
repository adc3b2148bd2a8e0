"""Measures what the exposure log costs: the service with the log beside the same service without it.

    python tests/load/make_version.py --home HOME          once, see there
    python tests/load/exposure_log.py --home HOME          needs wrk (Debian: apt install wrk)

Both run on one store, no worker files, and wrk asks one after the other, so that other work on the machine touches both
alike. Full rankings, 16 connections and one. Exit status 1 where a bar is missed: 95% of the throughput, and a median
that is at most 0.05 ms longer. Then what 1,000 lists take in the store.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from paired import paths_of
from servers import HERE, KEY, Service, environment, service

from models.outcomes.exposure_record import Batch
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.protocol import STREAM_START

FREED_S = 2.0
LEAST_RATE = 0.95
MOST_LONGER_MS = 0.05


def asked(one: Service, connections: int, paths: Path, seconds: float, *, is_fresh: bool = True) -> dict[str, float]:
    """One run of wrk, with full rankings unless not `is_fresh`.

    `cpu_ms` is the processor time that the service took for a request.
    """
    before = processor_s(one)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(HERE / "requests.lua")]
    command += [f"http://127.0.0.1:{one.port}", "--", str(paths)]
    command += [f"Authorization=Bearer {KEY}", *(["Cache-Control=no-cache"] if is_fresh else [])]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    if found["errors"]:
        raise SystemExit(f"{found['errors']} requests failed: {printed}")
    found["cpu_ms"] = 1000 * (processor_s(one) - before) / found["requests"]
    return found


def processor_s(one: Service) -> float:
    """Seconds of processor that a service has taken."""
    fields = Path(f"/proc/{one.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def per_thousand(home: Path) -> tuple[int, float]:
    """The lists in the log, and the bytes of the store that 1,000 of them take; empties the log."""
    settings = Settings(home=home)
    with closing(open_sync(settings)) as store:
        key, lists, position = Keys(settings.namespace).exposure_log, 0, STREAM_START
        while entries := store.stream_read(key, position, 100):
            position = entries[-1][0]
            lists += sum(len(Batch.unpack(entry).records) for _, entry in entries)
        before = store.info().memory_used_bytes
        store.delete([key])
        time.sleep(FREED_S)  # the server frees it behind the answer
        return lists, 1000 * (before - store.info().memory_used_bytes) / max(1, lists)


def measure(
    home: Annotated[Path, typer.Option(help="PYMK_HOME that make_version.py made.")],
    rounds: Annotated[int, typer.Option(min=1, help="Paired runs, of which medians are taken.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each run of wrk.")] = 5.0,
) -> None:
    """Measure the service with and without the exposure log and print the figures."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; Debian: apt install wrk")
    home = home.absolute()
    os.environ.update(environment(home))
    everybody, _, _ = paths_of(home)
    per_thousand(home)
    ratios, longer, processor = list[float](), list[float](), list[float]()
    patient = {"PYMK_REDIS_TIMEOUT_MS": "5000"}
    on = {"PYMK_EXPOSURE_SHARE": "1", "PYMK_EXPOSURE_LOG_MB": "8192", **patient}
    with service(home, 1, **on) as logging, service(home, 1, PYMK_EXPOSURE_SHARE="0", **patient) as silent:
        for one in (logging, silent):
            asked(one, 16, everybody, 1)
        for number in range(rounds):
            pair = (logging, silent) if number % 2 else (silent, logging)
            runs = {id(one): [asked(one, connections, everybody, seconds) for connections in (16, 1)] for one in pair}
            (many, single), (many_silent, single_silent) = runs[id(logging)], runs[id(silent)]
            ratios.append(many["requests"] / many["seconds"] / (many_silent["requests"] / many_silent["seconds"]))
            longer.append(single["p50_ms"] - single_silent["p50_ms"])
            processor.append(many["cpu_ms"] / many_silent["cpu_ms"])
            took = f"processor {processor[-1]:.1%} of {many_silent['cpu_ms']:.3f} ms"
            said = f"{ratios[-1]:.1%}, {longer[-1]:+.3f} ms, {took}"
            sys.stderr.write(f"round {number + 1} of {rounds}: {said}\n")
    lists, size = per_thousand(home)
    kept = median(ratios) >= LEAST_RATE and median(longer) <= MOST_LONGER_MS
    lines = (
        f"throughput with the log, 16 connections: {median(ratios):.1%} of that without (bar: >= {LEAST_RATE:.0%})",
        f"p50 with the log, 1 connection: {median(longer):+.3f} ms (bar: <= +{MOST_LONGER_MS} ms)",
        f"processor time of a request with the log: {median(processor):.1%} of that without",
        f"store memory of 1,000 lists: {size / 1e6:.2f} MB ({lists:,} lists)",
    )
    typer.echo("\n".join(lines))
    sys.exit(not kept)


if __name__ == "__main__":
    typer.run(measure)
