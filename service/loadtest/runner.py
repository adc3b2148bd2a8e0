"""A load test from its options to its report: one run, or a search for the highest rate by several runs."""

import os
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import structlog
import typer

from models.errors import PymkError, UsageError
from models.settings import Settings
from models.system import files
from service.loadtest.checks import Checker
from service.loadtest.http_requests import Target, parse_event_kinds
from service.loadtest.plot import check_matplotlib, draw
from service.loadtest.processes import Load, Progress
from service.loadtest.processes import run as run_load
from service.loadtest.progress import show_progress
from service.loadtest.report import Judgement, document, text
from service.loadtest.slo import Held, HighestRate, Slo, search_highest_rate
from service.loadtest.viewers import Viewers, viewers
from service.loadtest.workload import Mix

KEY = "PYMK_LOADTEST_KEY"
CHECKED = 8
"""viewers whose lists are checked"""
CHECKED_BEFORE = 3 * CHECKED + 1
CHECK_EVERY_S = 0.5


@dataclass(frozen=True)
class Options:
    """The options of the command line (service.loadtest.command)."""

    url: str
    rate: float
    duration_s: float
    warm_up_s: float
    processes: int
    connections: int
    timeout_s: float
    users: Path | None
    zipf: float
    mix: str
    limit: int
    context: str
    events: int
    event_kinds: str
    slo_p99_ms: float | None
    slo_error_share: float
    step: bool
    max_rate: float
    precision: float
    max_lateness_ms: float
    check: bool
    seed: int
    json: Path | None
    plot: Path | None


class Runner:
    """The runs of one command."""

    def __init__(self, options: Options, load: Load, slo: Slo, checker: Checker, version: dict[str, Any]) -> None:
        self.options, self.load, self.slo, self.checker, self.version = options, load, slo, checker, version
        self.runs: list[dict[str, Any]] = []
        self.interrupted = False

    def measure(self, rate: float) -> Judgement:
        """Runs the load at a rate and keeps its report."""
        load = Load(**{**vars(self.load), "rate": rate})
        next_check_s = load.warm_up_s
        with show_progress(f"{rate:.0f} requests/s", load.warm_up_s + load.duration_s) as show:

            def on_progress(progress: Progress) -> None:
                nonlocal next_check_s
                show(progress)
                if self.options.check and progress.elapsed_s >= next_check_s:
                    next_check_s = progress.elapsed_s + CHECK_EVERY_S
                    self.checker.check_next()

            result = run_load(load, on_progress)
        self.interrupted = result.partial
        judgement = Judgement.of(result, self.slo, self.options.max_lateness_ms, self.checker.checks)
        self.runs.append(document(load, result, judgement, self.slo, self.checker.checks, self.version))
        return judgement

    def once(self) -> None:
        """One run. Raises PymkError if an objective is missed, an answer is wrong or the harness was the bottleneck."""
        judgement = self.measure(self.options.rate)
        run = self.runs[-1]
        self._write(run, run)
        if judgement.bottleneck:
            typer.echo(_harness_summary(run))
            raise PymkError(f"no result: {'; '.join(judgement.bottleneck)}; use more --processes or another machine")
        typer.echo(text(run))
        if self.interrupted:
            return
        if judgement.faults:
            raise PymkError(f"wrong answers: {'; '.join(judgement.faults)}")
        if judgement.missed:
            raise PymkError(f"objective missed: {'; '.join(judgement.missed)}")

    def search(self) -> None:
        """Searches for the highest rate. Raises PymkError if no rate is held or the harness was the bottleneck."""
        options = self.options
        try:
            found = search_highest_rate(self._held, options.rate, options.max_rate, options.precision)
        except _InterruptedError:
            found = None
        best = (
            found.rate if found else max((run["load"]["rate_per_s"] for run in self.runs if _is_good(run)), default=0.0)
        )
        result = {"highest_rate_per_s": best, "partial": found is None, "slo": vars(self.slo), "steps": self.runs}
        shown = next((run for run in self.runs if run["load"]["rate_per_s"] == best), self.runs[-1])
        self._write(result, shown)
        if best:
            typer.echo(f"{text(shown)}\n")
        typer.echo(_summary(best, found))
        if found is None:
            return
        if faults := self.checker.checks.faults:
            raise PymkError(f"wrong answers: {'; '.join(faults)}")
        if found.bounded_by_harness:
            raise PymkError(
                "no result: above that rate the harness was the bottleneck, and the service may hold more; "
                "use more --processes or another machine"
            )
        if not best:
            raise PymkError("objective missed: the service keeps it at no rate")

    def _held(self, rate: float) -> Held:
        judgement = self.measure(rate)
        run = self.runs[-1]
        if self.interrupted:
            raise _InterruptedError
        held = Held.UNKNOWN if judgement.bottleneck else Held.NO if judgement.missed else Held.YES
        structlog.get_logger("pymk.loadtest").info(
            "step_measured",
            rate=round(rate, 1),
            held=held.value,
            p99_ms=round(run["all"]["latency_ms"].get("p99", 0.0), 2),
            unanswered=run["all"]["unanswered_share"],
            reasons=judgement.bottleneck or judgement.missed,
        )
        return held

    def _write(self, result: dict[str, Any], shown: dict[str, Any]) -> None:
        if self.options.json is not None:
            files.write_json(self.options.json, result)
        if self.options.plot is not None:
            draw(self.options.plot, shown, self.runs, self.slo.p99_ms)


