"""How much of other people's lists those have who joined since the night, beside their part of the friendships to come.

    pymk synth --users 4000 --out DATA
    python tests/load/newcomers_shown.py split DATA OUT --days 14     DATA as of that many days before its cut
    PYMK_HOME=HOME pymk nightly OUT; then pymk serve and pymk worker beside each other
    python tests/load/newcomers_shown.py judge DATA OUT               exit status 1 where the bar is missed

`split` leaves out who joined in the last days, and friendships, interactions and contacts of these days or people.
`judge` has them join, with their profiles, and their address books if DATA has contacts, asks for everybody's list of
20, and compares the newcomers' part of the entries with their part of the friends whom the same people make after the
cut of DATA (held_out.csv). The bar: at least half of it.
"""

import csv
import random
import sys
import time
import tomllib
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from onboarding import Service

BAR = 0.5
MULTI, NUMERIC = "multi", "numeric"
FLAGS = ("discoverable", "active", "connections_visible")

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0] if __doc__ else None)


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a file; none without it."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes rows; no file without any."""
    if rows:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def schema(data: Path) -> tuple[datetime, dict[str, str]]:
    """The cut and the kinds of the columns of a dataset of pymk synth."""
    found = tomllib.loads((data / "schema.toml").read_text())
    return datetime.fromisoformat(found["as_of"]), found["users"]


def newcomers(data: Path, cut: datetime) -> dict[str, dict[str, str]]:
    """Those who joined from a time on, by id."""
    return {
        row["user_id"]: row for row in table(data / "users.csv") if datetime.fromisoformat(row["created_at"]) >= cut
    }


def profile(row: dict[str, str], kinds: dict[str, str]) -> dict[str, Any]:
    """The body of a PUT."""
    body: dict[str, Any] = {}
    for column, value in row.items():
        if column in ("user_id", "created_at") or not value:
            continue
        if column in FLAGS:
            body[column] = value == "true"
        elif kinds.get(column) == MULTI:
            body[column] = value.split("|")
        else:
            body[column] = float(value) if kinds.get(column) == NUMERIC else value
    return body


@app.command()
def split(data: Path, out: Path, days: Annotated[float, typer.Option()] = 14) -> None:
    """Writes the dataset as of some days before its cut, without who joined since."""
    end, _ = schema(data)
    cut = end - timedelta(days=days)
    new = newcomers(data, cut)
    out.mkdir(parents=True)
    text = (data / "schema.toml").read_text()
    (out / "schema.toml").write_text(text.replace(f"{end:%Y-%m-%dT%H:%M:%SZ}", f"{cut:%Y-%m-%dT%H:%M:%SZ}"))
    for name in ("users", "connections", "interactions", "contacts"):
        rows = [row for row in table(data / f"{name}.csv") if not {row["user_id"], row.get("other_id")} & new.keys()]
        write(
            out / f"{name}.csv", [row for row in rows if "created_at" not in row or row["created_at"] < cut.isoformat()]
        )
    typer.echo(f"{out}: as of {cut:%Y-%m-%d}, {len(new)} newcomers")


@app.command()
def judge(
    data: Path,
    out: Path,
    url: Annotated[str, typer.Option()] = "http://127.0.0.1:8000",
    key: Annotated[str | None, typer.Option()] = None,
    wait: Annotated[float, typer.Option(help="Most seconds until the worker has candidates for all of them.")] = 300,
    people: Annotated[int, typer.Option(help="How many of the others are asked for, drawn at random.")] = 4000,
) -> None:
    """Has the newcomers join, and counts them in everybody else's lists."""
    cut, kinds = schema(out)
    new, service = newcomers(data, cut), Service(url, key)
    books: dict[str, dict[str, list[str]]] = {}
    for row in table(data / "contacts.csv"):
        side = "own" if row.get("own") == "true" else "contacts"
        books.setdefault(row["user_id"], {}).setdefault(side, []).append(row["address_hash"])
    for user_id, row in new.items():
        service.put(user_id, profile(row, kinds))
        if user_id in books:
            service.put(user_id, books[user_id], "/contacts")
    # until the worker has candidates for them, which it may be making for others first
    left, until = set(new), time.monotonic() + wait
    while left and time.monotonic() < until:
        left = {user_id for user_id in left if service.answer(user_id)["served"] != "ranked"}
        time.sleep(1)
    if left:
        raise SystemExit(f"after {wait:g} seconds the worker has no candidates for {len(left)} of {len(new)} newcomers")
    # the newcomers' part of lists, and of friendships
    others = [row["user_id"] for row in table(out / "users.csv") if row["active"] == "true"]
    asked = random.Random(1).sample(others, min(people, len(others)))
    shown = Counter[bool]()
    for user_id in asked:
        shown.update(entry["user_id"] in new for entry in service.answer(user_id)["recommendations"])
    pairs = [(row["user_id"], row["other_id"]) for row in table(data / "held_out.csv")]
    here = set(others)
    made = Counter(b in new for one, other in pairs for a, b in ((one, other), (other, one)) if a in here)
    of_lists, of_friends = (counts[True] / max(counts.total(), 1) for counts in (shown, made))
    ratio = of_lists / of_friends if of_friends else float("inf")
    typer.echo(f"{len(new)} newcomers, {len(others)} others, {len(asked)} of them asked for")
    typer.echo(f"of the entries of their lists {of_lists:.4f}, of the friends whom they make {of_friends:.4f}")
    typer.echo(f"ratio {ratio:.2f}, bar {BAR}")
    sys.exit(ratio < BAR)


if __name__ == "__main__":
    app()
