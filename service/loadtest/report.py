"""The report of a run: a JSON document, and text."""

import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

from service.loadtest.checks import Checks
from service.loadtest.counters import Counters, Durations, Outcomes
from service.loadtest.processes import Load, RunResult
from service.loadtest.slo import Slo, bottleneck, latency, unanswered_share
from service.loadtest.workload import KINDS

QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


@dataclass(frozen=True)
class Judgement:
    """The verdict on a run."""

    bottleneck: list[str]
    """why the harness limited the run"""
    missed: list[str]
    """objectives that were missed"""
    faults: list[str]
    """faults of checked answers"""

    @classmethod
    def of(cls, result: RunResult, slo: Slo, max_lateness_ms: float, checks: Checks) -> "Judgement":
        """The judgement of a run."""
        return cls(bottleneck(result, max_lateness_ms), slo.missed(result), checks.faults)


def document(
    load: Load, result: RunResult, judgement: Judgement, slo: Slo, checks: Checks, version: dict[str, Any]
) -> dict[str, Any]:
    """A run as a JSON document; durations in milliseconds."""
    counters, seconds = result.counters, max(result.measured_s, 1e-9)
    return {
        "url": load.target.origin + load.target.prefix,
        "version": version,
        "partial": result.partial,
        # the load
        "load": {
            "rate_per_s": load.rate,
            "duration_s": result.measured_s,
            "warm_up_s": load.warm_up_s,
            "processes": load.processes,
            "connections": load.connections,
            "timeout_s": load.timeout_s,
            "mix": {kind.value: share for kind, share in load.mix.shares.items()},
            "users": len(load.ids),
            "zipf": load.zipf,
            "limit": load.target.limit,
            "context": load.target.context,
            "seed": load.seed,
        },
        "slo": {**asdict(slo), "missed": judgement.missed},
        # the responses
        "all": {
            "asked": counters.started,
            "answered": sum(one.answered for one in counters.outcomes),
            "answered_per_s": sum(one.answered for one in counters.outcomes) / seconds,
            "unanswered_share": unanswered_share(result),
            "latency_ms": _milliseconds(latency(result)),
        },
        "kinds": {
            kind.value: _of_kind(one)
            for kind, one in zip(KINDS, counters.outcomes, strict=True)
            if kind in load.mix.shares
        },
        # how far the figures can be trusted, and their course
        "harness": {
            "bottleneck": judgement.bottleneck,
            "planned": counters.planned,
            "asked": counters.started,
            "lateness_ms": _milliseconds(counters.lateness),
            "waited_for_a_connection": counters.waited,
            "waiting_ms": _milliseconds(counters.waiting),
            "processor_share": result.processor_share,
        },
        "checks": asdict(checks),
        "timeline": _timeline(counters),
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
    }


def _of_kind(outcomes: Outcomes) -> dict[str, Any]:
    return {
        "asked": outcomes.started,
        "answered": outcomes.answered,
        "refused": outcomes.refused,
        "errors": dict(outcomes.errors),
        "statuses": {str(status): count for status, count in outcomes.statuses.items()},
        "served": dict(outcomes.served),
        "latency_ms": _milliseconds(outcomes.latency),
        "from_send_ms": _milliseconds(outcomes.from_send),
        "stages_ms": {stage: _milliseconds(one) for stage, one in outcomes.stages.items()},
        "histogram_ms": [[1000 * edge, count] for edge, count in outcomes.latency.buckets()],
    }


def _milliseconds(durations: Durations) -> dict[str, float]:
    """Count, mean and quantiles; empty if nothing was counted."""
    if not len(durations):
        return {}
    named = {name: 1000 * durations.quantile(share) for name, share in QUANTILES}
    return {"count": len(durations), "mean": 1000 * durations.mean_s, **named}


def _timeline(counters: Counters) -> list[dict[str, float]]:
    return [
        {
            "second": at * counters.slice_s,
            "answered_per_s": part.answered / counters.slice_s,
            "unanswered_per_s": part.unanswered / counters.slice_s,
            "p50_ms": 1000 * part.latency.quantile(0.5),
            "p99_ms": 1000 * part.latency.quantile(0.99),
            "max_ms": 1000 * part.latency.quantile(1.0),
        }
        for at, part in sorted(counters.slices.items())
        if len(part.latency)
    ]


def text(run: dict[str, Any]) -> str:
    """The document as text."""
    load, whole, harness = run["load"], run["all"], run["harness"]
    mark = "PARTIAL, interrupted: " if run["partial"] else ""
    clients = f"{load['connections']} connections of {load['processes']} process(es)"
    answered = f"{whole['answered']} answered ({whole['answered_per_s']:.1f}/s)"
    lines = [
        f"{mark}{load['duration_s']:.1f} s at {load['rate_per_s']:g} requests/s, Poisson, over {clients}",
        f"{whole['asked']} asked, {answered}, {whole['unanswered_share']:.3%} unanswered",
        "",
        "latency from the intended start, ms",
        _head("kind", "asked"),
        _row("all", whole["asked"], whole["latency_ms"]),
        *(_row(kind, one["asked"], one["latency_ms"]) for kind, one in run["kinds"].items()),
        "",
        "latency from sending, ms",
        _head("kind", "answered"),
        *(_row(kind, one["answered"], one["from_send_ms"]) for kind, one in run["kinds"].items()),
    ]
    stages = [(kind, stage, one) for kind, of in run["kinds"].items() for stage, one in of["stages_ms"].items()]
    if stages:
        lines += ["", "stages as the service reports them (Server-Timing), ms", _head("kind: stage", "answers")]
        lines += [_row(f"{kind}: {stage}", one.get("count", 0), one) for kind, stage, one in stages]
    lines += ["", *_outcomes(run), f"harness: lateness {_short(harness['lateness_ms'])} ms; {_waited(harness)}"]
    lines.append(f"         {harness['processor_share']:.0%} of a core per process")
    checks = run["checks"]
    lines.append(f"checked: {checks['answers']} answers, {len(checks['faults'])} faults")
    return "\n".join(lines)


def _outcomes(run: dict[str, Any]) -> list[str]:
    lines = []
    for kind, one in run["kinds"].items():
        parts = [f"{count} x {served}" for served, count in sorted(one["served"].items())]
        parts += [f"{count} x {reason} (error)" for reason, count in sorted(one["errors"].items())]
        if one["refused"]:
            parts.append(f"{one['refused']} x 503 with Retry-After (refused)")
        lines.append(f"{kind}: {', '.join(parts) or 'nothing'}")
    return lines


def _waited(harness: dict[str, Any]) -> str:
    waited, asked = harness["waited_for_a_connection"], max(harness["asked"], 1)
    if not waited:
        return "a connection was always free"
    return (
        f"{waited / asked:.1%} of requests waited for a connection, {_short(harness['waiting_ms'])} ms: the service "
        "was beyond its highest rate, or --connections is too low"
    )


def _short(named: dict[str, float]) -> str:
    if not named:
        return "none"
    return f"p50 {named['p50']:.3f}, p99 {named['p99']:.3f}, max {named['max']:.3f}"


def _head(first: str, second: str) -> str:
    return f"  {first:<24}{second:>10}" + "".join(f"{name:>10}" for name, _ in QUANTILES)


def _row(name: str, count: int, named: dict[str, float]) -> str:
    cells = "".join(f"{named[quantile]:>10.3f}" if named else f"{'-':>10}" for quantile, _ in QUANTILES)
    return f"  {name:<24}{count:>10}{cells}"
