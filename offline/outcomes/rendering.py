"""Rates of outcomes as tables on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from models.outcomes.schema import OUTCOMES
from offline.outcomes.rates import GROUPS, MOST_POSITIONS

_WIDTH = 140
"""columns where there is no terminal"""
_SHOWN = (*OUTCOMES, "ignored", "accepted_of_invited")
_TITLES = {
    "source": "source",
    "score_decile": "score, decile (10: highest)",
    "position": "position",
    "context": "context",
    "arm": "arm",
    "served": "served",
    "draw": "drawn",
}


def render(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the rates (offline.outcomes.rates.rates)."""
    if console is None:
        console = Console(highlight=False)
        console = console if console.is_terminal else Console(highlight=False, width=_WIDTH)
    if not found["all"]["shown"]:
        console.print(
            "no list is filed yet: lists are recorded when they are given out (PYMK_EXPOSURE_SHARE), and pymk worker "
            "files them"
        )
        return
    console.print(
        f"{found['all']['shown']:,} people shown in {found['lists']:,} lists to {found['viewers']:,} viewers, "
        f"{found['from'][:16]} to {found['to'][:16]} UTC; shares of those shown\n",
        markup=False,
    )
    if (parity := found.get("parity")) is not None:
        console.print(f"{parity_in_words(parity)}\n", markup=False)
    console.print(_table("all", [{"value": "all", **found["all"]}]))
    for group in GROUPS:
        lines = found["by"][group]
        if len(lines) > 1:
            console.print(_table(_TITLES[group], lines))


def parity_in_words(parity: Mapping[str, Any]) -> str:
    """How many of the features that were computed again agree."""
    share = "–" if parity["share"] is None else f"{parity['share']:.3%}"
    return (
        f"features computed again: {share} of {parity['pairs']:,} people in {parity['lists']:,} lists agree with what "
        f"was recorded; {parity['skipped']:,} lists could not be compared"
    )


def _table(title: str, lines: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, no_wrap=True)
    for name in ("shown", *_SHOWN):
        table.add_column(name.replace("accepted_of_invited", "of invited"), justify="right")
    for line in lines:
        value = f"after {MOST_POSITIONS}" if title == "position" and line["value"] > MOST_POSITIONS else line["value"]
        table.add_row(str(value), f"{line['shown']:,}", *(_share(line[name]) for name in _SHOWN))
    table.add_row()
    return table


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"
