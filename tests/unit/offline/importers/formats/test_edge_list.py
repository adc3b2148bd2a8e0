"""Edge lists of every dialect give the same friendships; what is dropped is said with its line."""

import bz2
import gzip
from pathlib import Path

import pytest
from backports import zstd

from tests.support.offline.imports import Imported, pairs, run_import

EDGES = [("1", "2"), ("2", "3"), ("3", "4")]
PATH = pairs("1-2", "2-3", "3-4")


class Importer:
    """Imports texts of one test."""

    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._tmp_path, self._capsys = tmp_path, capsys

    def __call__(self, content: str | bytes, *flags: str, name: str = "edges.txt") -> Imported:
        source = self._tmp_path / name
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        return run_import(self._capsys, self._tmp_path / "DATA", "edges", source, *flags)


@pytest.fixture
def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(tmp_path, capsys)


def lines(mark: str, *head: str, end: str = "\n") -> str:
    return "".join(f"{line}{end}" for line in [*head, *(mark.join(edge) for edge in EDGES)])


DIALECTS = {
    "tabs with SNAP's comments": lines(
        "\t", "# Undirected graph: x.txt", "# Nodes: 4 Edges: 3", "# FromNodeId\tToNodeId"
    ),
    "one space": lines(" "),
    "several spaces and tabs": "1   2\n  2 \t3\n3\t\t4  \n",
    "commas": lines(","),
    "commas and spaces": lines(", "),
    "semicolons": lines(";"),
    "a header with known names": lines(",", "source,target"),
    "a header with unknown names": lines("\t", "who\twhom"),
    "a header in capitals": lines(",", "ID_1,ID_2"),
    "carriage returns": lines("\t", end="\r\n"),
    "no line end at the end": lines("\t").rstrip("\n"),
    "blank lines": "1 2\n\n2 3\n   \n3 4\n\n",
    "a byte order mark": "\ufeff" + lines(","),
    "quoted cells": 'from,to\n"1","2"\n"2",3\n3,"4"\n',
    "KONECT": "% sym unweighted\n% 3 4 4\n" + lines(" "),
    "KONECT, parted by both": "% sym\n1 2\t1 1082040961\n2 3\t1 1082155839\n3 4\t1 1082414391\n",
    "Matrix Market": "%%MatrixMarket matrix coordinate pattern symmetric\n% about\n4 4 3\n" + lines(" "),
    "networkx, without attributes": "1 2 {}\n2 3 {}\n3 4 {}\n",
    "networkx, with attributes": "1 2 {'weight': 3}\n2 3 {'weight': 1, 'x': \"y z\"}\n3 4 {}\n",
    "a comment among the edges": "1 2\n# half\n2 3\n3 4\n",
}


@pytest.mark.parametrize("content", DIALECTS.values(), ids=DIALECTS.keys())
def test_every_dialect_gives_the_same_friendships(imported: Importer, content: str) -> None:
    made = imported(content)
    assert made.status == 0, made.refusal
    assert made.pairs == PATH
    assert made.users["user_id"].to_list() == ["1", "2", "3", "4"]


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress, bz2.compress])
def test_compressed_files_are_known_by_their_first_bytes(imported: Importer, compress: object) -> None:
    made = imported(compress(lines("\t").encode()), name="edges")  # type: ignore[operator]
    assert made.pairs == PATH


def test_a_truncated_archive_is_refused_and_nothing_is_made(imported: Importer) -> None:
    made = imported(gzip.compress(lines("\t").encode() * 1000)[:-20], name="edges.txt.gz")
    assert made.status == 2
    assert "edges.txt.gz cannot be read" in made.refusal
    assert not made.out.exists()
    assert {path.name for path in made.out.parent.iterdir()} == {"edges.txt.gz"}


def test_self_edges_repeats_and_second_directions_are_counted_with_their_lines(imported: Importer) -> None:
    made = imported("a b\nb a\na b\nc c\nb c\na b\n")
    assert made.pairs == pairs("a-b", "b-c")
    assert "edges of somebody with themselves: 1; first: 'c' and 'c'" in made.printed
    assert "edges that stand twice: 2; first: 'a' and 'b'" in made.printed
    assert "edges that are the other direction of one before: 1; first: 'b' and 'a'" in made.printed
    assert [line.rpartition(" ")[2] for line in made.printed.splitlines() if "first:" in line] == ["4)", "3)", "2)"]


