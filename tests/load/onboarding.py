"""How a running service serves people who join: by the column that they answer, and by their contacts.

    python ../shared/quality/newcomers.py split DATA OUT      5% of the people removed; OUT.newcomers.json has them
    pymk nightly OUT; pymk serve; pymk worker
    python tests/load/onboarding.py OUT [--url URL] [--people 300]

Every newcomer joins several times under ids of their own: with no profile, with each column alone, with all columns,
and with half of the friends as contacts. Prints recall@20 of the friends who stay, by the
cold start and, after the worker has made candidates, by what is served then; with contacts both of what she is shown,
who has her contacts at its head, and of the people ranked beside them. Then three at a time join who have each other as
contacts: prints how long it takes until each sees the other two. Exit status 1 if it took more than two seconds.
"""

import argparse
import csv
import hashlib
import json
import random
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import typer

PLACES = 20
MOST_EXCLUDED = 100
"""ids that a request may leave out"""
MUTUAL_S = 2.0
"""within which each of three contacts sees the others"""


class Service:
    """A running service."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"Cache-Control": "no-cache"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._client = httpx.Client(base_url=url, headers=headers, timeout=30)

    def put(self, user_id: str, body: Any, part: str = "") -> None:
        """Puts a profile, or with `part` "/contacts" contacts."""
        answer = self._client.put(f"/pymk/users/{urllib.parse.quote(user_id, safe='')}{part}", json=body)
        answer.raise_for_status()

    def answer(self, user_id: str, excluded: Sequence[str] = ()) -> dict[str, Any]:
        """A list of 20 without some people."""
        params = {"user_id": user_id, "limit": str(PLACES)} | ({"exclude": ",".join(excluded)} if excluded else {})
        answer = self._client.get("/pymk/recommendations", params=params)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def lists(self, ids: Mapping[str, str]) -> dict[str, list[str]]:
        """By newcomer the list of the id that stands for her."""
        return {
            one: [entry["user_id"] for entry in self.answer(user_id)["recommendations"]] for one, user_id in ids.items()
        }


def recall(lists: Mapping[str, Sequence[str]], truth: Mapping[str, Sequence[str]]) -> float:
    """Mean over people of the share of their friends in the first places."""
    return sum(len(set(lists[one][:PLACES]) & set(truth[one])) / len(truth[one]) for one in truth) / len(truth)


def gini(lists: Mapping[str, Sequence[str]], people: int) -> float:
    """Inequality of how often people are shown; those who never are count."""
    shown = Counter(user_id for one in lists.values() for user_id in one)
    times = sorted([0] * (people - len(shown)) + list(shown.values()))
    total = sum(times)
    return sum((2 * place - people - 1) * one for place, one in enumerate(times, 1)) / (people * total)


def allocation(friends: Mapping[str, set[str]], known: Sequence[str]) -> list[str]:
    """The best of resource allocation for somebody with these friends."""
    scores: dict[str, float] = {}
    for friend in known:
        for other in friends.get(friend, ()):
            scores[other] = scores.get(other, 0) + 1 / len(friends[friend])
    return sorted(scores.keys() - set(known), key=lambda one: (-scores[one], one))[:PLACES]


def hash_of(user_id: str) -> str:
    """The hash of somebody's address."""
    return hashlib.sha256(f"{user_id}@example.org".encode()).hexdigest()


def columns_study(
    service: Service, newcomers: Mapping[str, Any], truth: Mapping[str, Any], n: int, wait: float
) -> None:
    """Recall by what was answered."""
    columns = sorted({column for person in newcomers.values() for column in person["profile"]})
    ask = service.answer("somebody who was never here")["ask"]
    given = {"nothing": [], "all": columns, **{column: [column] for column in columns}}
    ids: dict[str, dict[str, str]] = {}
    cold: dict[str, dict[str, list[str]]] = {}
    early = 0
    for name, answered in given.items():
        ids[name], cold[name] = {}, {}
        for one, person in newcomers.items():
            ids[name][one] = f"{one} with {name}"
            profile = {column: person["profile"][column] for column in answered if column in person["profile"]}
            if profile:
                service.put(ids[name][one], profile)
            # at once: the worker has candidates within a second
            first = service.answer(ids[name][one])
            early += first["served"] != "cold_start"
            cold[name][one] = [entry["user_id"] for entry in first["recommendations"]]
    typer.echo(f"{early} lists were not cold starts any more")
    time.sleep(wait)
    later = {name: service.lists(own) for name, own in ids.items()}
    typer.echo(f"asked for: {ask}")
    typer.echo(f"{'answered':16} {'cold start':>12} {'later':>12}")
    for name in given:
        typer.echo(f"{name:16} {recall(cold[name], truth):12.4f} {recall(later[name], truth):12.4f}")
    for when, lists in (("cold start", cold), ("later", later)):
        chance = sum(recall(lists[column], truth) for column in columns) / len(columns)
        asked = recall(lists[ask], truth)
        typer.echo(f"{when}: asked {asked:.4f}, a random column {chance:.4f}, ratio {asked / chance:.2f}")
        typer.echo(f"{when}: Gini of who is shown with all columns {gini(lists['all'], n):.3f}")


