"""A month of exports with drift planted on one day: what the monitor says each night, and what a retraining restores.

    python tests/benchmarks/drift_month.py --users 2000 --seeds 5
    python tests/benchmarks/drift_month.py --users 2000 --seeds 1 --nights --directory DIR     trains: an hour

Each day's export of a synthetic network has the friendships made until then. Every night is compared with the version
that is active, at first that of day 0, by data alone; an alarm retrains, so that the day's version is active from then
on. A month for each drift and seed: none; a new university joins; a column's meaning changes; friendships start to
form between other groups. Prints JSON: by drift how often it was reported that night under its names, and the alarms
on all other days. With `--nights`, each drifted day is also learned from once with a warm start and once from scratch,
both after a first night: `restored` is the ratio of their NDCG at 20 positions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.version.local_versions import Versions
from offline.evaluation.report import SYSTEM, Report
from offline.features.temporal_graph import friendships
from offline.monitor.compare_data import compare_data
from offline.monitor.describe import describe
from offline.monitor.reference import ReferenceStatistics
from offline.snapshot.snapshot import write_snapshot
from offline.synth import directory as synthetic
from offline.synth import network

DAYS, DRIFTED = 30, 10
"""days of the month, and the one on which the world changes"""
FRIENDS = 12
JOINING = 0.15
"""share of the people who come with the new university"""
MIXED = 1.0
"""friendships between anybody, over those there were, once they form between other groups"""

Tables = dict[str, pl.DataFrame]
Drift = Callable[[Tables, str, np.random.Generator], Tables]
"""the tables after a drift at a moment"""


def university_joins(tables: Tables, at: str, draw: np.random.Generator) -> Tables:
    """Many new people of one school, who know each other."""
    users, pairs = tables["users"], tables["connections"]
    count = round(JOINING * len(users))
    new = users.sample(count, with_replacement=True, seed=int(draw.integers(1 << 31)))
    ids = pl.Series("user_id", [f"joined{number}" for number in range(count)])
    new = new.with_columns(ids, pl.lit("New University").alias("school"))
    made = _between(ids, count * FRIENDS // 2, at, draw)
    return {"users": pl.concat([users, new]), "connections": pl.concat([pairs, made.select(pairs.columns)])}


def company_means_something_else(tables: Tables, _: str, draw: np.random.Generator) -> Tables:
    """The companies are those of other people."""
    return tables | {"users": tables["users"].with_columns(pl.col("company").shuffle(seed=int(draw.integers(1 << 31))))}


def other_groups_mix(tables: Tables, at: str, draw: np.random.Generator) -> Tables:
    """Friendships form without regard to who people are."""
    people, pairs = tables["users"]["user_id"], tables["connections"]
    made = _between(people, round(MIXED * len(pairs)), at, draw).select(pairs.columns)
    known = pl.concat([pairs, pairs.rename({"user_id": "other_id", "other_id": "user_id"}).select(pairs.columns)])
    return tables | {"connections": pl.concat([pairs, made.join(known, on=["user_id", "other_id"], how="anti")])}


def _between(people: pl.Series, count: int, at: str, draw: np.random.Generator) -> pl.DataFrame:
    """About so many friendships between people drawn without regard to anything, made at a moment."""
    ends = draw.integers(0, len(people), (count, 2))
    ends = np.unique(np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1), axis=0)
    columns = {"user_id": people.gather(ends[:, 0]), "other_id": people.gather(ends[:, 1])}
    return pl.DataFrame(columns).with_columns(pl.lit(at).alias("created_at"))


DRIFTS: dict[str, tuple[Drift | None, frozenset[str]]] = {
    "none": (None, frozenset()),
    "university": (university_joins, frozenset({"new_values_school"})),
    "meaning": (company_means_something_else, frozenset({"meaning_company"})),
    "groups": (other_groups_mix, frozenset({"friends", "meaning_company"})),
}
"""how the world changes, and the checks that must name it"""


def month(out: Path, users: int, seed: int) -> Tables:
    """A network's people and all of its friendships, the last month's too."""
    synthetic.write(network.generate(users, FRIENDS, seed=seed), out)
    pairs = [pl.read_csv(out / f"{name}.csv") for name in ("connections", "held_out")]
    return {"users": pl.read_csv(out / "users.csv"), "connections": pl.concat(pairs)}


def exported(tables: Tables, until: datetime, data: Path, schema: str) -> None:
    """Writes the export of a moment: everybody, and the friendships until then."""
    data.mkdir(parents=True, exist_ok=True)
    tables["users"].write_csv(data / "users.csv")
    tables["connections"].filter(pl.col("created_at") <= _iso(until)).write_csv(data / "connections.csv")
    lines = [line for line in schema.splitlines() if not line.startswith("as_of")]
    (data / "schema.toml").write_text("\n".join([f'as_of = "{_iso(until)}"', *lines]))


def _iso(moment: datetime) -> str:
    """As the dates of the tables, which order as their text does."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def described(data: Path) -> ReferenceStatistics:
    """The statistics that a version of this export would keep."""
    with tempfile.TemporaryDirectory() as scratch:
        snapshot = write_snapshot(data, Path(scratch) / "snapshot", started_at=datetime.now(UTC))
        return describe(snapshot, friendships(snapshot))


