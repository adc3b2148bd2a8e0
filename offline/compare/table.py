"""The table of a comparison: rows beside the baselines, with intervals, as JSON, Markdown and PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.system import files
from offline.compare.comparison import SharedSplitNote
from offline.compare.justification import verdicts
from offline.compare.results import PerUser, RunResult
from offline.compare.variants import Variant
from offline.evaluation.baselines import POPULARITY
from offline.evaluation.bootstrap import Interval, interval, resampled_means

JSON_NAME = "comparison.json"
MARKDOWN_NAME = "comparison.md"
PNG_NAME = "comparison.png"
COLUMNS = (
    "row",
    "alone recall",
    "alone NDCG",
    "x popular",
    "fused recall",
    "fused NDCG",
    "seeds ±",
    "training s",
    "fusion s",
    "embed all s",
    "list ms",
    "parameters",
    "MB",
    "notes",
)

COLOURS = {"baseline": "grey", "encoder alone": "tab:blue", "fused": "tab:orange"}


class ListQuality(BaseModel):
    """Means over users, with intervals; the seeds of a row are averaged by user first."""

    model_config = ConfigDict(frozen=True)

    recall: Interval
    ndcg: Interval


class TableRow(BaseModel):
    """A row over all its seeds."""

    model_config = ConfigDict(frozen=True)

    name: str
    seeds: int
    alone: ListQuality
    fused: ListQuality | None
    times_popularity: float | None
    """recall of the encoder alone over that of popularity; None if popularity found nothing"""
    spread: float
    """standard deviation of the recall among seeds, of the fused lists if there are any"""
    training_seconds: float
    fusion_seconds: float | None
    embed_seconds: float
    fusion_ms: float | None
    parameters: int
    fusion_parameters: int | None
    memory_mb: float
    device: str
    notes: list[str]


class Comparison(BaseModel):
    """The content of comparison.json."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    users: int
    friendships: int
    hidden: int
    judged: int
    has_time: bool
    baselines: dict[str, ListQuality]
    rows: list[TableRow]
    best_alone: str
    """the row whose encoder alone has the highest recall"""
    best_fused: str | None
    """the row whose fused lists have the highest recall"""
    verdicts: list[str]
    """for each complex fusion, whether it is justified"""

    def write(self, directory: Path) -> None:
        """Writes comparison.json and comparison.md, and comparison.png if matplotlib is installed."""
        files.write_bytes(directory / JSON_NAME, self.model_dump_json(indent=2).encode() + b"\n")
        files.write_bytes(directory / MARKDOWN_NAME, markdown(self).encode())
        draw(self, directory / PNG_NAME)


def table(note: SharedSplitNote, rows: Sequence[Variant], results: Sequence[RunResult]) -> Comparison:
    """The comparison of these results, one for each row and seed. All rows share the resamples of users."""
    # rows, averaged over seeds
    made = []
    for row in rows:
        runs = [result for result in results if result.row == row.name]
        alone, fused = _averaged([run.alone for run in runs]), _averaged([run.fused for run in runs if run.fused])
        if alone is None:
            raise ValueError(f"row {row.name} has no result: run it first")
        each = [np.mean((run.fused or run.alone).recall) for run in runs]
        popular = float(np.mean(note.baselines[POPULARITY].recall))
        made.append(
            TableRow(
                name=row.name,
                seeds=len(runs),
                alone=_list_quality(alone),
                fused=None if fused is None else _list_quality(fused),
                times_popularity=float(np.mean(alone.recall)) / popular if popular else None,
                spread=float(np.std(each)),
                training_seconds=_mean([run.training_seconds for run in runs]) or 0.0,
                fusion_seconds=_mean([run.fusion_seconds for run in runs]),
                embed_seconds=_mean([run.embed_seconds for run in runs]) or 0.0,
                fusion_ms=_mean([run.fusion_ms for run in runs]),
                parameters=runs[0].parameters,
                fusion_parameters=runs[0].fusion_parameters,
                memory_mb=_mean([run.memory_mb for run in runs]) or 0.0,
                device=runs[0].device,
                notes=list(dict.fromkeys(one for run in runs for one in run.notes)),
            )
        )
    # best rows and verdicts
    fused_recall = {row.name: row.fused.recall.value for row in made if row.fused is not None}
    return Comparison(
        dataset=note.dataset,
        users=note.users,
        friendships=note.friendships,
        hidden=note.hidden,
        judged=note.judged,
        has_time=note.has_time,
        baselines={name: _list_quality(quality) for name, quality in note.baselines.items()},
        rows=made,
        best_alone=max(made, key=lambda row: row.alone.recall.value).name,
        best_fused=max(fused_recall, key=fused_recall.__getitem__) if fused_recall else None,
        verdicts=_verdicts(rows, results),
    )


