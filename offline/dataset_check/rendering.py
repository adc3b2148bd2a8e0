"""A check as tables on a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from offline.dataset_check.check import DatasetCheck
from offline.dataset_check.findings import Finding, Severity

_EXAMPLE = 40
"""characters of an example in the table of columns"""


def render(check: DatasetCheck, console: Console) -> None:
    """Prints the tables, the columns and the findings."""
    for table in check.tables:
        console.print(f"{table.table:<13}{table.file}: {table.rows:,} rows", markup=False)
    graph = check.graph
    console.print(
        f"graph        {graph.people:,} people, {graph.friendships:,} friendships; {graph.without_friends:,} without "
        f"friends, the others have {graph.median_friends:g} in the median and {graph.most_friends:,} at most; "
        f"{graph.largest_part:,} in the largest connected part",
        markup=False,
    )
    console.print(f"as of        {check.as_of} ({check.as_of_from})\n", markup=False)
    console.print(_columns(check))
    if not check.findings:
        console.print("\nnothing looks odd")
    for finding in check.findings:
        console.print(_line(finding), soft_wrap=True)


def _columns(check: DatasetCheck) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in ("table", "column", "taken for", "why"):
        table.add_column(name, overflow="fold")
    for name in ("filled", "empty", "distinct"):
        table.add_column(name, justify="right")
    table.add_column("example", overflow="ellipsis", no_wrap=True, max_width=_EXAMPLE)
    for column in check.columns:
        counts = (column.filled, column.empty, column.distinct)
        taken = f"{column.taken_for}, reason" if column.reason else column.taken_for
        cells = [column.table, column.column, taken, column.why]
        table.add_row(
            *(escape(cell) for cell in cells),
            *("–" if count is None else f"{count:,}" for count in counts),
            escape(column.example or ""),
        )
    return table


def _line(finding: Finding) -> str:
    colour = "yellow" if finding.severity is Severity.WARNING else "cyan"
    example = "" if finding.example is None else f" (such as {finding.example})"
    return f"[{colour}]{finding.severity.value:<9}[/]{escape(f'{finding.table}: {finding.sentence}{example}')}"
