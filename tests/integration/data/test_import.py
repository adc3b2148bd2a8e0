"""From data of other systems to lists: import, a night, and what people are shown."""

import json
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import networkx as nx
import polars as pl
import pytest

from models.cli.app import run
from models.ranker.ranker import Ranker
from models.store.keys import Keys
from models.version.local_versions import Versions
from offline.night.config import NightConfig
from offline.night.nightly import Night
from offline.snapshot.snapshot import write_snapshot
from service.ranking.rerank import Diversity, RerankSettings
from service.recommend.batch import BatchRecommender
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")
STARTED = datetime(2026, 11, 20, tzinfo=UTC)
LEFT, RIGHT = [f"a{at}" for at in range(5)], [f"b{at}" for at in range(5)]
EDGES = [*combinations(LEFT, 2), *combinations(RIGHT, 2), ("a4", "b0")]
"""two cliques and a bridge"""


def graph() -> Any:
    made = nx.Graph(EDGES)
    nx.set_node_attributes(made, {who: "Acme" if who in LEFT else "Beta" for who in made}, "company")
    return made


def write_edges(folder: Path) -> Path:
    (folder / "edges.txt").write_text("".join(f"{first}\t{second}\n" for first, second in EDGES))
    return folder / "edges.txt"


def write_graphml(folder: Path) -> Path:
    nx.write_graphml(graph(), folder / "graph.graphml")
    return folder / "graph.graphml"


def write_gexf(folder: Path) -> Path:
    nx.write_gexf(graph(), folder / "graph.gexf")
    return folder / "graph.gexf"


def write_neo4j(folder: Path) -> Path:
    dump = folder / "import"
    dump.mkdir()
    people = "".join(f"{who},{work},Person\n" for who, work in graph().nodes(data="company"))
    (dump / "people.csv").write_text(f"id:ID,company,:LABEL\n{people}")
    (dump / "knows.csv").write_text(":START_ID,:END_ID,:TYPE\n" + "".join(f"{a},{b},KNOWS\n" for a, b in EDGES))
    return dump


def write_parquet(folder: Path) -> Path:
    lake = folder / "lake"
    lake.mkdir()
    people = list(graph().nodes(data="company"))
    pl.DataFrame(people, schema=["id", "company"], orient="row").write_parquet(lake / "people.parquet")
    pl.DataFrame(EDGES, schema=["src", "dst"], orient="row").write_parquet(lake / "friends.parquet")
    return lake


FORMATS = {
    "graphml": write_graphml,
    "gexf": write_gexf,
    "neo4j": write_neo4j,
    "parquet": write_parquet,
}


@pytest.mark.parametrize("language", FORMATS)
def test_one_graph_in_every_format_is_one_snapshot(language: str, tmp_path: Path) -> None:
    """The same digest, whichever system the graph comes from."""
    digests = []
    for name in ("graphml", language):
        folder = tmp_path / f"from-{name}-{len(digests)}"
        folder.mkdir()
        out = folder / "DATA"
        assert run(["import", name, str(FORMATS[name](folder)), "--out", str(out)]) == 0
        digests.append(write_snapshot(out, folder / "snapshot", started_at=STARTED).digest)
    assert digests[0] == digests[1]


def test_an_edge_list_becomes_lists_with_two_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After the import a night runs, and the ends of the bridge are suggested each other's friends."""
    out, home, store = tmp_path / "DATA", tmp_path / "home", MemoryStore()
    assert run(["import", "edges", str(write_edges(tmp_path)), "--out", str(out)]) == 0
    assert f"pymk nightly {out}" in capsys.readouterr().out
    Night(data=out, home=home, store=store, keys=KEYS, config=NightConfig()).run()
    recommender = BatchRecommender(store, Versions(home), KEYS, Ranker.open, RerankSettings(Diversity("company", 5)))
    lists = {answer["user_id"]: answer for answer in map(json.loads, recommender.answers(LEFT, "web", 100))}
    for viewer in LEFT[:4]:
        shown = [one["user_id"] for one in lists[viewer]["recommendations"]]
        assert shown[0] == "b0"
        assert set(shown) == set(RIGHT)
        reason = lists[viewer]["recommendations"][0]["reasons"][0]
        assert (reason["code"], reason["examples"]) == ("mutual_connections", ["a4"])
