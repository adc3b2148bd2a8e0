"""Twelve people around a ring, their dataset, and the model of who may be shown to whom that every list is held to."""

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

Pair = tuple[str, str]
PEOPLE = ("ann", "bea", "cid", "dan", "eva", "fay", "gus", "hal", "ida", "jo/é 🦊", "kim", "leo")
"""each is connected to the two before and the two after around the ring"""
FLAGS = {"gus": "discoverable", "ida": "connections_visible", "leo": "active"}
"""by person, the flag that is false in the dataset"""
BEFORE = [("block", "ann", "eva"), ("invite", "bea", "hal"), ("dismiss", "cid", "gus"), ("report", "dan", "kim")]
"""interactions of the dataset"""


class VisibilityModel:
    """Who may be shown to whom by the contract, in a few sets."""

    def __init__(self) -> None:
        self.known = set(PEOPLE)
        self.false: dict[str, set[str]] = defaultdict(set)
        """by person, the flags that are false"""
        for person, flag in FLAGS.items():
            self.false[person].add(flag)
        self.erased: set[str] = set()
        self.relations: dict[str, set[Pair]] = defaultdict(set)
        """by kind, the pairs (user, other) it holds for"""
        self.connected_before: set[Pair] = set()
        """pairs that are or were connected, in both directions"""
        self.done: set[tuple[str, ...]] = set()
        """identities of the events that were accepted: an event counts once"""
        for at, person in enumerate(PEOPLE):
            for step in (1, 2):
                self.do("connect", person, PEOPLE[(at + step) % len(PEOPLE)])
        for kind, one, other in BEFORE:
            self.do(kind, one, other)

    def do(self, kind: str, one: str, other: str) -> None:
        """Applies an event that was acknowledged."""
        relations, pair, back = self.relations, (one, other), (other, one)
        self.known |= {one, other}
        if kind in {"connect", "accept"}:
            relations["connected"] |= {pair, back}
            self.connected_before |= {pair, back}
        if kind == "disconnect":
            relations["connected"] -= {pair, back}
        if kind in {"disconnect", "decline"}:
            relations["refused"] |= {pair, back}
        if kind in {"connect", "accept", "disconnect"}:
            relations["invite"] -= {pair, back}
        if kind == "decline":
            relations["invite"] -= {back}
        if kind in {"invite", "block", "dismiss", "report"}:
            relations[kind].add(pair)
        if kind in {"withdraw", "unblock", "undismiss"}:
            relations[{"withdraw": "invite", "unblock": "block", "undismiss": "dismiss"}[kind]].discard(pair)

    def change_profile(self, person: str, flags: dict[str, bool | None]) -> None:
        """Applies a profile change; that of an erased person makes a new person."""
        self.known.add(person)
        self.erased.discard(person)
        for flag, value in flags.items():
            (self.false[person].add if value is False else self.false[person].discard)(flag)

    def erase(self, person: str) -> None:
        self.erased.add(person)
        self.false[person].clear()
        for pairs in (*self.relations.values(), self.connected_before):
            pairs -= {pair for pair in pairs if person in pair}

    def is_active(self, person: str) -> bool:
        return person not in self.erased and "active" not in self.false[person]

    def forbids(self, viewer: str, other: str) -> list[str]:
        """Returns why the other may not be shown to the viewer; empty if they may."""
        pair, back = (viewer, other), (other, viewer)
        why = [name for name, pairs in self.relations.items() if pair in pairs]
        why += [name for name in ("invite", "block") if back in self.relations[name]]
        if viewer == other:
            why.append("self")
        if not self.is_active(other) or "discoverable" in self.false[other]:
            why.append("hidden")
        return why

    def names(self, viewer: str, other: str) -> set[str]:
        """Returns those who may be named or counted as mutual connections."""
        return {
            one
            for one in self.known
            if {(viewer, one), (one, other)} <= self.connected_before
            and self.is_active(one)
            and "connections_visible" not in self.false[one]
            and not {(viewer, one), (one, viewer)} & self.relations["block"]
        }

    def check(self, body: dict[str, Any], viewer: str, limit: int, excluded: Collection[str]) -> int:
        """Asserts all that the contract says of lists; returns how many reasons name mutual connections."""
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
        if viewer in self.erased:
            assert served in {"empty", "cold_start"}
        elif not self.is_active(viewer):
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
                    assert named <= allowed, f"{viewer} gets the names {named - allowed} with {one['user_id']}"
                    assert reason["count"] <= len(allowed), f"{viewer} gets {reason} of {allowed}"
        return mutual


def write_dataset(data: Path) -> None:
    """Writes the dataset of PEOPLE, who work at two companies, into an empty directory."""
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
