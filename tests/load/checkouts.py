"""Measures this checkout beside an older one: the same requests to both services, run by run in turn.

    git worktree add OLD COMMIT
    (cd OLD && PYTHONPATH=. python tests/load/make_version.py --home OLDHOME --users 20000)
    python tests/load/make_version.py --home HOME --users 20000
    python tests/load/checkouts.py --before OLD --before-home OLDHOME --home HOME      needs wrk (apt install wrk)

Both services run from the same environment, each over the store of its own home, which its own checkout filled with
the same network; the exposure log is off in both (exposure_log.py measures it). Each round asks both one after the
other and begins with the other one than the round before. Printed are medians over the rounds: requests a second, p50
and processor time a request of both, and of their ratios. Rates depend on what else the machine does, processor time
hardly: exit status 1 where a row takes over 3% more of it.
"""

import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from exposure_log import asked
from paired import paths_of
from servers import HERE, Service, environment, service

MOST_SLOWER = 1.03
Runs = list[dict[str, float]]


def compared(
    rows: dict[str, tuple[int, Path, bool]], pair: tuple[Service, Service], rounds: int, seconds: float
) -> bool:
    """Measures and prints each row, old beside new; returns whether all keep the bar."""
    found: dict[str, tuple[Runs, Runs]] = {name: ([], []) for name in rows}
    for number in range(rounds):
        for name, (connections, paths, is_fresh) in rows.items():
            for place in (0, 1) if number % 2 else (1, 0):
                kept_before = pair[place].served("cache")
                run = asked(pair[place], connections, paths, seconds, is_fresh=is_fresh)
                hits = pair[place].served("cache") - kept_before
                if is_fresh == (hits >= 0.99 * run["requests"]):
                    raise SystemExit(f"{name}: {hits:.0f} of {run['requests']:.0f} answers came from the cache")
                found[name][place].append(run)
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
    kept = True
    lines = ["| row | before: a second, p50, processor | now | ratio of processor | of rate |", "|---|---|---|---|---|"]
    for name, (before, now) in found.items():
        processor = median(b["cpu_ms"] / a["cpu_ms"] for a, b in zip(before, now, strict=True))
        rate = median(rate_of(b) / rate_of(a) for a, b in zip(before, now, strict=True))
        kept &= processor <= MOST_SLOWER
        lines.append(f"| {name} | {said(before)} | {said(now)} | {processor:.3f} | {rate:.3f} |")
    typer.echo("\n".join(lines))
    return kept


def rate_of(run: dict[str, float]) -> float:
    """Requests a second."""
    return run["requests"] / run["seconds"]


def said(runs: Runs) -> str:
    """Medians of a row."""
    rate, p50, processor = (median(of(run) for run in runs) for of in (rate_of, p50_of, processor_of))
    return f"{rate:,.0f}, {p50:.3f} ms, {processor:.3f} ms"


def p50_of(run: dict[str, float]) -> float:
    return run["p50_ms"]


def processor_of(run: dict[str, float]) -> float:
    return run["cpu_ms"]


def measure(
    before: Annotated[Path, typer.Option(help="Directory of the older checkout.")],
    before_home: Annotated[Path, typer.Option(help="PYMK_HOME that the older checkout's make_version.py made.")],
    home: Annotated[Path, typer.Option(help="PYMK_HOME that this checkout's make_version.py made.")],
    rounds: Annotated[int, typer.Option(min=1, help="Paired runs, of which medians are taken.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each run of wrk.")] = 5.0,
) -> None:
    """Measure two checkouts against each other and print the table."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; Debian: apt install wrk")
    homes = before_home.absolute(), home.absolute()
    settings = {"PYMK_EXPOSURE_SHARE": "0", "PYMK_REDIS_TIMEOUT_MS": "5000"}
    os.environ.update(environment(homes[1]))
    everybody, hot, _ = paths_of(homes[1])
    ids = [(one / "load" / "ids.txt").read_bytes() for one in homes]
    if ids[0] != ids[1]:
        raise SystemExit("the two homes hold other people: make both with the same --users")
    with ExitStack() as stack:
        old = stack.enter_context(service(homes[0], 1, before.absolute(), **settings))
        new = stack.enter_context(service(homes[1], 1, HERE.parents[1], **settings))
        for one in (old, new):
            for path in hot.read_text().split():
                one.get(path)
            asked(one, 16, everybody, 1)
        rows = {
            "kept list, 16 connections": (16, hot, False),
            "full ranking (no-cache), 16 connections": (16, everybody, True),
            "full ranking, 1 connection": (1, everybody, True),
        }
        kept = compared(rows, (old, new), rounds, seconds)
    sys.exit(not kept)


if __name__ == "__main__":
    typer.run(measure)
