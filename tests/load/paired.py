"""Measures the service against an empty FastAPI route, run by run in turn, and holds it to its bars.

    python tests/load/make_version.py --home HOME --versions 2       once, see there
    python tests/load/paired.py --home HOME                          needs wrk (Debian: apt install wrk)

One service process with authorisation, metrics and log line on, the embedded store, wrk on the same machine. Each round
measures the empty route and the service one after the other, so that other work on the machine touches both alike;
what is shown is the median over the rounds, of ratios as of figures. Exit status 1 where a bar is missed.
"""

import json
import os
import shutil
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated
from urllib.parse import quote

import typer
from servers import HERE, KEY, Bench, bench, environment, loadtest

ROWS = ("ready", "cached", "no-cache", "one", "open", "ranking", "store", "memory", "swap")
HOT = 500
"""people whose lists are kept before the cached answers are measured"""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    service: str
    empty: str
    ratio: str
    bar: str
    kept: bool


@dataclass
class Rounds:
    """What wrk said in each round."""

    empty: list[dict[str, float]] = field(default_factory=list)
    service: list[dict[str, float]] = field(default_factory=list)

    def rate(self, runs: list[dict[str, float]]) -> float:
        """Median of requests a second."""
        return median(run["requests"] / run["seconds"] for run in runs)

    @property
    def rate_ratio(self) -> float:
        """Median of the rounds' ratios of requests a second."""
        return median(
            (mine["requests"] / mine["seconds"]) / (theirs["requests"] / theirs["seconds"])
            for mine, theirs in zip(self.service, self.empty, strict=True)
        )

    @property
    def p50_ratio(self) -> float:
        """Median of the rounds' ratios of p50."""
        return median(mine["p50_ms"] / theirs["p50_ms"] for mine, theirs in zip(self.service, self.empty, strict=True))


def paths_of(home: Path) -> tuple[Path, Path, Path]:
    """Files of paths: everybody's list in no order, those of the hot few, and the empty route's."""
    from random import Random

    place = home / "load"
    ids = (place / "ids.txt").read_text().split("\n")[:-1]
    Random(0).shuffle(ids)  # an order, not a secret
    paths = [f"/pymk/recommendations?limit=20&user_id={quote(one, safe='')}" for one in ids]
    files = place / "everybody.paths", place / "hot.paths", place / "empty.paths"
    for file, lines in zip(files, (paths, paths[:HOT], ["/"]), strict=True):
        file.write_text("\n".join(lines) + "\n")
    return files


def throughput(bench: Bench, rounds: int, wanted: set[str]) -> tuple[list[Row], float]:
    """The rows that wrk measures, and the highest rate of full rankings."""
    everybody, hot, empty = paths_of(bench.home)
    keyed = f"Authorization=Bearer {KEY}"
    fresh = "Cache-Control=no-cache"
    for path in hot.read_text().split():
        bench.get(path)
    found = {name: Rounds() for name in ("cached", "no-cache", "one")}
    runs: dict[str, tuple[int, Path, tuple[str, ...]]] = {
        "cached": (16, hot, (keyed,)),
        "no-cache": (16, everybody, (keyed, fresh)),
        "one": (1, everybody, (keyed, fresh)),
    }
    for number in range(rounds):
        for name, (connections, paths, headers) in runs.items():
            if name not in wanted and not (name == "no-cache" and "open" in wanted):
                continue
            before = bench.served("cache")
            found[name].empty.append(bench.wrk(bench.empty_port, connections, empty))
            found[name].service.append(bench.wrk(bench.port, connections, paths, *headers))
            hits, asked = bench.served("cache") - before, found[name].service[-1]["requests"]
            if (name == "cached") != (hits >= 0.99 * asked > 0):
                raise SystemExit(f"{name}: {hits:.0f} of {asked:.0f} answers came from the cache")
            say(f"round {number + 1} of {rounds}: {name} {found[name].rate_ratio:.1%}")
    rows = []
    for name, bar, what in (("cached", 0.55, "cached answer"), ("no-cache", 0.18, "full ranking (no-cache)")):
        if name in wanted:
            one = found[name]
            rates = f"{one.rate(one.service):,.0f}/s", f"{one.rate(one.empty):,.0f}/s"
            ratio = one.rate_ratio
            rows.append(Row(f"{what}, 16 connections", *rates, f"{ratio:.1%}", f">= {bar:.0%}", ratio >= bar))
    if "one" in wanted:
        one = found["one"]
        mine, theirs = (median(run["p50_ms"] for run in runs) for runs in (one.service, one.empty))
        kept = mine <= 1.08 and one.p50_ratio <= 7
        cells = f"{mine:.3f} ms", f"{theirs:.3f} ms", f"{one.p50_ratio:.2f} x", "<= 1.08 ms, <= 7 x"
        rows.append(Row("full ranking, 1 connection, p50", *cells, kept))
    peak = found["no-cache"]
    return rows, peak.rate(peak.service) if peak.service else 0.0


