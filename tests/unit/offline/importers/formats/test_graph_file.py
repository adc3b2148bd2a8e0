"""GraphML and GEXF as networkx writes them."""

from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from tests.support.offline.imports import Imported, pairs, run_import

WRITERS: dict[str, Any] = {"graphml": nx.write_graphml, "gexf": nx.write_gexf}
both = pytest.mark.parametrize("language", WRITERS)


class Importer:
    """Imports graphs of one test."""

    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._tmp_path, self._capsys = tmp_path, capsys

    def __call__(self, language: str, graph: Any, *flags: str, name: str = "") -> Imported:
        source = self._tmp_path / (name or f"graph.{language}")
        if isinstance(graph, str):
            source.write_text(graph)
        else:
            WRITERS[language](graph, source)
        return run_import(self._capsys, self._tmp_path / "DATA", language, source, *flags)


@pytest.fixture
def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(tmp_path, capsys)


def path_graph(kind: type[Any] = nx.Graph) -> Any:
    """ann - bob - cy, and dee alone."""
    graph = kind()
    graph.add_node("ann", company="Acme", age=31, active=True)
    graph.add_node("bob", company="Acme", age=44, active=False)
    graph.add_node("cy", company="Beta", height=1.5)
    graph.add_node("dee")
    graph.add_edge("ann", "bob", since="2026-01-01")
    graph.add_edge("bob", "cy", since="2026-01-02T03:04:05Z")
    return graph


@both
def test_nodes_become_people_and_their_attributes_profile_columns(imported: Importer, language: str) -> None:
    made = imported(language, path_graph())
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("ann-bob", "bob-cy")
    assert made.users["user_id"].to_list() == ["ann", "bob", "cy", "dee"]
    assert made.profile("ann") == {"company": "Acme", "age": 31, "active": True}
    assert made.profile("cy") == {"company": "Beta", "height": 1.5}
    assert made.profile("dee") == {}


@both
def test_dates_of_edges_become_those_of_friendships(imported: Importer, language: str) -> None:
    made = imported(language, path_graph())
    assert made.dates == {frozenset(("ann", "bob")): 1767225600, frozenset(("bob", "cy")): 1767323045}
    assert "edge attribute since as the date of the friendship" in made.printed
    undated = imported(language, path_graph(), "--map", "created_at=", "--force")
    assert undated.connections.columns == ["user_id", "other_id"]


@both
def test_years_are_no_moments(imported: Importer, language: str) -> None:
    graph = nx.Graph()
    graph.add_edge(1, 2, since=2019)
    made = imported(language, graph)
    assert made.pairs == pairs("1-2")
    assert made.connections.columns == ["user_id", "other_id"]


@both
def test_a_directed_graph_says_so(imported: Importer, language: str) -> None:
    graph = nx.DiGraph([("a", "b"), ("b", "a"), ("b", "c")])
    made = imported(language, graph)
    assert made.pairs == pairs("a-b", "b-c")
    assert "says that its edges are directed" in made.printed
    assert "--follows mutual keeps the 1 pairs" in made.printed
    mutual = imported(language, graph, "--follows", "mutual", "--force")
    assert mutual.pairs == pairs("a-b")
    assert "edges without one in the other direction: 1; first: 'b' and 'c'" in mutual.printed


@both
def test_several_edges_of_a_pair_are_one_friendship(imported: Importer, language: str) -> None:
    graph = nx.MultiGraph([("a", "b"), ("b", "a"), ("a", "a"), ("b", "c")])
    made = imported(language, graph)
    assert made.pairs == pairs("a-b", "b-c")
    assert "edges of somebody with themselves: 1; first: 'a' and 'a'" in made.printed


@both
def test_edges_below_a_weight_are_dropped(imported: Importer, language: str) -> None:
    graph = nx.Graph()
    graph.add_edge("a", "b", weight=0.5)
    graph.add_edge("b", "c", weight=2.0)
    made = imported(language, graph, "--min-weight", "1")
    assert made.pairs == pairs("b-c")
    assert "edges whose 'weight' is below 1, or empty: 1; first: 'a' and 'b'" in made.printed


