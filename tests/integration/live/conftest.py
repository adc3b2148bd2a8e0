"""A few people around a ring, and the model of who may be shown to whom that every list is held to."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Pair = tuple[str, str]
PEOPLE = ("ann", "bea", "cid", "dan", "eva", "fay", "gus", "hal", "ida", "jo/é 🦊", "kim", "leo")
"""each a connection of the two before and the two after, around a ring"""
FLAGS = {"gus": "discoverable", "ida": "connections_visible", "leo": "active"}
"""what is false of whom in the dataset"""
BEFORE = [("block", "ann", "eva"), ("invite", "bea", "hal"), ("dismiss", "cid", "gus"), ("report", "dan", "kim")]
"""interactions of the dataset"""


class Model:
    """Who may be shown to whom, as the contract says it."""

    def __init__(self) -> None:
        self.known = set(PEOPLE)
        self.false: dict[str, set[str]] = defaultdict(set)
        """by person, the flags that are false"""
        for person, flag in FLAGS.items():
            self.false[person].add(flag)
        self.gone: set[str] = set()
        self.tied: dict[str, set[Pair]] = defaultdict(set)
        """by what holds, the pairs of who did it and whom it was done to"""
        self.ever: set[Pair] = set()
        """pairs that were connected, both ways"""
        self.done: set[tuple[str, ...]] = set()
        for at, person in enumerate(PEOPLE):
            for step in (1, 2):
                self.do("connect", person, PEOPLE[(at + step) % len(PEOPLE)])
        for kind, one, other in BEFORE:
            self.do(kind, one, other)

    def do(self, kind: str, one: str, other: str) -> None:
        """An event that was acknowledged."""
        tied, pair, back = self.tied, (one, other), (other, one)
        self.known |= {one, other}
        if kind in {"connect", "accept"}:
            tied["connected"] |= {pair, back}
            self.ever |= {pair, back}
        if kind == "disconnect":
            tied["connected"] -= {pair, back}
        if kind in {"disconnect", "decline"}:
            tied["refused"] |= {pair, back}
        if kind in {"connect", "accept", "disconnect"}:
            tied["invite"] -= {pair, back}
        if kind == "decline":
            tied["invite"] -= {back}
        if kind in {"invite", "block", "dismiss", "report"}:
            tied[kind].add(pair)
        if kind in {"withdraw", "unblock", "undismiss"}:
            tied[{"withdraw": "invite", "unblock": "block", "undismiss": "dismiss"}[kind]].discard(pair)

    def put(self, person: str, flags: dict[str, bool | None]) -> None:
        """A profile change; of somebody erased, a new person."""
        self.known.add(person)
        self.gone.discard(person)
        for flag, value in flags.items():
            (self.false[person].add if value is False else self.false[person].discard)(flag)

    def erase(self, person: str) -> None:
        self.gone.add(person)
        self.false[person].clear()
        for pairs in (*self.tied.values(), self.ever):
            pairs -= {pair for pair in pairs if person in pair}
        self.done = {one for one in self.done if one[0] != person}

    def is_there(self, person: str) -> bool:
        return person not in self.gone and "active" not in self.false[person]

    def forbids(self, viewer: str, other: str) -> list[str]:
        """Why the other may not be shown to the viewer."""
        pair, back = (viewer, other), (other, viewer)
        why = [name for name, pairs in self.tied.items() if pair in pairs]
        why += [name for name in ("invite", "block") if back in self.tied[name]]
        if viewer == other:
            why.append("self")
        if not self.is_there(other) or "discoverable" in self.false[other]:
            why.append("hidden")
        return why

    def names(self, viewer: str, other: str) -> set[str]:
        """Those who may be named or counted as mutual connections."""
        return {
            one
            for one in self.known
            if {(viewer, one), (one, other)} <= self.ever
            and self.is_there(one)
            and "connections_visible" not in self.false[one]
            and not {(viewer, one), (one, viewer)} & self.tied["block"]
        }

    def check(self, body: dict[str, Any], viewer: str, limit: int, excluded: Collection[str]) -> int:
        """Holds a list to all that the contract says of lists; how many reasons named mutual connections."""
        served, listed = body["served"], body["recommendations"]
        others = [one["user_id"] for one in listed]
        scores = [one["score"] for one in listed]
        assert body["user_id"] == viewer
        assert len(listed) <= limit
        assert [one["position"] for one in listed] == list(range(1, len(listed) + 1))
        assert len(set(others)) == len(others)
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert not set(others) & set(excluded)
        if viewer in self.gone:
            assert served in {"empty", "cold_start"}
        elif not self.is_there(viewer):
            assert (served, listed) == ("empty", [])
        elif viewer not in self.known:
            assert served == "cold_start"
        wrong = {other: why for other in others if (why := self.forbids(viewer, other))}
        assert not wrong, f"{viewer} is shown {wrong}, served {served}"
        mutual = 0
        for one in listed:
            for reason in one["reasons"]:
                if reason["code"] == "mutual_connections":
                    mutual += 1
                    allowed, named = self.names(viewer, one["user_id"]), set(reason["examples"])
                    assert named <= allowed, f"{viewer} is told of {named - allowed} with {one['user_id']}"
                    assert reason["count"] <= len(allowed), f"{viewer} is told of {reason} of {allowed}"
        return mutual


def write_dataset(data: Path) -> None:
    """PEOPLE around their ring, at two companies."""
    columns = ("company", "discoverable", "active", "connections_visible")
    lines = [",".join(("user_id", *columns))]
    for at, person in enumerate(PEOPLE):
        flags = ["false" if FLAGS.get(person) == column else "" for column in columns[1:]]
        lines.append(",".join((person, "Acme" if at < 6 else "Bolt", *flags)))
    (data / "users.csv").write_text("\n".join(lines))
    ring = [(person, PEOPLE[(at + step) % len(PEOPLE)]) for at, person in enumerate(PEOPLE) for step in (1, 2)]
    (data / "connections.csv").write_text("\n".join(["user_id,other_id", *map(",".join, ring)]))
    rows = [f"{one},{other},{kind},2024-12-31T00:00:00Z" for kind, one, other in BEFORE]
    (data / "interactions.csv").write_text("\n".join(["user_id,other_id,kind,at", *rows]))
    (data / "schema.toml").write_text('as_of = "2025-01-01T00:00:00Z"\n')


@dataclass(frozen=True)
class Network:
    """The few people."""

    people: tuple[str, ...] = PEOPLE

    def model(self) -> Model:
        """What the dataset says of them."""
        return Model()

    def write(self, data: Path) -> None:
        """Writes the dataset into an empty directory."""
        write_dataset(data)


@pytest.fixture(scope="session")
def network() -> Network:
    """The few people, their dataset and their model."""
    return Network()