def open_loop(bench: Bench, rate: float, seconds: float) -> Row:
    """Half the peak for a while."""
    options = ("--rate", f"{rate:.1f}", "--duration", f"{seconds:g}", "--mix", "no-cache=1", "--zipf", "0")
    status, run = loadtest(bench, *options, "--slo-p99-ms", "10", "--slo-error-share", "0")
    late, p99 = run["harness"]["lateness_ms"], run["all"]["latency_ms"]["p99"]
    said = f"p99 {p99:.2f} ms, {run['all']['unanswered_share']:.2%} unanswered"
    if run["harness"]["bottleneck"]:
        said += f"; the harness was late by {late['p99']:.2f} ms"
    return Row(f"full ranking at {rate:.0f}/s, open loop, {seconds:g} s", said, "", "", "p99 <= 10 ms", status == 0)


def ranking() -> Row:
    """The ranking step alone, in this process."""
    import numpy as np

    from models.publishing.pointer import read_pointer
    from models.ranker.ranker import Ranker
    from models.settings import Settings
    from models.store.connect import open_sync
    from models.store.keys import Keys
    from models.version.block_file import Blocks
    from models.version.candidate_block import Block
    from models.version.local_versions import Versions
    from models.version.tables import Tables

    settings = Settings()
    with closing(open_sync(settings)) as store:
        pointer = read_pointer(store, keys=Keys(settings.namespace))
    if pointer is None:
        raise SystemExit("nothing is published")
    directory = Versions(settings.home).path(pointer.version)
    tables, ranker = Tables.open(directory / "tables"), Ranker.open(directory / "model")
    blocks = Blocks.open(directory / "blocks", tables.n)
    rows = np.random.default_rng(0).choice(blocks.rows(), 1200).tolist()
    took = []
    for row in rows:
        block = Block.unpack(blocks.record(row))
        begun = time.perf_counter()
        ranker.scores(tables, block, "web")
        took.append(1000 * (time.perf_counter() - begun))
    mean, p99 = float(np.mean(took[200:])), float(np.quantile(took[200:], 0.99))
    said = f"mean {mean:.3f} ms, p99 {p99:.3f} ms"
    return Row("ranking step, 1,000 runs", said, "", "", "mean <= 0.30, p99 <= 1", mean <= 0.30 and p99 <= 1)


def store_memory(home: Path) -> Row:
    """What publishing added to the store, as make_version.py measured it."""
    measured = json.loads((home / "load" / "measured.json").read_bytes())
    kib = measured["store_bytes_per_user"] / 1024
    return Row("store memory per user", f"{kib:.2f} KiB", "", "", "<= 14 KiB", kib <= 14)


