"""What learning from outcomes is worth: the same simulated months with it and without it.

    python tests/benchmarks/learning.py --directory DIR --users 5000 --days 30 --seeds 1 2 3

runs `pymk simulate` twice for each seed, once with `outcomes.learn` of the night's configuration and once without, and
prints accepted invitations per 1,000 people shown over the last days, with the ratio and its 95% interval by bootstrap
over people, who are the same in both months. `expected` is the same comparison by what the simulation knows: the
friendships that the places were worth, without the luck of who looked and answered. Months that are in DIR already are
read from there. Takes half a minute to two a night.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from offline.evaluation.bootstrap import Interval, ratio_interval, resampled_means

WITH, WITHOUT = "with", "without"


def pymk(*arguments: str) -> None:
    """Runs a command; what it logs goes to this program's stderr. Raises CalledProcessError."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    command = [sys.executable, "-m", "models.cli", *arguments]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)


def month(options: argparse.Namespace, seed: int, kind: str) -> Path:
    """The directory of a simulated month, which is simulated if it is not there."""
    name = f"{kind}-{seed}"
    out, night, config = (options.directory / one for one in (name, f"{name}-night.toml", f"{name}.toml"))
    if not (out / "outcomes").exists():
        given = options.night.read_text(encoding="utf-8") if options.night else ""
        if re.search(r"^\[outcomes\]", given, flags=re.MULTILINE):
            raise SystemExit("--night may have no table [outcomes]: this program sets it")
        learns = "true" if kind == WITH else "false"
        night.write_text(f"{given}\n[outcomes]\nlearn = {learns}\n", encoding="utf-8")
        settings = "".join(f"{one}\n" for one in options.setting)
        config.write_text(
            f'nights_every = {options.nights_every}\nforce = true\nnight = "{night.resolve()}"\n[settings]\n{settings}',
            encoding="utf-8",
        )
        size = ("--users", str(options.users), "--days", str(options.days), "--seed", str(seed))
        pymk("simulate", "--out", str(out), *size, "--config", str(config))
        pymk("--home", str(out / "home"), "outcomes", "--out", str(out / "outcomes"))
    return out


def by_viewer(out: Path, since: int) -> pl.DataFrame:
    """By viewer the people shown from a day on, and the invitations accepted of them."""
    shown = pl.read_parquet(out / "outcomes" / "*.parquet", columns=["request_id", "viewer", "accepted"])
    day = pl.col("request_id").str.extract(r"^sim-(\d+)-").cast(pl.Int64)
    kept = shown.filter(day >= since)
    return kept.group_by("viewer").agg(pl.len().alias("shown"), pl.col("accepted").sum().cast(pl.Int64))


def ratio(one: pl.DataFrame, other: pl.DataFrame) -> Interval | None:
    """Accepted per shown of one month over that of the other, of people drawn with replacement together."""
    both = one.join(other, on="viewer", how="full", coalesce=True, suffix="_other").fill_null(0).sort("viewer")
    values = both.select("accepted", "shown", "accepted_other", "shown_other").to_numpy().astype(np.float64)
    means, drawn = values.mean(axis=0), resampled_means(values)
    rates = drawn[:, 0] / drawn[:, 1], drawn[:, 2] / drawn[:, 3]
    return ratio_interval(float(means[0] / means[1]), float(means[2] / means[3]), *rates)


def expected(out: Path, since: int) -> float:
    """Friendships that the places were worth, per 1,000 people shown from a day on."""
    days = pl.read_parquet(out / "days.parquet").filter(pl.col("day") >= since)
    return float(1000 * days["expected"].sum() / days["shown"].sum())


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="where the months are kept")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--last", type=int, default=10, help="days that are compared")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--nights-every", type=int, default=1, help="days from one night to the next")
    parser.add_argument("--night", type=Path, help="configuration of the nights, without a table [outcomes]")
    parser.add_argument(
        "--setting", action="append", default=[], help="a line of [settings], such as fatigue_factor = 1"
    )
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    since = options.days - options.last + 1
    sys.stdout.write(
        f"days {since} to {options.days} of {options.users} people; accepted invitations per 1,000 shown\n\n"
    )
    sys.stdout.write("| seed | links alone | with outcomes | ratio | expected alone | expected with | ratio |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for seed in options.seeds:
        made = {kind: month(options, seed, kind) for kind in (WITHOUT, WITH)}
        rows = {kind: by_viewer(out, since) for kind, out in made.items()}
        rates = {kind: 1000 * one["accepted"].sum() / one["shown"].sum() for kind, one in rows.items()}
        true = {kind: expected(out, since) for kind, out in made.items()}
        sys.stdout.write(
            f"| {seed} | {rates[WITHOUT]:.2f} | {rates[WITH]:.2f} | {ratio(rows[WITH], rows[WITHOUT])} | "
            f"{true[WITHOUT]:.2f} | {true[WITH]:.2f} | {true[WITH] / true[WITHOUT]:.3f} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
