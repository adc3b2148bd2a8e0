"""A load test from its options to its report: one run, or a search by runs for the highest rate."""

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
from service.loadtest.http_requests import Target, checked_kinds
from service.loadtest.mix import Mix
from service.loadtest.plot import check_matplotlib, draw
from service.loadtest.processes import Load, Progress
from service.loadtest.processes import run as run_load
from service.loadtest.progress import shown
from service.loadtest.rate_search import Held, Highest, highest
from service.loadtest.report import Judgement, document, text
from service.loadtest.slo import Slo
from service.loadtest.viewers import Viewers, viewers

KEY = "PYMK_LOADTEST_KEY"
CHECKED = 8
"""people whose lists are looked at closely"""
LOOKED_AT_BEFORE = 3 * CHECKED + 1
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Options:
    """What the command line says (service.loadtest.command)."""

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


class Campaign:
    """The runs of one command."""

    def __init__(self, options: Options, load: Load, slo: Slo, checker: Checker, version: dict[str, Any]) -> None:
        self.options, self.load, self.slo, self.checker, self.version = options, load, slo, checker, version
        self.runs: list[dict[str, Any]] = []
        self.interrupted = False

    def measure(self, rate: float) -> Judgement:
        """Runs the load at a rate and keeps what came out."""
        load = Load(**{**vars(self.load), "rate": rate})
        next_look_s = load.warm_up_s
        with shown(f"{rate:.0f} requests/s", load.warm_up_s + load.duration_s) as watch:

            def watched(progress: Progress) -> None:
                nonlocal next_look_s
                watch(progress)
                if self.options.check and progress.elapsed_s >= next_look_s:
                    next_look_s = progress.elapsed_s + LOOK_EVERY_S
                    self.checker.look()

            finished = run_load(load, watched)
        self.interrupted = finished.partial
        judgement = Judgement.of(finished, self.slo, self.options.max_lateness_ms, self.checker.checks)
        self.runs.append(document(load, finished, judgement, self.slo, self.checker.checks, self.version))
        return judgement

    def once(self) -> None:
        """One run. Raises PymkError where it is nothing to be content with."""
        judgement = self.measure(self.options.rate)
        run = self.runs[-1]
        self._keep(run, run)
        if judgement.bottleneck:
            typer.echo(_harness(run))
            raise PymkError(f"no result: {'; '.join(judgement.bottleneck)}; use more --processes or another machine")
        typer.echo(text(run))
        if self.interrupted:
            return
        if judgement.faults:
            raise PymkError(f"wrong answers: {'; '.join(judgement.faults)}")
        if judgement.missed:
            raise PymkError(f"objective missed: {'; '.join(judgement.missed)}")

    def stepped(self) -> None:
        """Runs in search of the highest rate. Raises PymkError where none is found, or the harness stood in the way."""
        options = self.options
        try:
            found = highest(self._held, options.rate, options.max_rate, options.precision)
        except _InterruptedError:
            found = None
        best = found.rate if found else max((run["load"]["rate_per_s"] for run in self.runs if _good(run)), default=0.0)
        result = {"highest_rate_per_s": best, "partial": found is None, "slo": vars(self.slo), "steps": self.runs}
        shown = next((run for run in self.runs if run["load"]["rate_per_s"] == best), self.runs[-1])
        self._keep(result, shown)
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
            why=judgement.bottleneck or judgement.missed,
        )
        return held

    def _keep(self, result: dict[str, Any], shown: dict[str, Any]) -> None:
        if self.options.json is not None:
            files.write_json(self.options.json, result)
        if self.options.plot is not None:
            draw(self.options.plot, shown, self.runs, self.slo.p99_ms)


class _InterruptedError(Exception):
    """The search was ended by Ctrl-C."""


def run(options: Options) -> bool:
    """Does what the options say; whether it was interrupted.

    Raises UsageError for options that do not fit together, PymkError where an objective is missed, an answer is wrong
    or the harness was the bottleneck.
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
    mix, kinds = Mix.parse(options.mix), checked_kinds(options.event_kinds)
    target = Target.of(options.url, os.environ.get(KEY) or None, options.context, options.limit)
    _warn(target)
    with closing(Checker(target, options.timeout_s)) as checker:
        version = checker.version()
        people = viewers(options.users, Settings().home, version["version"], CHECKED, options.seed)
        checker.know(people.facts, people.checked)
        if options.check:
            for _ in range(LOOKED_AT_BEFORE):
                checker.look()
        structlog.get_logger("pymk.loadtest").info(
            "load_begins", url=target.origin, version=version["version"], users=len(people.ids), of=people.origin
        )
        slo = Slo(options.slo_p99_ms, options.slo_error_share)
        campaign = Campaign(options, _load(options, target, people, mix, kinds), slo, checker, version)
        if options.step:
            campaign.stepped()
        else:
            campaign.once()
    return campaign.interrupted


def _load(options: Options, target: Target, people: Viewers, mix: Mix, kinds: tuple[str, ...]) -> Load:
    return Load(
        target=target,
        ids=people.ids,
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


def _warn(target: Target) -> None:
    """Says what a load on another machine means: it is allowed, since harness and service share cores otherwise."""
    try:
        here = ip_address(target.host).is_loopback
    except ValueError:
        here = target.host == "localhost"
    if not here:
        log = structlog.get_logger("pymk.loadtest")
        log.warning("not_this_machine", host=target.host, note="others may use it; the network counts as latency")
        if target.key and not target.secure:
            log.warning("key_in_the_clear", host=target.host, note="http carries the key unencrypted")


def _good(run: dict[str, Any]) -> bool:
    return not run["partial"] and not run["slo"]["missed"] and not run["harness"]["bottleneck"]


def _harness(run: dict[str, Any]) -> str:
    """What can be said where the harness was the bottleneck: of itself alone."""
    harness = run["harness"]
    late = harness["lateness_ms"]
    said = f"p50 {late['p50']:.3f} ms, p99 {late['p99']:.3f} ms, max {late['max']:.3f} ms" if late else "none"
    return (
        f"the harness was the bottleneck: lateness {said}; {harness['asked']} of {harness['planned']} requests begun; "
        f"{harness['processor_share']:.0%} of a core per process"
    )


def _summary(best: float, found: Highest | None) -> str:
    if found is None:
        return f"PARTIAL, interrupted: at least {best:.0f} requests/s are held" if best else "PARTIAL, interrupted"
    if not best:
        return "no rate is held"
    at_least = "at least " if found.bounded_by_harness or found.reached_most else ""
    return f"highest rate: {at_least}{best:.0f} requests/s"
