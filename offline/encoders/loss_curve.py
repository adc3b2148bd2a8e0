"""The history of a run, epoch by epoch: history.json, and a plot if matplotlib is installed."""

from collections.abc import Sequence
from pathlib import Path

from models.system import files

JSON_NAME = "history.json"
PNG_NAME = "loss.png"


def write_curve(directory: Path, history: Sequence[dict[str, float]]) -> None:
    """Writes history.json, and loss.png if it can be drawn."""
    files.write_json(directory / JSON_NAME, list(history))
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    epochs = [line["epoch"] for line in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, quality = figure.subplots(1, 2)
    for name in dict.fromkeys(name for line in history for name in line if name.startswith("loss")):
        losses.plot(epochs, [line.get(name, float("nan")) for line in history], marker=".", label=name)
    losses.set(xlabel="epoch", ylabel="mean loss of a step")
    losses.grid(visible=True, alpha=0.3)
    losses.legend()
    for name in ("gain", "recall_at_20", "mrr"):
        if any(name in line for line in history):
            quality.plot(epochs, [line.get(name, float("nan")) for line in history], marker=".", label=name)
    quality.set(xlabel="epoch", ylabel="validation friendships")
    quality.grid(visible=True, alpha=0.3)
    if quality.lines:
        quality.legend(loc="upper left")
    rates = quality.twinx()
    rates.plot(epochs, [line["learning_rate"] for line in history], color="grey", alpha=0.5)
    rates.set(ylabel="learning rate (grey)", yscale="log")
    with files.writing(directory / PNG_NAME) as file:
        figure.savefig(file, dpi=100, format="png")