def test_mutual_keeps_the_pairs_that_follow_each_other(imported: Importer) -> None:
    content = "# Directed graph: follows\na b\nb a\nb c\nc d\nd c\nd c\n"
    made = imported(content, "--follows", "mutual")
    assert made.pairs == pairs("a-b", "c-d")
    assert "edges without one in the other direction: 1; first: 'b' and 'c'" in made.printed
    assert "line 4)" in made.printed


def test_either_way_says_what_mutual_would_keep(imported: Importer) -> None:
    made = imported("# Directed graph: follows\na b\nb a\nb c\n")
    assert made.pairs == pairs("a-b", "b-c")
    assert "--follows mutual keeps the 1 pairs" in made.printed


def test_no_mutual_pair_is_refused_with_the_way_out(imported: Importer) -> None:
    made = imported("a b\nb c\n", "--follows", "mutual")
    assert made.status == 2
    assert "no edge in both directions; --follows either takes them all" in made.refusal


def test_any_two_columns_by_name_or_number(imported: Importer) -> None:
    content = "when,caller,x,callee\n2026-01-01,a,0,b\n2026-01-02,b,0,c\n"
    by_name = imported(content, "--map", "user_id=caller", "--map", "other_id=callee", "--map", "created_at=when")
    assert by_name.dates == {frozenset("ab"): 1767225600, frozenset("bc"): 1767312000}
    by_number = imported(content, "--map", "user_id=2", "--map", "other_id=4", "--map", "created_at=1", "--force")
    assert by_number.dates == by_name.dates


def test_columns_that_nobody_can_know_are_asked_for(imported: Importer) -> None:
    made = imported("when,caller,x,callee\n2026-01-01,a,0,b\n")
    assert made.status == 2
    assert (
        "which two columns are the people? It has the columns 1 'when', 2 'caller', 3 'x', 4 'callee'" in made.refusal
    )
    assert "--map user_id=when --map other_id=caller" in made.refusal
    assert not made.out.exists()


def test_moments_are_found_and_the_first_of_a_friendship_counts(imported: Importer) -> None:
    made = imported("a b 1 1500000300\nb a 1 1500000100\nb c 1 1500000200\n")
    assert made.dates == {frozenset("ab"): 1500000100, frozenset("bc"): 1500000200}
    assert "column 4 as the date of the friendship; --map created_at= leaves it out" in made.printed
    undated = imported("a b 1 1500000300\nb c 1 1500000200\n", "--map", "created_at=", "--force")
    assert undated.connections.columns == ["user_id", "other_id"]


def test_a_mutual_friendship_begins_with_the_second_follow(imported: Importer) -> None:
    made = imported("a b 1500000300\na b 1500000400\nb a 1500000100\n", "--follows", "mutual")
    assert made.dates == {frozenset("ab"): 1500000300}


def test_small_numbers_are_weights_and_no_moments(imported: Importer) -> None:
    made = imported("a b 2019\nb c 2020\n")
    assert made.connections.columns == ["user_id", "other_id"]
    assert "column 3 is a weight and left out; --min-weight W keeps edges from W on" in made.printed


def test_edges_below_a_weight_are_dropped(imported: Importer) -> None:
    made = imported("source,target,rating\na,b,-10\nb,c,3\nc,d,\n", "--min-weight", "1")
    assert made.pairs == pairs("b-c")
    assert "edges whose 'rating' is below 1, or empty: 2; first: 'a' and 'b'" in made.printed


def test_a_weight_that_is_no_number_is_refused(imported: Importer) -> None:
    made = imported("a b 1\nb c much\n", "--map", "weight=3", "--min-weight", "1")
    assert made.status == 2
    assert made.refusal.endswith("edges.txt, line 2, column '3': 'much' is not a number")