def markdown(found: Comparison) -> str:
    """The comparison as a Markdown section."""
    lines = [
        f"### {found.dataset}",
        "",
        f"{found.users:,} users, {found.friendships:,} known friendships, {found.hidden:,} hidden; lists of "
        f"{found.judged:,} users evaluated by full ranking, recall@20 and NDCG@20 with 95% intervals over users. "
        f"**Best alone: {found.best_alone}**" + (f"; **best fused: {found.best_fused}**." if found.best_fused else "."),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for name, quality in found.baselines.items():
        lines.append(f"| *{name.replace('_', ' ')}* | {quality.recall} | {quality.ndcg} |" + " |" * (len(COLUMNS) - 3))
    for row in found.rows:
        fused = ("", "") if row.fused is None else (str(row.fused.recall), str(row.fused.ndcg))
        parameters = row.parameters + (row.fusion_parameters or 0)
        cells = [
            _marked(row.name, found),
            str(row.alone.recall),
            str(row.alone.ndcg),
            _number(row.times_popularity, ".1f"),
            *fused,
            f"{row.seeds} ± {row.spread:.4f}" if row.seeds > 1 else "1",
            _number(row.training_seconds, ".1f"),
            _number(row.fusion_seconds, ".1f"),
            _number(row.embed_seconds, ".2f"),
            _number(row.fusion_ms, ".2f"),
            f"{parameters:,}",
            f"{row.memory_mb:,.0f}",
            "; ".join(row.notes),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {verdict}" for verdict in found.verdicts)]).rstrip() + "\n"


def drawn(found: Comparison) -> list[tuple[str, Interval, str]]:
    """Name, recall and kind of every bar; each encoder alone has one bar, even if several rows fuse it."""
    bars = [(name.replace("_", " "), quality.recall, "baseline") for name, quality in found.baselines.items()]
    alone = [row.alone for row in found.rows if row.fused is None]
    for row in found.rows:
        if row.fused is None:
            bars.append((row.name, row.alone.recall, "encoder alone"))
            continue
        if row.alone not in alone:
            alone.append(row.alone)
            bars.append((f"{row.name}, alone", row.alone.recall, "encoder alone"))
        bars.append((row.name, row.fused.recall, "fused"))
    return bars


def draw(found: Comparison, path: Path) -> bool:
    """Draws recall with its intervals; returns False if matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError:
        return False
    bars = drawn(found)
    figure = Figure(figsize=(9, 1 + 0.24 * len(bars)), layout="constrained")
    panel = figure.subplots()
    values = np.array([bar[1].value for bar in bars])
    errors = np.abs(np.array([[bar[1].low, bar[1].high] for bar in bars]).T - values)
    panel.barh(
        range(len(bars)), values, xerr=errors, color=[COLOURS[bar[2]] for bar in bars], ecolor="black", capsize=2
    )
    panel.set_yticks(range(len(bars)), [bar[0] for bar in bars], fontsize=7)
    panel.set_ylim(len(bars) - 0.4, -0.6)
    panel.legend(handles=[Patch(color=colour, label=kind) for kind, colour in COLOURS.items()], fontsize=7)
    panel.set(xlabel="recall@20, full ranking", title=f"{found.dataset}: {found.judged:,} users evaluated")
    panel.grid(visible=True, axis="x", alpha=0.3)
    with files.writing(path) as file:
        figure.savefig(file, dpi=110, format="png")
    return True


def _verdicts(rows: Sequence[Variant], results: Sequence[RunResult]) -> list[str]:
    """For each encoder with several fusions, whether each of them is justified over the weighted average."""
    fused = {row.name: _averaged([run.fused for run in results if run.row == row.name and run.fused]) for row in rows}
    found: list[str] = []
    for base in rows:
        if base.fusion is None or base.fusion.name != "weighted_average" or fused[base.name] is None:
            continue
        same = [row.name for row in rows if row.digest == base.digest]
        ndcg = {name: np.array(quality.ndcg) for name in same if (quality := fused[name]) is not None}
        found += map(str, verdicts(ndcg, base.name))
    return found


def _averaged(runs: Sequence[PerUser]) -> PerUser | None:
    """The mean over seeds by user; None if there is no run."""
    if not runs:
        return None
    return PerUser(
        recall=np.mean([run.recall for run in runs], axis=0).tolist(),
        ndcg=np.mean([run.ndcg for run in runs], axis=0).tolist(),
    )


def _list_quality(quality: PerUser) -> ListQuality:
    values = np.array([quality.recall, quality.ndcg]).T
    means = resampled_means(values)
    recall, ndcg = (interval(float(values[:, at].mean()), means[:, at]) for at in (0, 1))
    return ListQuality(recall=recall, ndcg=ndcg)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _marked(name: str, found: Comparison) -> str:
    return f"**{name}**" if name in (found.best_alone, found.best_fused) else name