def contacts_study(
    service: Service, newcomers: Mapping[str, Any], friends: Mapping[str, set[str]], wait: float
) -> None:
    """Recall with half of the friends in the contacts, beside resource allocation on as many friendships."""
    half, rest = {}, {}
    for one, person in newcomers.items():
        if len(person["friends"]) >= 2:
            drawn = random.Random(one).sample(person["friends"], len(person["friends"]) // 2)
            half[one], rest[one] = drawn, sorted(set(person["friends"]) - set(drawn))
    for user_id in sorted({friend for drawn in half.values() for friend in drawn}):
        service.put(user_id, {"own": [hash_of(user_id)]}, "/contacts")
    began = time.monotonic()
    ids = {one: f"{one} with contacts" for one in half}
    for one, user_id in ids.items():
        service.put(user_id, {"contacts": [hash_of(friend) for friend in half[one]]}, "/contacts")
        service.put(user_id, newcomers[one]["profile"])
    seen = service.answer(ids[next(reversed(ids))])
    took = time.monotonic() - began
    time.sleep(wait)
    lists = service.lists(ids)
    ranked = {
        one: [entry["user_id"] for entry in service.answer(user_id, half[one][:MOST_EXCLUDED])["recommendations"]]
        for one, user_id in ids.items()
    }
    whole = {one: newcomers[one]["friends"] for one in half}
    base = {one: allocation(friends, drawn) for one, drawn in half.items()}
    typer.echo(f"{len(ids)} newcomers with half of their friends in the contacts ({took:.1f} s; last {seen['served']})")
    by_allocation = recall(base, rest)
    best = sum(min(PLACES, len(known)) / len(known) for known in whole.values()) / len(whole)
    shown, of_ranked = recall(lists, whole), recall(ranked, rest)
    typer.echo(f"resource allocation on as many friendships, of the other half: {by_allocation:.4f}")
    typer.echo(f"shown, of all their friends: {shown:.4f}, ratio {shown / by_allocation:.2f}")
    typer.echo(f"  if all who are shown were friends: {best:.4f}, ratio {best / by_allocation:.2f}")
    typer.echo(f"ranked beside the contacts, of the other half: {of_ranked:.4f}, ratio {of_ranked / by_allocation:.2f}")


def mutual_study(service: Service, trios: int) -> bool:
    """How long it takes three contacts who join until each sees the other two; whether all of them did in time."""
    took = []
    for number in range(trios):
        names = [f"trio {time.time_ns()} {number} {which}" for which in range(3)]
        for name in names:
            others = [hash_of(other) for other in names if other != name]
            service.put(name, {"own": [hash_of(name)], "contacts": others}, "/contacts")
        joined = time.monotonic()
        left = set(names)
        while left and time.monotonic() - joined < 10 * MUTUAL_S:
            for name in sorted(left):
                entries = service.answer(name)["recommendations"]
                if set(names) - {name} <= {one["user_id"] for one in entries if "contacts" in one["sources"]}:
                    left.discard(name)
            time.sleep(0.02)
        took.append(float("inf") if left else time.monotonic() - joined)
    took.sort()
    typer.echo(f"{trios} times three contacts who join: each sees the others after {took[trios // 2]:.2f} s (median),")
    typer.echo(f"{took[-1]:.2f} s (longest), after the answer to the last upload")
    return took[-1] <= MUTUAL_S


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key")
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--wait", type=float, default=20)
    parser.add_argument("--trios", type=int, default=30)
    options = parser.parse_args()
    newcomers = json.loads(Path(f"{options.out}.newcomers.json").read_text())
    drawn = random.Random(1).sample(sorted(newcomers), min(options.people, len(newcomers)))
    newcomers = {one: newcomers[one] for one in drawn}
    truth = {one: person["friends"] for one, person in newcomers.items()}
    friends: dict[str, set[str]] = {}
    with (options.out / "connections.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            friends.setdefault(row["user_id"], set()).add(row["other_id"])
            friends.setdefault(row["other_id"], set()).add(row["user_id"])
    service = Service(options.url, options.key)
    columns_study(service, newcomers, truth, len(friends), options.wait)
    contacts_study(service, newcomers, friends, options.wait)
    sys.exit(not mutual_study(service, options.trios))


if __name__ == "__main__":
    main()
