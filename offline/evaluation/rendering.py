"""The report as tables for a terminal."""

from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from offline.evaluation.report import PRODUCT_ALONE, RATIO_LIMIT, SYSTEM, WITHOUT_TOWERS, Report

METRICS = ("recall", "ndcg", "mrr", "hit")
BEST = "*"
"""marks the best figure of a column"""
WHOLE_WIDTH = 175
"""columns of text that all limits need; a narrower terminal shows 20 positions alone"""


MOST_GROUPS = 12
"""groups that a table shows, the largest; report.json has all"""


def render(report: Report, console: Console | None = None) -> None:
    """Prints the report: the system above the baselines, intervals at 20 positions, the best of each column marked.

    Prints plain text if the console (default: stdout) is not a terminal.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, WHOLE_WIDTH)
    if not report.methods:
        console.print("No user to evaluate: none has a held-out friendship.")
        return
    limits = sorted({limit for at in report.methods.values() for limit in at})
    if RATIO_LIMIT in limits:
        others = [limit for limit in limits if limit != RATIO_LIMIT]
        limits = [RATIO_LIMIT, *(others if console.width >= WHOLE_WIDTH else [])]
    style = box.SIMPLE_HEAD if console.is_terminal else box.ASCII2
    tables = [
        _quality_table(report, limits),
        *_few_friends(report),
        *_newcomers(report),
        *_negatives(report),
        *_exposure(report),
        *_groups(report),
        *_ablation(report),
    ]
    for table in tables:
        table.box = style
        console.print(table)
    for line in _lines(report):
        console.print(line, markup=False)


_PARTS = {
    PRODUCT_ALONE: "Over the towers, which are in closed form, the trained head",
    WITHOUT_TOWERS: "Over the same head with their product at its mean, the product",
}


def _lines(report: Report) -> Iterator[str]:
    if report.ratio is not None:
        yield (
            f"Times resource allocation: recall@{RATIO_LIMIT} {report.ratio.recall}, "
            f"NDCG@{RATIO_LIMIT} {report.ratio.ndcg}"
        )
    for name, one in report.parts.items():
        verb = "adds" if one.ndcg.value > 0 else "loses"
        sure = "" if one.is_certain else ", within chance"
        yield (
            f"{_PARTS.get(name, name)} {verb} recall@{RATIO_LIMIT} {one.recall}, NDCG@{RATIO_LIMIT} {one.ndcg}{sure}"
        )
    if (trained := report.retraining) is not None and trained.gain is not None:
        sure = "" if trained.gain.is_certain else ", within chance"
        yield (
            f"The training adds to the weights before: recall@{RATIO_LIMIT} {trained.gain.recall}, "
            f"NDCG@{RATIO_LIMIT} {trained.gain.ndcg}{sure}"
        )
    if report.newcomer_place is not None:
        cost = report.newcomer_place
        yield f"The last of {RATIO_LIMIT} places, which newcomers may take, is worth {cost.recall} recall"
    if report.pool is not None:
        yield f"Candidates: {report.pool.size:,.0f} a user, recall {report.pool.recall} of the held-out friendships"
    if report.calibration is not None:
        found = report.calibration
        yield (
            f"Calibration: expected error {found.error:.4f}, Brier {found.brier:.4f} "
            f"({found.base_brier:.4f} for the base rate {found.base_rate:.4f})"
        )
    if report.newcomers is not None:
        cold = report.newcomers
        if cold.ratio is not None:
            yield f"Newcomers are asked for {cold.ask}: times a random column, recall@{RATIO_LIMIT} {cold.ratio}"
        shown = cold.exposure
        yield f"Exposure of cold starts: coverage {shown.coverage:.3f}, Gini {shown.gini:.3f}"
    for method, reason in report.absent.items():
        yield f"{_named(method)} was skipped: {reason}"


def _named(method: str) -> str:
    return method.replace("_", " ")


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _ordered(methods: Iterable[str]) -> list[str]:
    """The system first, then the others in their order."""
    return sorted(methods, key=lambda method: method != SYSTEM)


def _few_friends(report: Report) -> Iterator[Table]:
    for kind, found in report.slices.items():
        if found.users:
            table = _table(f"Users with {kind}: {found.users:,}", [f"recall@{RATIO_LIMIT}", f"ndcg@{RATIO_LIMIT}"])
            for method in _ordered(found.methods):
                quality = found.methods[method]
                table.add_row(_named(method), _escaped(quality.recall), _escaped(quality.ndcg))
            yield table


def _newcomers(report: Report) -> Iterator[Table]:
    found = report.newcomers
    if found is not None:
        title = f"Cold starts of {found.users:,} newcomers by what they have answered"
        table = _table(title, [f"recall@{RATIO_LIMIT}", "friends expected"])
        table.columns[0].header = "answered"
        for name, recall in found.recall.items():
            table.add_row(name, _escaped(recall), "")
        for name in sorted(found.columns, key=lambda one: -found.gains[one]):
            table.add_row(f"{name} alone", _escaped(found.columns[name]), f"{found.gains[name]:+.2f}")
        yield table


def _negatives(report: Report) -> Iterator[Table]:
    kinds = [kind for kind, methods in report.negatives.items() if methods]
    if kinds:
        columns = [f"{metric} {kind}" for kind in kinds for metric in ("AUC", "MRR")]
        table = _table("Held-out friendships against sampled strangers", columns)
        for method in _ordered(dict.fromkeys(method for kind in kinds for method in report.negatives[kind])):
            found = [report.negatives[kind].get(method) for kind in kinds]
            figures = [figure for one in found for figure in ((one.auc, one.mrr) if one else (None, None))]
            table.add_row(_named(method), *("" if figure is None else f"{figure:.3f}" for figure in figures))
        yield table


def _exposure(report: Report) -> Iterator[Table]:
    if report.exposure:
        table = _table(f"Exposure in {RATIO_LIMIT} positions", ["coverage", "Gini", "mean friends"])
        for method in _ordered(report.exposure):
            found = report.exposure[method]
            table.add_row(_named(method), f"{found.coverage:.3f}", f"{found.gini:.3f}", f"{found.mean_degree:,.1f}")
        yield table


def _groups(report: Report) -> Iterator[Table]:
    if report.groups is not None:
        found = report.groups
        title = f"People shown in {RATIO_LIMIT} positions, by {found.column} (alike: p = {found.p_shown:.3f})"
        table = _table(title, ["people", "times shown", "friendships by time shown"])
        for row in found.rows[:MOST_GROUPS]:
            accepted = "" if row.accepted is None else f"{row.accepted:.3f}"
            table.add_row(row.value, f"{row.people:,}", f"{row.shown:.2f}", accepted)
        yield table


def _ablation(report: Report) -> Iterator[Table]:
    if report.ablation:
        table = _table("Ablation: without each part", [f"recall@{RATIO_LIMIT}", f"ndcg@{RATIO_LIMIT}"])
        whole = report.methods[SYSTEM][RATIO_LIMIT]
        for name, quality in {"the whole system": whole, **report.ablation}.items():
            table.add_row(_named(name), _escaped(quality.recall), _escaped(quality.ndcg))
        yield table


def _escaped(figure: object) -> str:
    return str(figure).replace("[", "\\[")


def _quality_table(report: Report, limits: list[int]) -> Table:
    columns = [(metric, limit) for limit in limits for metric in METRICS]
    title = f"Full ranking, {report.users:,} users, {report.held_out:,} held-out friendships; {BEST} best"
    table = _table(title, [f"{metric}@{limit}" for metric, limit in columns])
    figures = {
        (name, metric, limit): getattr(quality, metric)
        for name, at in report.methods.items()
        for limit, quality in at.items()
        for metric in METRICS
    }
    best = {
        column: max(figure.value for (_, *of), figure in figures.items() if tuple(of) == column) for column in columns
    }
    for name in _ordered(report.methods):
        cells = []
        for metric, limit in columns:
            figure = figures.get((name, metric, limit))
            if figure is None:
                cells.append("")
                continue
            wide = limit == RATIO_LIMIT and metric in ("recall", "ndcg")
            text = _escaped(figure) if wide else f"{figure.value:.3f}"
            cells.append(f"[bold]{text}{BEST}[/bold]" if figure.value == best[metric, limit] else f"{text} ")
        table.add_row(_named(name), *cells)
    return table
