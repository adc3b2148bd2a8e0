"""Dumps of Neo4j, in the forms that the documentation of neo4j-admin and of APOC gives."""

import gzip
from pathlib import Path

import pytest

from tests.support.offline.imports import Imported, pairs, run_import

PERSONS = """personId:ID,name,age:int,skills:string[],score:double,joined:datetime,home:point{crs:WGS-84},:IGNORE,:LABEL
ann,"Ann ""A"" Lee",31,go;sql,1.5,2026-01-01T00:00:00Z,"{latitude: 52.5, longitude: 13.4}",x,Person
bob,Bob,44,go,2.5,2026-01-02T00:00:00Z,"{longitude:2.3, latitude:48.9}",y,Person;Admin
cy,Cy,,,,,,,Person
"""
COMPANIES = "companyId:ID,name,:LABEL\nacme,Acme,Company\n"
KNOWS = """:START_ID,since:date,:END_ID,:TYPE
ann,2026-02-01,bob,KNOWS
bob,2026-02-02,ann,KNOWS
bob,2026-02-03,cy,KNOWS
"""
WORKS = ":START_ID,:END_ID,:TYPE\nann,acme,WORKS_AT\nbob,acme,WORKS_AT\n"
DUMP = {"persons.csv": PERSONS, "companies.csv": COMPANIES, "knows.csv": KNOWS, "works.csv": WORKS}


