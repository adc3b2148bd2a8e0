"""What is said of a run: as a document for machines and as text for people."""

import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

from service.loadtest.checks import Checks
from service.loadtest.counters import Outcomes, Tally
from service.loadtest.histogram import Histogram
from service.loadtest.mix import KINDS
from service.loadtest.processes import Finished, Load
from service.loadtest.slo import (
    Slo,
    bottleneck,
    latency,
    unanswered_share,
)

QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


@dataclass(frozen=True)
class Judgement:
    """What the run comes to."""

    bottleneck: list[str]
    """why the harness cannot vouch for it"""
    missed: list[str]
    """what of the objectives was not kept"""
    faults: list[str]
    """what was wrong with answers"""

    @classmethod
    def of(cls, finished: Finished, slo: Slo, max_lateness_ms: float, checks: Checks) -> "Judgement":
        """Judges a run."""
        return cls(bottleneck(finished, max_lateness_ms), slo.missed(finished), checks.faults)


def document(
    load: Load, finished: Finished, judgement: Judgement, slo: Slo, checks: Checks, version: dict[str, Any]
) -> dict[str, Any]:
    """A run as a JSON document; durations in milliseconds."""
    tally, seconds = finished.tally, max(finished.measured_s, 1e-9)
    late = tally.lateness.histogram()
    return {
        "url": load.target.origin + load.target.prefix,
        "version": version,
        "partial": finished.partial,
        "load": {
            "rate_per_s": load.rate,
            "duration_s": finished.measured_s,
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
        "all": {
            "asked": tally.asked,
            "answered": sum(one.answered for one in tally.outcomes),
            "answered_per_s": sum(one.answered for one in tally.outcomes) / seconds,
            "unanswered_share": unanswered_share(finished),
            "latency_ms": _milliseconds(latency(finished)),
        },
        "kinds": {
            kind.value: _of_kind(one)
            for kind, one in zip(KINDS, tally.outcomes, strict=True)
            if kind in load.mix.shares
        },
        "harness": {
            "bottleneck": judgement.bottleneck,
            "planned": tally.planned,
            "asked": tally.asked,
            "lateness_ms": _milliseconds(late),
            "waited_for_a_connection": tally.waited,
            "waiting_ms": _milliseconds(tally.waiting.histogram()),
            "processor_share": finished.processor_share,
        },
        "checks": asdict(checks),
        "timeline": _timeline(tally),
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
    }


def _of_kind(outcomes: Outcomes) -> dict[str, Any]:
    seen = outcomes.latency.histogram()
    return {
        "asked": outcomes.asked,
        "answered": outcomes.answered,
        "refused": outcomes.refused,
        "errors": dict(outcomes.errors),
        "statuses": {str(status): count for status, count in outcomes.statuses.items()},
        "served": dict(outcomes.served),
        "latency_ms": _milliseconds(seen),
        "from_send_ms": _milliseconds(outcomes.from_send.histogram()),
        "stages_ms": {stage: _milliseconds(one.histogram()) for stage, one in outcomes.stages.items()},
        "histogram_ms": [[1000 * edge, count] for edge, count in seen.filled()],
    }


def _milliseconds(histogram: Histogram) -> dict[str, float]:
    """Mean and quantiles; empty where nothing was counted."""
    if not len(histogram):
        return {}
    named = {name: 1000 * histogram.quantile(share) for name, share in QUANTILES}
    return {"count": len(histogram), "mean": 1000 * histogram.mean_s, **named}


def _timeline(tally: Tally) -> list[dict[str, float]]:
    return [
        {
            "second": at * tally.slice_s,
            "answered_per_s": part.answered / tally.slice_s,
            "unanswered_per_s": part.unanswered / tally.slice_s,
            "p50_ms": 1000 * part.latency.histogram().quantile(0.5),
            "p99_ms": 1000 * part.latency.histogram().quantile(0.99),
            "max_ms": 1000 * part.latency.histogram().quantile(1.0),
        }
        for at, part in sorted(tally.slices.items())
        if len(part.latency.histogram())
    ]


def text(run: dict[str, Any]) -> str:
    """The same for people."""
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
        "latency from the moment of sending, ms",
        _head("kind", "answered"),
        *(_row(kind, one["answered"], one["from_send_ms"]) for kind, one in run["kinds"].items()),
    ]
    stages = [(kind, stage, one) for kind, of in run["kinds"].items() for stage, one in of["stages_ms"].items()]
    if stages:
        lines += ["", "stages by the service's own word (Server-Timing), ms", _head("kind: stage", "answers")]
        lines += [_row(f"{kind}: {stage}", one.get("count", 0), one) for kind, stage, one in stages]
    lines += ["", *_unanswered(run), f"harness: lateness {_short(harness['lateness_ms'])} ms; {_waited(harness)}"]
    lines.append(f"         {harness['processor_share']:.0%} of a core per process")
    checks = run["checks"]
    lines.append(f"checked: {checks['answers']} answers looked at, {len(checks['faults'])} faults")
    return "\n".join(lines)


def _unanswered(run: dict[str, Any]) -> list[str]:
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
        "was beyond its rate, or --connections is too low"
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
