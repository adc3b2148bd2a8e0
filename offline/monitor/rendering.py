"""The report on drift on the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from offline.evaluation.drift_check import DriftReport
from offline.monitor.html import ORDER

COLOURS = {"ok": "green", "warn": "yellow", "alarm": "bold red"}


def render(report: DriftReport, console: Console, *, everything: bool = False) -> None:
    """Prints the checks that are not ok, all with `everything`, and what follows."""
    if report.note:
        console.print(escape(report.note), soft_wrap=True)
    if not report.checks:
        return
    shown = [check for check in report.checks if everything or check.verdict != "ok"]
    if shown:
        table = Table(title=f"Drift against version {report.version}", title_justify="left")
        for name in ("verdict", "check"):
            table.add_column(name, no_wrap=True)
        for name in ("value", "threshold"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("what moved")
        for check in sorted(shown, key=lambda one: ORDER[one.verdict]):
            table.add_row(
                f"[{COLOURS[check.verdict]}]{check.verdict}[/]",
                escape(check.name),
                f"{check.value:.3g}",
                f"{check.threshold:.3g}",
                escape(check.sentence),
            )
        console.print(table)
    counts = {verdict: sum(check.verdict == verdict for check in report.checks) for verdict in ORDER}
    said = "retraining is due" if report.retrain else "no retraining is due"
    console.print(
        f"{len(report.checks)} checks against version {report.version}: {counts['alarm']} alarms, "
        f"{counts['warn']} warnings; {said}",
        soft_wrap=True,
    )