class Importer:
    """Imports dumps of one test."""

    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._tmp_path, self._capsys = tmp_path, capsys

    def __call__(self, files: dict[str, str], *flags: str) -> Imported:
        source = self._tmp_path / "import"
        source.mkdir(exist_ok=True)
        for path in source.iterdir():
            path.unlink()
        for name, content in files.items():
            raw = content.encode()
            (source / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return run_import(self._capsys, self._tmp_path / "DATA", "neo4j", source, *flags)


@pytest.fixture
def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(tmp_path, capsys)


def test_a_dump_for_neo4j_admin_becomes_people_with_typed_columns(imported: Importer) -> None:
    made = imported(DUMP)
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("ann-bob", "bob-cy")
    assert made.profile("ann") == {
        "name": 'Ann "A" Lee',
        "age": 31,
        "skills": ["go", "sql"],
        "score": 1.5,
        "created_at": 1767225600,
        "home": "52.5,13.4",
    }
    assert made.profile("bob")["home"] == "48.9,2.3"
    assert made.profile("cy") == {"name": "Cy"}
    schema = (made.out / "schema.toml").read_text()
    assert '"skills" = "multi"' in schema
    assert '"home" = "location"' in schema
    assert "joined" not in schema


def test_what_is_no_friendship_is_counted_with_its_line(imported: Importer) -> None:
    made = imported(DUMP)
    assert "label Person for people, of Person (3)" in made.printed
    assert "type KNOWS for friendships, of KNOWS (3), WORKS_AT (2)" in made.printed
    assert "relationships of type WORKS_AT: 2; first: 'ann' and 'acme'" in made.printed
    assert "works.csv, line 2)" in made.printed
    assert "nodes with another label than Person: 1" in made.printed


def test_the_date_of_the_first_direction_is_the_friendships(imported: Importer) -> None:
    made = imported(DUMP)
    assert made.dates == {frozenset(("ann", "bob")): 1769904000, frozenset(("bob", "cy")): 1770076800}
    assert "property since as the date of the friendship" in made.printed


def test_headers_in_files_of_their_own_and_parts(imported: Importer) -> None:
    head, _, rest = PERSONS.partition("\n")
    lines = rest.splitlines(keepends=True)
    made = imported(
        {
            "persons_header.csv": head + "\n",
            "persons-1.csv": "".join(lines[:1]),
            "persons-2.csv.gz": "".join(lines[1:]),
            "knows-header.csv": KNOWS.partition("\n")[0],
            "knows.csv": KNOWS.partition("\n")[2],
        }
    )
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("ann-bob", "bob-cy")
    assert made.profile("ann")["age"] == 31


def test_id_spaces_keep_people_and_companies_apart(imported: Importer) -> None:
    made = imported(
        {
            "persons.csv": "id:ID(Person)\tname\n1\tAnn\n2\tBob\n3\tCy\n",
            "companies.csv": "id:ID(Company)\tname\n1\tAcme\n2\tBeta\n",
            "knows.csv": ":START_ID(Person)\t:END_ID(Person)\n1\t2\n2\t3\n",
            "works.csv": ":START_ID(Person)\t:END_ID(Company)\n1\t2\n3\t1\n",
        }
    )
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("1-2", "2-3")
    assert made.profile("1") == {"name": "Ann"}


def test_other_delimiters(imported: Importer) -> None:
    made = imported(
        {"p.csv": "id:ID|tags:string[]\n1|a,b\n2|c\n", "k.csv": ":START_ID|:END_ID\n1|2\n"}, "--array-delimiter", ","
    )
    assert made.pairs == pairs("1-2")
    assert made.profile("1") == {"tags": ["a", "b"]}


APOC = """"_id","_labels","name","login","tags","_start","_end","_type","since"
"0",":Person","Ann","al","[""a"",""b""]",,,,
"1",":Admin:Person","Bob","br","[""c""]",,,,
"7",":City","Rome","","",,,,
,,,,,"0","1","KNOWS","2026-02-01"
,,,,,"0","7","LIVES_IN",""
"""


def test_the_file_of_apoc_export_csv(imported: Importer) -> None:
    made = imported({"all.csv": APOC})
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("0-1")
    assert made.profile("0") == {"name": "Ann", "login": "al", "tags": ["a", "b"]}
    assert made.dates == {frozenset("01"): 1769904000}
    assert "Neo4j's internal ids as user ids; --map user_id=PROPERTY takes a property" in made.printed
    mapped = imported({"all.csv": APOC}, "--map", "user_id=login", "--force")
    assert mapped.pairs == pairs("al-br")
    assert mapped.profile("al") == {"name": "Ann", "tags": ["a", "b"]}


def test_labels_and_types_that_nobody_can_know_are_asked_for(imported: Importer) -> None:
    nodes = "id:ID,:LABEL\n1,Cat\n2,Cat\n3,Dog\n"
    edges = ":START_ID,:END_ID,:TYPE\n1,2,HISSES_AT\n1,3,CHASES\n"
    made = imported({"n.csv": nodes, "e.csv": edges})
    assert made.status == 2
    assert "which are people? It has labels Cat (2), Dog (1); say --label NAME" in made.refusal
    made = imported({"n.csv": nodes, "e.csv": edges}, "--label", "Cat")
    assert "which are friendships? It has types" in made.refusal
    made = imported({"n.csv": nodes, "e.csv": edges}, "--label", "Cta")
    assert "'Cta' is no label; did you mean Cat?" in made.refusal.replace("--label Cta is", "'Cta' is")
    made = imported({"n.csv": nodes, "e.csv": edges}, "--label", "Cat", "--type", "HISSES_AT")
    assert made.pairs == pairs("1-2")


def test_a_relationship_with_an_unknown_end_is_dropped_and_told(imported: Importer) -> None:
    made = imported({"p.csv": "id:ID\n1\n2\n", "k.csv": ":START_ID,:END_ID\n1,2\n1,9\n"})
    assert made.pairs == pairs("1-2")
    assert "relationships K with an end that is no p: 1; first: '1' and '9'" in made.printed


REFUSED = {
    "a number that is none": ({"p.csv": "id:ID,age:int\n1,x\n"}, "p.csv, line 2, column 'age:int': 'x' is not an int"),
    "a date that is none": ({"p.csv": "id:ID,d:date\n1,soon\n"}, "line 2, column 'd:date': 'soon' is not a timestamp"),
    "a point without coordinates": (
        {"p.csv": 'id:ID,at:point\n1,"{x: 1, y: 2}"\n'},
        "line 2, column 'at:point': '{x: 1, y: 2}' has no latitude and longitude",
    ),
    "a type that Neo4j lacks": ({"p.csv": "id:ID,age:integer\n1,2\n"}, "column 'age:integer': 'integer' is no type"),
    "an empty id": ({"p.csv": "id:ID,name\n,Ann\n"}, "p.csv, line 2, column 'id:ID': the cell is empty"),
    "an id that stands twice": (
        {"p.csv": "id:ID,name\n1,Ann\n1,Bob\n"},
        "p.csv, line 3, column 'name': 'Bob', where",
    ),
    "no header": ({"p.csv": "1,Ann\n2,Bob\n"}, "p.csv, line 1: no header: '1,Ann'"),
    "a short row": ({"p.csv": "id:ID,name\n1\n"}, "p.csv, line 2: 1 cells where the others have 2"),
}


@pytest.mark.parametrize(("files", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_cells_are_refused_with_file_line_column_and_value(
    imported: Importer, files: dict[str, str], fault: str
) -> None:
    made = imported({**files, "k.csv": ":START_ID,:END_ID\n1,1\n"})
    assert made.status == 2
    assert fault in made.refusal
    assert not made.out.exists()


def test_dates_before_1973_stay_dates(imported: Importer) -> None:
    nodes = "id:ID,born:date\n1,1970-01-02\n2,1901-02-03\n"
    made = imported({"p.csv": nodes, "k.csv": ":START_ID,:END_ID\n1,2\n"})
    assert made.status == 0, made.refusal
    assert made.profile("1") == {"born": 86400}
    assert '"born" = "timestamp"' in (made.out / "schema.toml").read_text()


def test_a_property_of_dates_that_is_misspelt_is_refused(imported: Importer) -> None:
    dump = {"p.csv": "id:ID\n1\n2\n", "k.csv": ":START_ID,:END_ID,met\n1,2,2020-01-01\n", ".#k.csv": "lock"}
    made = imported(dump, "--map", "created_at=mett")
    assert made.status == 2
    assert "--map created_at=mett: no relationship has this property; they have met" in made.refusal
    assert imported(dump, "--map", "created_at=met").dates == {frozenset("12"): 1577836800}
