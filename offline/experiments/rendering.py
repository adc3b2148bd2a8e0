"""A readout for people: as text, and as a picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from models.errors import UsageError
from offline.experiments.metric import Metric
from offline.experiments.readout import Comparison, Readout

_HEAD = ("metric", "control", "arm", "difference", "95% interval", "any day", "p (Holm)", "")
_UNKNOWN = "-"


def as_text(found: Readout) -> str:
    """The readout for a terminal."""
    return "\n".join(_lines(found))


def _lines(found: Readout) -> Iterator[str]:
    yield f"{found.experiment} ({found.state}), day {found.days}, {found.started_at:%Y-%m-%d} to {found.until:%Y-%m-%d}"
    yield ""
    rows = [("arm", "share", "viewers", "lists", "people reached", "places of the top 1%")]
    for arm in found.arms:
        cells = (arm.name, f"{arm.share:.0%}", f"{arm.viewers:,}", f"{arm.lists:,}")
        rows.append((*cells, f"{arm.reached:.1%}", f"{arm.top_share:.1%}"))
    yield from _table(rows)
    verdict = "does not fit the shares" if found.mismatch else "fits the shares"
    yield f"sizes of the arms: p = {found.sample_ratio_p:.3g}, which {verdict}"
    for one in found.comparisons:
        yield from _comparison(found.control, one)
    for name, report in found.groups.items():
        yield ""
        yield f"people suggested in lists of {name}, by {report.column}"
        groups = [("value", "people", "shown", "accepted")]
        groups += [(row.value, f"{row.people:,}", f"{row.shown:.2f}", _percent(row.accepted)) for row in report.rows]
        yield from _table(groups)
        yield f"groups alike: p = {report.p_shown:.3f} (shown), {report.p_accepted:.3f} (accepted)"
    yield ""
    yield from (f"- {note}" for note in found.notes)


def _comparison(control: str, one: Comparison) -> Iterator[str]:
    yield ""
    removed = max((metric.variance_removed for metric in one.viewer_side), default=0.0)
    yield f"{one.arm} against {control}, per viewer (the time before explains up to {removed:.0%} of the variance)"
    yield from _table([_HEAD, *map(_row, one.viewer_side)])
    side = one.candidate_side
    if side is not None:
        yield ""
        against = f"{side.people:,} whom it may touch against {side.held_out:,} held out"
        yield f"in lists of {one.arm}, per person suggested: {against}"
        yield from _table([_HEAD, *map(_row, side.metrics)])
    if one.groups is not None:
        yield ""
        yield f"{one.arm} against {control}, by {one.groups.column} of the people suggested"
        rows = [("value", "places of control", "of arm", "accepted of control", "of arm")]
        for row in one.groups.rows:
            accepted = (_percent(row.accepted_control), _percent(row.accepted_treatment))
            rows.append((row.value, _percent(row.control), _percent(row.treatment), *accepted))
        yield from _table(rows)
        yield f"arms alike: p (Holm) = {one.groups.p_shown:.3f} (places), {one.groups.p_accepted:.3f} (accepted)"


def _percent(share: float | None) -> str:
    return _UNKNOWN if share is None else f"{share:.1%}"


def _row(metric: Metric) -> tuple[str, ...]:
    always = "" if metric.always_low is None else f"{metric.always_low:+.4f} {metric.always_high:+.4f}"
    verdict = "better" if metric.is_gain else "worse" if metric.is_loss else ""
    relative = "" if metric.relative is None else f" ({metric.relative:+.1%})"
    interval = _UNKNOWN if metric.low is None else f"{metric.low:+.4f} {metric.high:+.4f}"
    return (
        metric.name,
        _UNKNOWN if metric.control is None else f"{metric.control:.4f}",
        _UNKNOWN if metric.treatment is None else f"{metric.treatment:.4f}",
        _UNKNOWN if metric.difference is None else f"{metric.difference:+.4f}{relative}",
        interval,
        always,
        _UNKNOWN if metric.difference is None else f"{metric.p_adjusted:.3g}",
        verdict or ("few events" if metric.few_events else ""),
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of equal width: the first flush left, the others flush right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  " + "  ".join(cells).rstrip()


def check_plot(path: Path) -> None:
    """Raises UsageError if matplotlib is missing or the format is not PNG."""
    if path.suffix != ".png":
        raise UsageError(f"--plot draws PNG: name a file that ends in .png, not {path.name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("--plot needs matplotlib, which is not installed: pip install 'pymk[plot]'") from error


def draw(file: BinaryIO | Path, found: Readout) -> None:
    """Writes a PNG: the relative difference of each metric with its intervals, viewers' and candidates' side."""
    from matplotlib.figure import Figure

    sides = [
        (f"{one.arm}: {title}", metrics)
        for one in found.comparisons
        for title, metrics in (
            ("viewers", one.viewer_side),
            ("people suggested", [] if one.candidate_side is None else one.candidate_side.metrics),
        )
        if any(map(_is_drawn, metrics))
    ]
    figure = Figure(figsize=(10, 1.2 + 3.2 * max(len(sides), 1)), layout="constrained")
    warning = "SIZES OF THE ARMS DO NOT FIT: " if found.mismatch else ""
    figure.suptitle(f"{warning}{found.experiment}, {found.state}, day {found.days}, against {found.control}")
    for panel, (title, metrics) in zip(
        figure.subplots(max(len(sides), 1), 1, squeeze=False)[:, 0], sides, strict=False
    ):
        shown = [metric for metric in metrics if _is_drawn(metric)]
        for at, metric in enumerate(shown):
            scale, colour = (
                100 / abs(metric.control or 1),
                "C2" if metric.is_gain else "C3" if metric.is_loss else "0.5",
            )
            if metric.always_low is not None and metric.always_high is not None:
                panel.plot(
                    [metric.always_low * scale, metric.always_high * scale], [at, at], color=colour, alpha=0.35, lw=6
                )
            if metric.low is not None and metric.high is not None:
                panel.plot([metric.low * scale, metric.high * scale], [at, at], color=colour, lw=2)
            panel.plot((metric.difference or 0) * scale, at, "o", color=colour)
        panel.axvline(0, color="0.3", lw=0.8)
        panel.set(title=title, xlabel="difference, % of the control (thick: valid on any day)")
        panel.set_yticks(range(len(shown)), [metric.name for metric in shown])
        panel.invert_yaxis()
    figure.savefig(file, dpi=120, format="png")


def _is_drawn(metric: Metric) -> bool:
    """Whether a metric has a difference relative to the control."""
    return bool(metric.control) and metric.difference is not None