def process_memory(bench: Bench) -> Row:
    """Resident memory of the service process, mapped tables included."""
    lines = Path(f"/proc/{bench.process.pid}/status").read_text().splitlines()
    sizes = {
        name: int(size.split()[0]) / 1000 for name, _, size in (one.partition(":") for one in lines) if "kB" in size
    }
    said = f"{sizes['VmRSS']:.0f} MB, of which {sizes['RssFile']:.0f} mapped files"
    return Row("process memory", said, "", "", "<= 600 MB", sizes["VmRSS"] <= 600)


def swap(bench: Bench) -> Row:
    """Versions are switched four times under load: the longest wait of any request."""
    versions = json.loads(bench.get("/admin/versions")[1])
    ids = sorted({one["version"] for one in versions["versions"]})
    if len(ids) < 2:
        return Row("swap of versions", "needs make_version.py --versions 2", "", "", "<= 50 ms", kept=False)
    statuses = []

    def switch() -> None:
        time.sleep(6)
        for turn in range(4):
            statuses.append(bench.get(f"/admin/versions/{ids[turn % 2]}/activate", "POST")[0])
            time.sleep(1)

    worker = threading.Thread(target=switch)
    quick = ("--rate", "200", "--duration", "14", "--warm-up", "2", "--slo-error-share", "0", "--no-check")
    _, run = loadtest(bench, *quick, "--max-lateness-ms", "5", beside=worker.start)
    worker.join()
    whole, late = run["all"], run["harness"]["lateness_ms"]["max"]
    stall = whole["latency_ms"]["max"]
    kept = stall <= 50 and not whole["unanswered_share"] and set(statuses) == {200}
    said = (
        f"longest wait {stall:.1f} ms (harness late by {late:.1f} at most), {whole['unanswered_share']:.2%} unanswered"
    )
    return Row("swap of versions, 4 times", said, "", "", "<= 50 ms, none dropped", kept)


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | service | empty route | ratio | bar | kept |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {one.what} | {one.service} | {one.empty} | {one.ratio} | {one.bar} | {'yes' if one.kept else 'NO'} |"
        for one in rows
    ]
    return "\n".join(lines)


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def measure(
    home: Annotated[Path, typer.Option(help="PYMK_HOME that make_version.py made.")],
    rounds: Annotated[int, typer.Option(min=1, help="Paired runs, of which medians are taken.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each run of wrk.")] = 5.0,
    open_seconds: Annotated[float, typer.Option(min=1, help="Length of the open-loop run.")] = 60.0,
    workers: Annotated[int, typer.Option(min=1, help="Service processes; the bars are for one.")] = 1,
    rows: Annotated[str, typer.Option(help="Which rows to measure.")] = ",".join(ROWS),
) -> None:
    """Measure the service against an empty FastAPI route and print the table."""
    wanted = set(rows.split(","))
    if not wanted <= set(ROWS):
        raise SystemExit(f"rows are {', '.join(ROWS)}")
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; Debian: apt install wrk")
    if not (home / "load" / "measured.json").exists():
        raise SystemExit(f"no version in {home}: python {HERE / 'make_version.py'} --home {home} --versions 2")
    home = home.absolute()
    os.environ.update(environment(home))
    found = []
    load = os.getloadavg()[0]
    with bench(home, seconds, workers) as both:
        if "ready" in wanted:
            said = f"{both.ready_s:.2f} s"
            found.append(Row("ready after start", said, "", "", "<= 3 s", both.ready_s <= 3))
        measured, peak = throughput(both, rounds, wanted)
        found += measured
        if "open" in wanted:
            found.append(open_loop(both, peak / 2, open_seconds))
        if "memory" in wanted:
            found.append(process_memory(both))
        if "swap" in wanted:
            found.append(swap(both))
        if "ranking" in wanted:
            found.append(ranking())
    if "store" in wanted:
        found.append(store_memory(home))
    typer.echo(table(found))
    typer.echo(f"\n{os.cpu_count()} cores, {workers} service process(es), load average before: {load:.2f}")
    if not all(one.kept for one in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    application = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    application.command()(measure)
    application()