REFUSED = {
    "a line with one cell": ("1\t2\n2\n", "line 2: 1 cells where the others have 2, parted by tabs: '2'"),
    "a line with a cell too much": ("1,2\n2,3,4\n", "line 2: 3 cells where the others have 2, parted by commas"),
    "an empty id": ("1,2\n2,\n", "line 2, column '2': the cell is empty"),
    "a reserved id": ("1 2\n2 ..\n", "line 2, column '2': '..' cannot be a user id"),
    "an id that is too long": (f"1 2\n2 {'x' * 129}\n", "has 129 bytes; a user id has at most 128"),
    "bare quotes": ('a,b\n"c,d\n', "line 2: unexpected end of data"),
    "quotes within a cell": ('a,b\n"c"x,d\n', "line 2: "),
    "bytes that are not UTF-8": (b"1 2\n2 \xff\n", "line 2: not UTF-8: b'2 \\xff'"),
    "no edges": ("# only a comment\n\n", "holds no edge: only comments and blank lines"),
    "one column": ("1\n2\n", "line 1: one cell, and an edge has two ends"),
    "self-edges alone": ("a a\nb b\n", "holds no friendship between two people"),
    "an adjacency list": ("a b\nb c d\nc d e f\nd\n", "lines of 1 to 4 cells: an adjacency list?"),
    "GraphML": ('<?xml version="1.0"?>\n<graphml></graphml>\n', "is graphml: pymk import graphml reads it"),
    "GEXF": ('\ufeff<gexf version="1.2">', "is gexf: pymk import gexf reads it"),
    "HTML": ("<!doctype html>\n<p>Not found", "is XML or HTML, and no edge list"),
    "Parquet": (b"PAR1\x00", "is Parquet: pymk import parquet reads it"),
    "a zip archive": (b"PK\x03\x04\x00", "is a zip archive, and no edge list"),
    "GML": ("graph [\n  node [\n", "is GML, and no edge list"),
    "two kinds of things": ("% bip unweighted\n1 2\n", "join two kinds of things, not people with people"),
    "a moment that is none": (
        "source,target,time\na,b,2026-01-01\nb,c,soon\n",
        "line 3, column 'time': 'soon' is not a timestamp",
    ),
}