@both
def test_an_attribute_may_be_the_user_id_or_be_renamed_or_left_out(imported: Importer, language: str) -> None:
    graph = nx.Graph()
    graph.add_node(0, login="ann", employer="Acme", notes="x")
    graph.add_node(1, login="bob", employer="Beta", notes="y")
    graph.add_edge(0, 1)
    made = imported(language, graph, "--map", "user_id=login", "--map", "company=employer", "--map", "notes=")
    assert made.pairs == pairs("ann-bob")
    assert made.profile("ann").items() >= {"company": "Acme"}.items()
    assert not {"employer", "notes"} & set(made.users.columns)


@both
def test_an_attribute_that_is_empty_or_repeated_is_no_user_id(imported: Importer, language: str) -> None:
    graph = nx.Graph()
    graph.add_node(0, login="ann")
    graph.add_node(1)
    graph.add_edge(0, 1)
    made = imported(language, graph, "--map", "user_id=login")
    assert made.status == 2
    assert "node 2, column 'login': the cell is empty" in made.refusal
    graph.add_node(1, login="ann")
    assert "two nodes have the same value of 'login'" in imported(language, graph, "--map", "user_id=login").refusal


def test_the_label_of_gexf_is_the_name(imported: Importer) -> None:
    graph = nx.Graph()
    graph.add_node("1", label="Ann Lee")
    graph.add_node("2", label="Bob Ray")
    graph.add_edge("1", "2")
    made = imported("gexf", graph)
    assert made.profile("1") == {"name": "Ann Lee"}
    assert "attribute label as the name" in made.printed
    assert imported("gexf", graph, "--map", "name=", "--force").profile("1") == {}


def test_what_only_draws_a_node_is_left_out(imported: Importer) -> None:
    graph = nx.Graph()
    graph.add_node("1", viz={"size": 2.0, "position": {"x": 1.0, "y": 2.0, "z": 0.0}})
    graph.add_edge("1", "2")
    made = imported("gexf", graph)
    assert made.status == 0, made.refusal
    assert "left out: viz, which say how nodes are drawn" in made.printed
    assert made.profile("1") == {}


def test_numbers_of_mixed_types_become_text(imported: Importer) -> None:
    graph = nx.Graph()
    graph.add_node("a", code=1, big=2**70)
    graph.add_node("b", code="x", big=1)
    graph.add_edge("a", "b")
    made = imported("graphml", graph)
    assert made.profile("a") == {"code": "1", "big": str(2**70)}


@both
def test_compressed_files_are_read(imported: Importer, language: str) -> None:
    made = imported(language, path_graph(), name=f"graph.{language}.gz")  # networkx compresses by the suffix
    assert made.pairs == pairs("ann-bob", "bob-cy")


GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="undirected"'
REFUSED = {
    "not XML": ("graphml", "<graphml>\n<node", "graph.graphml, line 2: not XML"),
    "no XML at all": ("gexf", "1 2\n", "graph.gexf, line 1: not XML"),
    "another language": ("graphml", "<gexf></gexf>", "graph.graphml cannot be read as GraphML"),
    "an unknown key": (
        "graphml",
        f'{GRAPHML}><node id="a"><data key="d9">x</data></node></graph></graphml>',
        "graph.graphml cannot be read as GraphML",
    ),
    "no nodes": (
        "graphml",
        f"{GRAPHML}/></graphml>",
        "graph.graphml holds no node",
    ),
}


@pytest.mark.parametrize(("language", "content", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_what_networkx_cannot_read_is_refused(imported: Importer, language: str, content: str, fault: str) -> None:
    made = imported(language, content)
    assert made.status == 2
    assert fault in made.refusal
    assert not made.out.exists()


@pytest.mark.parametrize("language", ["graphml", "gexf"])
def test_ids_in_floats(imported: Importer, language: str) -> None:
    graph = nx.Graph([("a", "b")])
    nx.set_node_attributes(graph, {"a": 1.0, "b": 2.0}, "uid")
    assert imported(language, graph, "--map", "user_id=uid").pairs == pairs("1-2")
    nx.set_node_attributes(graph, {"b": 2.5}, "uid")
    said = imported(language, graph, "--map", "user_id=uid", "--force").refusal
    assert "node 2, column 'uid': 2.5 is a float that has lost digits of the id" in said
