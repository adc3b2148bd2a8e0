"""Graphs whose lists anyone can write down, through a whole night and the ranking that serves."""

import json
from collections.abc import Iterable, Sequence
from itertools import combinations, groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import DatasetError
from models.ranker.ranker import Ranker
from models.schema.vocabulary import Vocabulary
from models.store.keys import Keys
from models.version.local_versions import Versions
from offline.night.config import NightConfig
from offline.night.nightly import Night
from service.ranking.kernels.sorting import mixed
from service.ranking.rerank import Diversity, RerankSettings
from service.ranking.tie_break import id_hashes
from service.recommend.batch import BatchRecommender
from tests.support.homes import Home
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")
Pairs = Iterable[tuple[str, str]]
Lists = dict[str, list[set[str]]]
"""by viewer: the people with the best score, those with the next, and so on"""


def written(directory: Path, users: Sequence[str], pairs: Pairs, header: str = "user_id") -> Path:
    directory.mkdir()
    (directory / "users.csv").write_text("".join(f"{line}\n" for line in [header, *users]))
    lines = ["user_id,other_id", *(f"{a},{b}" for a, b in pairs)]
    (directory / "connections.csv").write_text("".join(f"{line}\n" for line in lines))
    return directory


def night(data: Path, home: Path, **options: Any) -> MemoryStore:
    store = MemoryStore()
    Night(data=data, home=home, store=store, keys=KEYS, config=NightConfig(), **options).run()
    return store


def answers(home: Path, store: MemoryStore) -> dict[str, dict[str, Any]]:
    """What everybody is shown."""
    recommender = BatchRecommender(store, Versions(home), KEYS, Ranker.open, RerankSettings(Diversity("company", 5)))
    listed = map(json.loads, recommender.answers(recommender.active_users, "web", 100))
    return {answer["user_id"]: answer for answer in listed}


def groups(answer: dict[str, Any]) -> list[list[str]]:
    """The people of a list, those of one score together, in their order."""
    by_score = groupby(answer["recommendations"], key=lambda shown: shown["score"])
    return [[shown["user_id"] for shown in together] for _, together in by_score]


def in_order(viewer: str, people: Iterable[str], everybody: Sequence[str]) -> list[str]:
    """People of one score as the hash of the two ids orders them."""
    vocabulary = Vocabulary.from_ids(everybody)
    hashes = id_hashes(vocabulary)
    named = sorted(people)
    own, theirs = hashes[[vocabulary.row(viewer)]].astype(np.uint64), hashes[vocabulary.rows(named)]
    keys = mixed(own << np.uint64(32) | theirs)
    return [named[at] for at in np.argsort(keys, kind="stable")]


LEFT, RIGHT = [f"a{n}" for n in range(5)], [f"b{n}" for n in range(5)]
PATH = [f"p{n}" for n in range(7)]
LEAVES = [f"leaf{n}" for n in range(6)]
ALONE = ["i1", "i2", "i3"]

GRAPHS: dict[str, tuple[list[str], list[tuple[str, str]], Lists]] = {
    "two cliques and a bridge": (
        LEFT + RIGHT,
        [*combinations(LEFT, 2), *combinations(RIGHT, 2), ("a4", "b0")],
        {
            **{viewer: [{"b0"}, {"b1", "b2", "b3", "b4"}] for viewer in LEFT[:4]},
            **{viewer: [{"a4"}, {"a0", "a1", "a2", "a3"}] for viewer in RIGHT[1:]},
            "a4": [{"b1", "b2", "b3", "b4"}],
            "b0": [{"a0", "a1", "a2", "a3"}],
        },
    ),
    "a star": (
        ["hub", *LEAVES],
        [("hub", leaf) for leaf in LEAVES],
        {"hub": [], **{leaf: [set(LEAVES) - {leaf}] for leaf in LEAVES}},
    ),
    "a path": (
        PATH,
        list(pairwise(PATH)),
        {
            "p0": [{"p2"}, {"p3", "p4", "p5", "p6"}],
            "p1": [{"p3"}, {"p4", "p5", "p6"}],
            "p2": [{"p0", "p4"}, {"p5", "p6"}],
            "p3": [{"p1", "p5"}, {"p0", "p6"}],
            "p4": [{"p2", "p6"}, {"p0", "p1"}],
            "p5": [{"p3"}, {"p0", "p1", "p2"}],
            "p6": [{"p4"}, {"p0", "p1", "p2", "p3"}],
        },
    ),
    "isolated people": (ALONE, [], {one: [set(ALONE) - {one}] for one in ALONE}),
    "one user": (["me"], [], {"me": []}),
    "one user who befriended herself": (["me"], [("me", "me")], {"me": []}),
    "two friends": (["x", "y"], [("x", "y"), ("y", "x")], {"x": [], "y": []}),
}


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_lists_are_the_obvious_ones(graph: str, tmp_path: Path) -> None:
    users, pairs, expected = GRAPHS[graph]
    data, home = written(tmp_path / "data", users, pairs), tmp_path / "home"
    found = answers(home, night(data, home))
    lists = {viewer: [in_order(viewer, one, users) for one in scores] for viewer, scores in expected.items()}
    assert {viewer: groups(answer) for viewer, answer in found.items()} == lists
    for viewer, answer in found.items():
        assert answer["served"] == ("ranked" if expected[viewer] else "empty")
        named = {shown["user_id"]: shown["reasons"] for shown in answer["recommendations"]}
        mutual = {
            other: sorted(_friends(pairs, viewer) & _friends(pairs, other))
            for other in named
            if _friends(pairs, viewer) & _friends(pairs, other)
        }
        assert {other: sorted(reasons[0]["examples"]) for other, reasons in named.items() if reasons} == mutual


def _friends(pairs: Pairs, person: str) -> set[str]:
    return {b for a, b in pairs if a == person} | {a for a, b in pairs if b == person}


def test_people_who_are_hidden_are_in_no_list(tmp_path: Path) -> None:
    users = ["a,true,true", "b,true,true", "c,true,false", "d,false,true", "e,true,true"]
    pairs = [(friend, "b") for friend in "acde"]
    data, home = written(tmp_path / "data", users, pairs, "user_id,active,discoverable"), tmp_path / "home"
    found = answers(home, night(data, home))
    assert {viewer: groups(answer) for viewer, answer in found.items()} == {
        "a": [["e"]],
        "b": [],
        "c": [in_order("c", "ae", "abcde")],
        "e": [["a"]],
    }


def test_nobody_is_active(tmp_path: Path) -> None:
    data = written(tmp_path / "data", ["a,false", "b,false", "c,false"], [("a", "b"), ("b", "c")], "user_id,active")
    assert answers(tmp_path / "home", night(data, tmp_path / "home")) == {}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_dataset_of_nobody_is_refused(tmp_path: Path, suffix: str) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    for name, header in (("users", "user_id\n"), ("connections", "user_id,other_id\n")):
        (data / f"{name}.{suffix}").write_text(header if suffix == "csv" else "")
    with pytest.raises(DatasetError, match=f"^{data} names nobody: its users and connections files have no rows$"):
        night(data, home)
    assert not Versions(home).ids()
    assert not (home / "night").exists()


def test_the_command_says_so_and_ends_with_2(tmp_path: Path) -> None:
    data = written(tmp_path / "data", [], [])
    refused = Home(tmp_path / "home").run("nightly", str(data))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[-1] == (
        f"pymk: {data} names nobody: its users and connections files have no rows"
    )
