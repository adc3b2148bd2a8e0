"""A report as tables for people."""

from rich import box
from rich.console import Console
from rich.table import Table

from offline.evaluation.report import RATIO_LIMIT, SYSTEM, Report

METRICS = ("recall", "ndcg", "mrr", "hit")
BEST = "*"
"""stands behind the best figure of a column"""
WHOLE_WIDTH = 175
"""columns of text that all limits take; a narrower terminal shows 20 places alone"""


def render(report: Report, console: Console | None = None) -> None:
    """Prints the report: the system above the baselines, with the interval of 20 places and the best of each column
    marked. Plain text where the console (default: stdout) is no terminal."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, WHOLE_WIDTH)
    if not report.methods:
        console.print("Nobody to judge: no user has a held-out friendship.")
        return
    limits = sorted({limit for at in report.methods.values() for limit in at})
    if RATIO_LIMIT in limits:
        others = [limit for limit in limits if limit != RATIO_LIMIT]
        limits = [RATIO_LIMIT, *(others if console.width >= WHOLE_WIDTH else [])]
    console.print(_quality_table(report, limits, console.is_terminal))
    if report.ratio is not None:
        console.print(
            f"Times resource allocation: recall@{RATIO_LIMIT} {report.ratio.recall}, "
            f"NDCG@{RATIO_LIMIT} {report.ratio.ndcg}",
            markup=False,
        )


def _quality_table(report: Report, limits: list[int], terminal: bool) -> Table:
    columns = [(metric, limit) for limit in limits for metric in METRICS]
    table = Table(
        title=f"Full ranking, {report.users:,} users, {report.held_out:,} held-out friendships; {BEST} best",
        box=box.SIMPLE_HEAD if terminal else box.ASCII2,
        title_justify="left",
    )
    table.add_column("method")
    for metric, limit in columns:
        table.add_column(f"{metric}@{limit}", justify="right")
    figures = {
        (name, metric, limit): getattr(quality, metric)
        for name, at in report.methods.items()
        for limit, quality in at.items()
        for metric in METRICS
    }
    best = {
        column: max(figure.value for (_, *of), figure in figures.items() if tuple(of) == column) for column in columns
    }
    for name in sorted(report.methods, key=lambda name: name != SYSTEM):
        cells = []
        for metric, limit in columns:
            figure = figures.get((name, metric, limit))
            if figure is None:
                cells.append("")
                continue
            wide = limit == RATIO_LIMIT and metric in ("recall", "ndcg")
            text = str(figure).replace("[", "\\[") if wide else f"{figure.value:.3f}"
            cells.append(f"[bold]{text}{BEST}[/bold]" if figure.value == best[metric, limit] else f"{text} ")
        table.add_row(name.replace("_", " "), *cells)
    return table