@pytest.mark.parametrize(("content", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_lines_are_refused_with_line_and_value(imported: Importer, content: str | bytes, fault: str) -> None:
    flags = ("--map", "created_at=time") if "soon" in str(content) else ()
    made = imported(content, *flags)
    assert made.status == 2
    assert fault in made.refusal
    assert not made.out.exists()


def test_lines_beyond_a_block_keep_their_numbers(imported: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block ends anywhere: within a line, or within a quoted cell."""
    monkeypatch.setattr("offline.importers.source_text.BLOCK", 16)
    made = imported('a,b\nb,c\nc,d\nd,"e\nf"\n')
    assert made.refusal.endswith("line 4, column '2': 'e\\nf' contains a control character")
    assert imported("a,b\nb,c\nc,d\nd,e\ne,e\n").printed.count("line 5") == 1


def test_a_folder_of_files_is_one_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.txt").write_text("1\t2\n2\t3\n")
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"source,target\n3,4\n2,1\n"))
    made = run_import(capsys, tmp_path / "DATA", "edges", folder)
    assert made.pairs == PATH
    assert f"first: '2' and '1' ({folder / 'b.csv.gz'}, line 3)" in made.printed


def test_a_misspelt_field_gets_the_nearest(imported: Importer) -> None:
    made = imported("a b\n", "--map", "user_ids=1")
    assert made.status == 2
    assert "'user_ids' is no field; did you mean user_id?" in made.refusal


def test_people_with_the_names_of_columns_are_people(imported: Importer) -> None:
    made = imported("u v\nv w\n")
    assert made.pairs == pairs("u-v", "v-w")


def test_a_first_line_that_may_be_a_header_is_told(imported: Importer) -> None:
    made = imported("caller,callee\nann,bob\nbob,cy\n")
    assert made.pairs == pairs("caller-callee", "ann-bob", "bob-cy")
    assert "the first line, 'caller' and 'callee', as an edge; --header if it names the columns" in made.printed
    named = imported("caller,callee\nann,bob\nbob,cy\n", "--header", "--force")
    assert named.pairs == pairs("ann-bob", "bob-cy")
    known = imported("from,to\nann,bob\nbob,cy\n", "--force")
    assert "the first line names the columns: from, to; --no-header takes it as an edge" in known.printed


def test_records_that_are_no_friendships_are_asked_for(imported: Importer) -> None:
    content = "source,target,status\na,b,accepted\nb,c,pending\n"
    made = imported(content)
    assert made.status == 2
    assert "Its column 'status' holds accepted, pending. Say --where status=VALUE" in made.refusal
    made = imported(content, "--where", "status=accepted")
    assert made.pairs == pairs("a-b")
    assert "rows whose status is not accepted: 1; first: status 'pending'" in made.printed
    misspelt = imported(content, "--where", "statsu=accepted", "--force")
    assert misspelt.status == 2
    assert "did you mean status?" in misspelt.refusal


def test_a_file_of_people_gives_profiles(imported: Importer, tmp_path: Path) -> None:
    people = tmp_path / "nodes.csv"
    people.write_text('Id;Label;employer\n1;"Ann; Lee";Acme\n2;Bob;\n9;Zoe;Beta\n')
    made = imported(
        "Source;Target;Type;Weight\n1;2;Undirected;1\n2;3;Undirected;1\n",
        "--users",
        str(people),
        "--map",
        "name=Label",
        "--map",
        "company=employer",
    )
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("1-2", "2-3")
    assert made.profile("1") == {"name": "Ann; Lee", "company": "Acme"}
    assert made.users["user_id"].to_list() == ["1", "2", "9"]


def test_a_file_of_people_without_an_id_is_asked_about(imported: Importer, tmp_path: Path) -> None:
    people = tmp_path / "nodes.csv"
    people.write_text("nick,x\na,1\n")
    made = imported("a b\n", "--users", str(people))
    assert made.status == 2
    assert "nodes.csv: which column is the user id? It has nick, x. Say --map users.user_id=COLUMN" in made.refusal
    assert imported("a b\n", "--users", str(people), "--map", "users.user_id=nick").profile("a") == {"x": "1"}


def test_quoted_cells_between_spaces(imported: Importer) -> None:
    assert imported('"a b" "c d"\n"c d"   "e"\n').pairs == pairs("a b-c d", "c d-e")


STRANGE = {
    "a line shorter than the first": ("1 2 3\n4 5\n", "line 2: 2 cells where the others have 3"),
    "lines that end in CR": ("src,dst\ra,b\rc,d\r", "line 1: 'src,dst\\ra,b\\rc,d' has a carriage return that ends no"),
    "CR beyond the sample": (
        "1,2\n" * 2000 + "3,4\r5,6\n",
        "line 2001: '3,4\\r5,6' has a carriage return that ends no",
    ),
    "U+0000": ("1,2\n3\0,4\n", "line 2: '3\\x00,4' is no text"),
}


@pytest.mark.parametrize(("content", "fault"), STRANGE.values(), ids=STRANGE.keys())
def test_lines_that_hold_no_edge_are_refused_by_number(imported: Importer, content: str, fault: str) -> None:
    made = imported(content)
    assert made.status == 2
    assert f"edges.txt, {fault}" in made.refusal


def test_hidden_files_of_a_folder_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lists").mkdir()
    for name, content in ((".DS_Store", "\0"), ("_about", "x"), ("a.txt", "1 2\n")):
        (tmp_path / "lists" / name).write_text(content)
    assert run_import(capsys, tmp_path / "DATA", "edges", tmp_path / "lists").pairs == pairs("1-2")


@pytest.mark.parametrize("word", ["NULL", r"\N", "NA"])
def test_null_words_are_dates_of_nothing(imported: Importer, word: str) -> None:
    made = imported(f"src,dst,created_at\n1,2,2024-01-31\n2,3,{word}\n")
    assert made.dates == {frozenset("12"): 1706659200, frozenset("23"): None}
