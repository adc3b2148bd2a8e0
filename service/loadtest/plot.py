"""Pictures of a run, and of a search for the highest rate."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = ("p50", "p99", "p99.9")
_NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


def check_matplotlib(path: Path) -> None:
    """Raises UsageError where pictures cannot be drawn, or not in this format."""
    if path.suffix != ".png":
        raise UsageError(f"--plot draws PNG: name a file that ends in .png, not {path.name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("--plot needs matplotlib, which is not installed: pip install 'pymk[plot]'") from error


def draw(path: Path, run: dict[str, Any], runs: Sequence[dict[str, Any]], p99_ms: float | None) -> None:
    """Writes a PNG: latency by share of requests and along a run; beside several, latency by their rates as well."""
    from matplotlib.figure import Figure

    several = len(runs) > 1
    figure = Figure(figsize=(16 if several else 11, 4.8), layout="constrained")
    panels = figure.subplots(1, 3 if several else 2)
    load = run["load"]
    mark = "PARTIAL: " if run["partial"] else ""
    figure.suptitle(f"{mark}{run['url']}, {load['rate_per_s']:.0f} requests/s, {load['duration_s']:.0f} s")
    by_share(panels[0], run, p99_ms)
    _along(panels[1], run)
    if several:
        _by_rate(panels[2], runs, p99_ms)
    figure.savefig(path, dpi=120, format="png")


def by_share(panel: "Axes", run: dict[str, Any], p99_ms: float | None) -> None:
    """Latency against the share of requests, drawn out towards 1 as far as their number n can tell: to 1 - 1/n."""
    most = 2
    for kind, one in run["kinds"].items():
        cells = one["histogram_ms"]
        total, seen = sum(count for _, count in cells), 0
        places, heights = [], []
        for edge, count in cells:
            seen += count
            places.append(total / max(total - seen, 1))  # the slowest is not at 1, which would be at infinity
            heights.append(edge)
        if places:
            panel.step([1, *places], [heights[0], *heights], where="pre", label=kind)
            most = max(most, total)
    if p99_ms is not None:
        panel.plot([1, 100, 100], [p99_ms, p99_ms, 0.1], color="grey", linestyle=":", label="SLO")
    panel.set(xscale="log", yscale="log", xlabel="share of requests", ylabel="latency from intended start, ms")
    told = [share for share in _NINES if (1 - share) * most > 1 - 1e-9]
    panel.set_xticks([1 / (1 - share) for share in told], [f"{share:g}" for share in told])
    panel.set_xticks([], minor=True)
    panel.set_xlim(1, most)
    panel.grid(visible=True, alpha=0.3)
    if panel.lines:  # nothing is drawn of kinds that were not answered
        panel.legend()


def _along(panel: "Axes", run: dict[str, Any]) -> None:
    """Latency and answers along the run."""
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


def _by_rate(panel: "Axes", runs: Sequence[dict[str, Any]], p99_ms: float | None) -> None:
    """Latency against the rate of each step."""
    stepped = sorted((run["load"]["rate_per_s"], run["all"]["latency_ms"]) for run in runs if run["all"]["latency_ms"])
    for name in _SHOWN:
        panel.plot([rate for rate, _ in stepped], [named[name] for _, named in stepped], marker=".", label=name)
    if p99_ms is not None:
        panel.axhline(p99_ms, color="grey", linestyle=":", label="SLO p99")
    panel.set(yscale="log", xlabel="requests/s", ylabel="latency, ms")
    panel.grid(visible=True, alpha=0.3)
    panel.legend()
