"""The distributions of a report, then and now, as SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from offline.monitor.compare_data import CODED
from offline.monitor.distributions import bins_of_values
from offline.monitor.reference import ColumnReference, ReferenceStatistics

WIDTH, HEIGHT = 320, 132
LEFT, TOP, RIGHT, BOTTOM = 34, 10, 8, 22
BARS = 8
"""categories that are drawn"""
LONGEST = 14
"""letters of a category"""


@dataclass(frozen=True)
class Curve:
    """A distribution then and now."""

    name: str
    then: Sequence[float]
    now: Sequence[float]
    labels: Sequence[str] = ()
    """of categories, whose shares `then` and `now` are; none: they are quantiles"""


def curves(then: ReferenceStatistics, now: ReferenceStatistics) -> Iterator[Curve]:
    """The columns, features and scores that are in both."""
    for name, before in then.columns.items():
        after = now.columns.get(name)
        if after is not None and before.kind == after.kind:
            found = _of_column(name, before, after)
            if found is not None:
                yield found
    for name, quantiles in then.features.items():
        if quantiles and now.features.get(name):
            yield Curve(name, quantiles, now.features[name])
    if then.model is not None and now.model is not None:
        if then.model.scores and now.model.scores:
            yield Curve("scores", then.model.scores, now.model.scores)
        sources = sorted(then.model.sources.keys() | now.model.sources.keys())
        shares = [[model.sources.get(name, 0.0) for name in sources] for model in (then.model, now.model)]
        yield Curve("sources", shares[0], shares[1], sources)
    if then.outcomes is not None and now.outcomes is not None:
        both = sorted(then.outcomes.sources.keys() & now.outcomes.sources.keys())
        accepted = [[of.sources[name].acceptance for name in both] for of in (then.outcomes, now.outcomes)]
        if both:
            yield Curve("acceptance", accepted[0], accepted[1], both)


def _of_column(name: str, before: ColumnReference, after: ColumnReference) -> Curve | None:
    if before.kind in CODED:
        if not before.values or not after.values:
            return None
        names, one, other = bins_of_values(before.values, after.values)
        kept = [*range(min(BARS, len(names) - 1)), len(names) - 1]
        return Curve(
            name, (one / one.sum())[kept].tolist(), (other / other.sum())[kept].tolist(), [names[at] for at in kept]
        )
    if not before.quantiles or not after.quantiles:
        return None
    return Curve(name, before.quantiles, after.quantiles)


def svg(curve: Curve) -> str:
    """The plot: bars of shares, or the cumulative distributions; then in grey, now in colour."""
    drawn = _bars(curve) if curve.labels else _cumulative(curve)
    title = escape(curve.name)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}: then and now">'
        f"<title>{title}</title>{drawn}</svg>"
    )


def _bars(curve: Curve) -> str:
    """One pair of bars a category, lying."""
    top = max([*curve.then, *curve.now, 1e-9])
    row = (HEIGHT - TOP - 4) / len(curve.labels)
    left, parts = 96, []
    for at, (label, one, other) in enumerate(zip(curve.labels, curve.then, curve.now, strict=True)):
        y = TOP + at * row
        shown = label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"
        parts.append(f'<text x="{left - 5}" y="{y + row * 0.7:.1f}" class="end">{escape(shown)}</text>')
        for offset, share, kind in ((0.12, one, "then"), (0.5, other, "now")):
            width = (WIDTH - left - RIGHT - 36) * share / top
            parts.append(
                f'<rect x="{left}" y="{y + row * offset:.1f}" width="{width:.1f}" height="{row * 0.36:.1f}" '
                f'class="{kind}"/>'
            )
        x = left + (WIDTH - left - RIGHT - 36) * max(one, other) / top + 4
        parts.append(f'<text x="{x:.1f}" y="{y + row * 0.7:.1f}">{other:.1%}</text>')
    return "".join(parts)


def _cumulative(curve: Curve) -> str:
    """The share of people below each value."""
    one, other = np.asarray(curve.then), np.asarray(curve.now)
    both = np.concatenate([one, other])
    low, high = np.quantile(both, [0.002, 0.998])
    span = high - low or 1.0
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def line(values: np.ndarray, kind: str) -> str:
        steps = np.linspace(0, 1, len(values))[::5]
        x = LEFT + np.clip((values[::5] - low) / span, 0, 1) * width
        y = TOP + (1 - steps) * height
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        return f'<polyline points="{points}" class="{kind}"/>'

    base = TOP + height
    frame = f'<path d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}" class="axis"/>'
    ticks = (
        f'<text x="{LEFT - 5}" y="{TOP + 8}" class="end">100%</text>'
        f'<text x="{LEFT - 5}" y="{base}" class="end">0</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{low:.3g}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" class="end">{high:.3g}</text>'
    )
    return frame + ticks + line(one, "then") + line(other, "now")
