"""Plots of a run, and of a search for the highest rate."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUANTILES = ("p50", "p99", "p99.9")
_NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


def check_matplotlib(path: Path) -> None:
    """Raises UsageError if matplotlib is missing or the format is not PNG."""
    if path.suffix != ".png":
        raise UsageError(f"--plot draws PNG: name a file that ends in .png, not {path.name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("--plot needs matplotlib, which is not installed: pip install 'pymk[plot]'") from error


def draw(path: Path, run: dict[str, Any], runs: Sequence[dict[str, Any]], p99_ms: float | None) -> None:
    """Writes a PNG: latency by share of requests and over time, and of several runs also by rate."""
    from matplotlib.figure import Figure

    several = len(runs) > 1
    figure = Figure(figsize=(16 if several else 11, 4.8), layout="constrained")
    panels = figure.subplots(1, 3 if several else 2)
    load = run["load"]
    mark = "PARTIAL: " if run["partial"] else ""
    figure.suptitle(f"{mark}{run['url']}, {load['rate_per_s']:.0f} requests/s, {load['duration_s']:.0f} s")
    plot_by_share(panels[0], run, p99_ms)
    _plot_over_time(panels[1], run)
    if several:
        _plot_by_rate(panels[2], runs, p99_ms)
    figure.savefig(path, dpi=120, format="png")


def plot_by_share(panel: "Axes", run: dict[str, Any], p99_ms: float | None) -> None:
    """Latency by the share of requests, on a scale that stretches towards 1 and ends at 1 - 1/n for n requests."""
    largest = 2
    for kind, one in run["kinds"].items():
        cells = one["histogram_ms"]
        total, seen = sum(count for _, count in cells), 0
        places, heights = [], []
        for edge, count in cells:
            seen += count
            places.append(total / max(total - seen, 1))  # a share of 1 would lie at infinity
            heights.append(edge)
        if places:
            panel.step([1, *places], [heights[0], *heights], where="pre", label=kind)
            largest = max(largest, total)
    if p99_ms is not None:
        panel.plot([1, 100, 100], [p99_ms, p99_ms, 0.1], color="grey", linestyle=":", label="SLO")
    panel.set(xscale="log", yscale="log", xlabel="share of requests", ylabel="latency from intended start, ms")
    ticks = [share for share in _NINES if (1 - share) * largest > 1 - 1e-9]
    panel.set_xticks([1 / (1 - share) for share in ticks], [f"{share:g}" for share in ticks])
    panel.set_xticks([], minor=True)
    panel.set_xlim(1, largest)
    panel.grid(visible=True, alpha=0.3)
    if panel.lines:  # kinds without an answer have no line
        panel.legend()


def _plot_over_time(panel: "Axes", run: dict[str, Any]) -> None:
    """Latency and answers over the run."""
    timeline = run["timeline"]
    seconds = [part["second"] for part in timeline]
    for name in ("p50_ms", "p99_ms", "max_ms"):
        panel.plot(seconds, [part[name] for part in timeline], label=name.removesuffix("_ms"))
    panel.set(yscale="log", xlabel="seconds", ylabel="latency, ms")
    panel.grid(visible=True, alpha=0.3)
    panel.legend(loc="upper left")
    other = panel.twinx()
    other.plot(seconds, [part["answered_per_s"] for part in timeline], color="grey", alpha=0.5)
    other.set(ylabel="answers/s (grey)", ylim=(0, None))


def _plot_by_rate(panel: "Axes", runs: Sequence[dict[str, Any]], p99_ms: float | None) -> None:
    """Latency by the rate of each step."""
    stepped = sorted((run["load"]["rate_per_s"], run["all"]["latency_ms"]) for run in runs if run["all"]["latency_ms"])
    for name in _QUANTILES:
        panel.plot([rate for rate, _ in stepped], [named[name] for _, named in stepped], marker=".", label=name)
    if p99_ms is not None:
        panel.axhline(p99_ms, color="grey", linestyle=":", label="SLO p99")
    panel.set(yscale="log", xlabel="requests/s", ylabel="latency, ms")
    panel.grid(visible=True, alpha=0.3)
    panel.legend()