class _InterruptedError(Exception):
    """The search was ended by Ctrl-C."""


def run(options: Options) -> bool:
    """Runs a load test; returns whether it was interrupted.

    Raises UsageError for options that contradict each other, PymkError if an objective is missed, an answer is wrong or
    the harness was the bottleneck.
    """
    if options.step and options.slo_p99_ms is None:
        raise UsageError("--step searches for the highest rate that keeps an objective: say which with --slo-p99-ms")
    if options.processes > options.connections:
        raise UsageError(f"{options.processes} --processes need as many --connections, not {options.connections}")
    if options.plot is not None:
        check_matplotlib(options.plot)
    for path in (options.json, options.plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"there is no directory {path.absolute().parent} to write {path.name} to")
    if options.users is not None and not options.users.exists():
        raise UsageError(f"--users {options.users}: there is no such file or directory")
    mix, kinds = Mix.parse(options.mix), parse_event_kinds(options.event_kinds)
    target = Target.of(options.url, os.environ.get(KEY) or None, options.context, options.limit)
    _warn_of_remote(target)
    with closing(Checker(target, options.timeout_s)) as checker:
        version = checker.version()
        users = viewers(options.users, Settings().home, version["version"], CHECKED, options.seed)
        checker.set_viewers(users.facts, users.checked)
        if options.check:
            for _ in range(CHECKED_BEFORE):
                checker.check_next()
        structlog.get_logger("pymk.loadtest").info(
            "load_test_started",
            url=target.origin,
            version=version["version"],
            users=len(users.ids),
            origin=users.origin,
        )
        slo = Slo(options.slo_p99_ms, options.slo_error_share)
        runner = Runner(options, _load(options, target, users, mix, kinds), slo, checker, version)
        if options.step:
            runner.search()
        else:
            runner.once()
    return runner.interrupted


def _load(options: Options, target: Target, users: Viewers, mix: Mix, kinds: tuple[str, ...]) -> Load:
    return Load(
        target=target,
        ids=users.ids,
        mix=mix,
        rate=options.rate,
        duration_s=options.duration_s,
        warm_up_s=options.warm_up_s,
        processes=options.processes,
        connections=options.connections,
        timeout_s=options.timeout_s,
        zipf=options.zipf,
        seed=options.seed,
        event_kinds=kinds,
        events=options.events,
    )


def _warn_of_remote(target: Target) -> None:
    """Logs what a load on another machine means; it is allowed, since harness and service share cores otherwise."""
    try:
        here = ip_address(target.host).is_loopback
    except ValueError:
        here = target.host == "localhost"
    if not here:
        log = structlog.get_logger("pymk.loadtest")
        log.warning(
            "target_is_remote", host=target.host, note="others may use that machine, and latency includes the network"
        )
        if target.key and not target.secure:
            log.warning("key_sent_unencrypted", host=target.host, note="http does not encrypt the key")


def _is_good(run: dict[str, Any]) -> bool:
    return not run["partial"] and not run["slo"]["missed"] and not run["harness"]["bottleneck"]


def _harness_summary(run: dict[str, Any]) -> str:
    """Figures of the harness, which are all that counts if it was the bottleneck."""
    harness = run["harness"]
    late = harness["lateness_ms"]
    shown = f"p50 {late['p50']:.3f} ms, p99 {late['p99']:.3f} ms, max {late['max']:.3f} ms" if late else "none"
    return (
        f"the harness was the bottleneck: lateness {shown}; "
        f"{harness['asked']} of {harness['planned']} requests started; "
        f"{harness['processor_share']:.0%} of a core per process"
    )


def _summary(best: float, found: HighestRate | None) -> str:
    if found is None:
        return f"PARTIAL, interrupted: at least {best:.0f} requests/s are held" if best else "PARTIAL, interrupted"
    if not best:
        return "no rate is held"
    at_least = "at least " if found.bounded_by_harness or found.reached_limit else ""
    return f"highest rate: {at_least}{best:.0f} requests/s"