def days_of(scratch: Path, users: int, seed: int, drift: Drift | None) -> Iterator[tuple[int, Path]]:
    """Every day of a month with its export, which the next one takes the place of."""
    source, data = scratch / "source", scratch / "DATA"
    tables = month(source, users, seed)
    end = datetime.fromisoformat(str(tables["connections"]["created_at"].max()))
    schema, draw = (source / "schema.toml").read_text(), np.random.default_rng(seed)
    for day in range(DAYS):
        until = end - timedelta(days=DAYS - 1 - day)
        if day == DRIFTED and drift is not None:
            tables = drift(tables, _iso(until), draw)
        exported(tables, until, data, schema)
        yield day, data


def alarms_of(scratch: Path, users: int, seed: int, drift: Drift | None) -> dict[int, list[str]]:
    """The names of the checks that gave alarm, by day; after each alarm the day's version is active."""
    active: ReferenceStatistics | None = None
    found = {}
    for day, data in days_of(scratch, users, seed, drift):
        now = described(data)
        names = [] if active is None else [one.name for one in compare_data(active, now) if one.verdict == "alarm"]
        if names:
            found[day] = names
        if active is None or names:
            active = now
    return found


def restored(scratch: Path, users: int, seed: int, drift: Drift) -> dict[str, float]:
    """NDCG at 20 positions of the weights before a drift, after a retraining from them, and of one from scratch."""
    homes = {name: scratch / name for name in ("warm", "scratch")}
    for day, data in days_of(scratch, users, seed, drift):
        if day == DRIFTED - 1:
            night(homes["warm"], data, "--force")
        if day == DRIFTED:
            break
    warm = night(homes["warm"], data, "--retrain", "always", "--force")
    anew = night(homes["scratch"], data, "--force")
    known = None if warm.retraining is None else warm.retraining.before
    ndcg = {name: one.methods[SYSTEM][20].ndcg.value for name, one in (("warm", warm), ("scratch", anew))}
    before = {} if known is None else {"before": known.ndcg.value}
    return before | ndcg | {"restored": ndcg["warm"] / ndcg["scratch"]}


def night(home: Path, data: Path, *options: str) -> Report:
    """The report of a night; what it logs goes to a file beside the home."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    environment["PYMK_HOME"] = str(home)
    command = [sys.executable, "-m", "models.cli", "nightly", str(data), *options]
    with (home.parent / f"{home.name}.log").open("a") as log:
        ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, check=True)
    return Report.read(Versions(home).path(ran.stdout.splitlines()[-1]))


def measured(scratch: Path, users: int, seeds: int, *, nights: bool) -> dict[str, Any]:
    """By drift: months that reported it that night under its names, and alarms on the other days."""
    results = {}
    for name, (drift, names) in DRIFTS.items():
        months = [alarms_of(scratch / f"{name}-{seed}", users, seed, drift) for seed in range(seeds)]
        others = [month for month in months for day in month if drift is None or day != DRIFTED]
        results[name] = {
            "months": seeds,
            "reported": sum(names <= set(month.get(DRIFTED, ())) for month in months) if drift else 0,
            "named": sorted({one for month in months for one in month.get(DRIFTED, ())}),
            "alarms_on_other_days": len(others),
            "other_days": seeds * (DAYS - (1 if drift is None else 2)),
        }
        if nights and drift is not None:
            results[name] |= restored(scratch / f"{name}-nights", users, 0, drift)
        print(f"{name}: {results[name]}", file=sys.stderr)  # noqa: T201
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5, help="months of each drift")
    parser.add_argument("--nights", action="store_true", help="train before and after each drift as well")
    parser.add_argument("--directory", type=Path, default=None, help="for homes and logs; default: one that is removed")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch, redirect_stdout(sys.stderr):  # what is logged
        found = measured(chosen.directory or Path(scratch), chosen.users, chosen.seeds, nights=chosen.nights)
    print(json.dumps(found, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
