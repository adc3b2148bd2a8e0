"""The report on drift as one HTML file with plots, which needs nothing else."""

from collections.abc import Iterator
from html import escape

from offline.evaluation.drift_check import DriftCheck, DriftReport
from offline.monitor.curves import curves, svg
from offline.monitor.reference import ReferenceStatistics

ORDER = {"alarm": 0, "warn": 1, "ok": 2}
GROUPS = {
    "columns": "Columns",
    "meaning": "Meaning of columns",
    "graph": "Friendships",
    "features": "Features of people",
    "embeddings": "Embeddings",
    "scores": "Scores",
    "coverage": "Candidates and sources",
    "outcomes": "What came of lists",
    "weights": "Weights",
}
STYLE = """
:root{color-scheme:light dark;--paper:#f5f3ee;--surface:#fffefb;--ink:#22211e;--muted:#6a665e;--line:#e2ddd2;
--now:#0b6f63;--then:#b9b2a4;--ok:#0d7a6d;--warn:#9a6a00;--alarm:#a5361c}
@media (prefers-color-scheme:dark){:root{--paper:#131517;--surface:#1b1e21;--ink:#eae7e0;--muted:#a09c94;
--line:#2e3338;--now:#63cbbb;--then:#6a6f75;--ok:#63cbbb;--warn:#e0b050;--alarm:#f08a6a}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1080px;padding:32px 20px 60px;background:var(--paper);
color:var(--ink);font:15px/1.5 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:34px 0 10px}p{margin:4px 0;color:var(--muted)}
.result{font-size:17px;color:var(--ink);margin:14px 0}.result b{padding:3px 9px;border-radius:7px;color:#fff}
.scroll{overflow-x:auto;background:var(--surface);border:1px solid var(--line);border-radius:12px}
table{width:100%;border-collapse:collapse;min-width:640px}td,th{padding:7px 12px;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line)}tr:last-child td{border:0}th{font-weight:600;color:var(--muted);font-size:13px}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.name{font-weight:600}
.verdict{font-weight:600}.ok{color:var(--ok)}.warn{color:var(--warn)}.alarm{color:var(--alarm)}
b.ok{background:#0d7a6d}b.alarm{background:#a5361c}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:14px}
figure{margin:0;padding:12px 12px 8px;background:var(--surface);border:1px solid var(--line);border-radius:12px}
figcaption{font-weight:600;font-size:14px;margin-bottom:6px}svg{display:block;width:100%;height:auto}
svg text{font-size:10px;fill:var(--muted)}svg .end{text-anchor:end}rect.then{fill:var(--then)}rect.now{fill:var(--now)}
polyline{fill:none;stroke-width:2}polyline.then{stroke:var(--then)}polyline.now{stroke:var(--now)}
.axis{fill:none;stroke:var(--line)}.key i{display:inline-block;width:12px;height:12px;border-radius:3px;
margin:0 5px 0 14px;vertical-align:-1px}
"""


def as_html(
    report: DriftReport, then: ReferenceStatistics | None = None, now: ReferenceStatistics | None = None
) -> str:
    """The page: the result, the checks of each group with alarms first, and the distributions then and now."""
    return "".join(_parts(report, then, now))


def _parts(report: DriftReport, then: ReferenceStatistics | None, now: ReferenceStatistics | None) -> Iterator[str]:
    verdict, said = ("alarm", "retraining is due") if report.retrain else ("ok", "no retraining is due")
    yield (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>Drift: {said}</title><style>{STYLE}</style>'
        f"<h1>Drift</h1><p>Against version {escape(report.version or 'none')}, {report.at:%Y-%m-%d %H:%M} UTC</p>"
        f'<p class="result"><b class="{verdict}">{said}</b></p>'
    )
    if report.note:
        yield f"<p>{escape(report.note)}</p>"
    for check in report.alarms:
        yield f'<p class="alarm">{escape(check.sentence)}</p>'
    for group, title in GROUPS.items():
        checks = sorted((check for check in report.checks if check.group == group), key=lambda one: ORDER[one.verdict])
        if checks:
            yield f"<h2>{title}</h2>{_table(checks)}"
    if then is not None and now is not None:
        yield (
            '<h2>Distributions</h2><p class="key">'
            '<i style="background:var(--then)"></i>then<i style="background:var(--now)"></i>now</p><div class="plots">'
        )
        for curve in curves(then, now):
            yield f"<figure><figcaption>{escape(curve.name)}</figcaption>{svg(curve)}</figure>"
        yield "</div>"
    yield "</html>\n"


def _table(checks: list[DriftCheck]) -> str:
    rows = "".join(
        f'<tr><td class="verdict {check.verdict}">{check.verdict}</td><td class="name">{escape(check.name)}</td>'
        f'<td class="number">{check.value:.3g}</td><td class="number">{check.threshold:.3g}</td>'
        f"<td>{escape(check.sentence)}</td></tr>"
        for check in checks
    )
    head = "<tr><th>verdict</th><th>check</th><th>value</th><th>threshold</th><th>what moved</th></tr>"
    return f'<div class="scroll"><table>{head}{rows}</table></div>'
