"""A real PostgreSQL server: tables, queries, and what it refuses."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.offline.imports import Imported, pairs, run_import
from tests.support.offline.postgres_server import PASSWORD, postgres_server, server_binaries

BINARIES = server_binaries()
pytestmark = pytest.mark.skipif(BINARIES is None, reason="no PostgreSQL server: apt install postgresql")

TABLES = """
DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS app CASCADE;
CREATE TYPE plan AS ENUM ('free', 'paid');
CREATE TABLE users (
    id bigint PRIMARY KEY, name text, company text, skills text[], age int, plan plan, active boolean,
    joined_at timestamptz, born date, height numeric(5, 2), prefs jsonb, avatar bytea, place point
);
INSERT INTO users VALUES
    (1, 'Ann "A", Lee', E'Acme\nGmbH', '{go,"s|q"}', 31, 'free', true, '2026-01-01 01:00+01', '2000-01-02', 1.70,
     '["a", "b"]', '\\x00', '(1,2)'),
    (2, 'Bob', '', '{}', 44, 'paid', false, '2026-01-02', NULL, NULL, NULL, NULL, NULL),
    (3, 'Cy', NULL, NULL, NULL, NULL, NULL, 'infinity', NULL, NULL, NULL, NULL, NULL);
CREATE TABLE friendships (user_id bigint, friend_id bigint, created_at timestamp);
INSERT INTO friendships VALUES (1, 2, '2026-02-01'), (2, 1, '2026-02-02'), (2, 3, NULL), (3, 3, NULL);
CREATE TABLE events (user_id bigint, other_id bigint, kind text, at timestamptz);
INSERT INTO events VALUES (1, 3, 'block', '2026-03-01 00:00+00');
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    assert BINARIES is not None
    with postgres_server(BINARIES) as dsn:
        yield dsn


@pytest.fixture
def dsn(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(TABLES)
    return server


class Importer:
    """Imports from the server."""

    def __init__(self, dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.dsn, self._out, self._capsys = dsn, tmp_path / "DATA", capsys

    def __call__(self, *flags: str) -> Imported:
        return run_import(self._capsys, self._out, "postgres", self.dsn, *flags)

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql)


@pytest.fixture
def imported(dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(dsn, tmp_path, capsys)


def test_tables_of_common_names_are_found_with_their_types(imported: Importer) -> None:
    made = imported()
    assert made.status == 0, made.refusal
    assert made.dates == {frozenset("12"): 1769904000, frozenset("23"): None}
    assert made.profile("1") == {
        "name": 'Ann "A", Lee',
        "company": "Acme\nGmbH",
        "skills": ["go", "s|q"],
        "age": 31,
        "plan": "free",
        "active": True,
        "created_at": 1767225600,
        "born": "2000-01-02",
        "height": "1.70",
        "prefs": ["a", "b"],
    }
    assert made.profile("2") == {
        "name": "Bob",
        "skills": [],
        "age": 44,
        "plan": "paid",
        "active": False,
        "created_at": 1767312000,
    }
    assert made.profile("3") == {"name": "Cy"}
    assert made.interactions == [("1", "3", "block", 1772323200)]
    assert "table friendships for connections" in made.printed
    assert "left out: the column avatar of users" in made.printed
    assert "edges of somebody with themselves: 1; first: '3' and '3' (friendships, row 4)" in made.printed
    assert 'as_of = "20' in (made.out / "schema.toml").read_text()


def test_queries_with_columns_of_any_name(imported: Importer) -> None:
    made = imported(
        *("--connections", "SELECT user_id AS a, friend_id AS b, 5 AS strength FROM friendships WHERE user_id < 3;"),
        *("--users", "select id as key, company as org from users"),
        *("--map", "users.user_id=key", "--map", "company=org"),
    )
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("1-2", "2-3")
    assert made.profile("1") == {"company": "Acme\nGmbH"}
    assert not (made.out / "interactions.parquet").exists()


def test_tables_of_other_schemas(imported: Importer) -> None:
    imported.execute('CREATE SCHEMA app; CREATE TABLE app."Odd Name" (x text, y text)')
    imported.execute("""INSERT INTO app."Odd Name" VALUES ('a', 'b'), ('b', 'c')""")
    made = imported("--connections", 'app."Odd Name"')
    assert made.status == 0, made.refusal
    assert made.pairs == pairs("a-b", "b-c")


def test_rows_that_are_no_friendships_are_asked_for(imported: Importer) -> None:
    imported.execute("ALTER TABLE friendships ADD status text; UPDATE friendships SET status = 'accepted'")
    imported.execute("UPDATE friendships SET status = 'pending' WHERE user_id = 2")
    made = imported()
    assert made.status == 2
    assert "Its column 'status' holds accepted, pending. Say --where status=VALUE" in made.refusal
    made = imported("--where", "status=accepted")
    assert made.pairs == pairs("1-2")


def test_several_blocks_keep_their_rows(imported: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline.importers.source_text.BLOCK", 4096)
    imported.execute("TRUNCATE friendships")
    imported.execute("INSERT INTO friendships SELECT n, n + 1, NULL FROM generate_series(1, 5000) AS n")
    imported.execute("INSERT INTO friendships VALUES (7, 7, NULL)")
    made = imported()
    assert made.connections.height == 5000
    assert "'7' and '7' (friendships, row 5001)" in made.printed


REFUSED = {
    "no such table": (["--connections", "friendshps"], "'friendshps' is no table; did you mean friendships?"),
    "a wrong query": (["--connections", "SELECT nothing FROM friendships"], 'column "nothing" does not exist'),
    "no query at all": (["--connections", "DROP TABLE users"], "is neither a table nor a query"),
    "a query that writes": (
        ["--connections", "WITH gone AS (DELETE FROM friendships RETURNING *) SELECT * FROM gone"],
        "data-modifying statement",
    ),
    "an empty id": (
        ["--connections", "SELECT NULL::text AS user_id, '1' AS other_id"],
        "the query of --connections, row 1, column 'user_id': the cell is empty",
    ),
    "an unknown kind": (
        ["--interactions", "SELECT 1 AS user_id, 2 AS other_id, 'poke' AS kind, now() AS at"],
        "the query of --interactions, row 1, column 'kind': 'poke' is not a kind of event",
    ),
    "a column that is not there": (["--map", "users.user_id=key"], "users has no such column; it has 'id'"),
}


@pytest.mark.parametrize(("flags", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_read_is_refused_and_nothing_is_made(imported: Importer, flags: list[str], fault: str) -> None:
    made = imported(*flags)
    assert made.status == 2
    assert fault in made.refusal
    assert not made.out.exists()
    assert imported("--connections", "friendships").connections.height == 2  # nothing was deleted


def test_no_table_of_friendships_lists_what_there_is(imported: Importer) -> None:
    imported.execute("DROP TABLE friendships; DROP TABLE events")
    imported.execute("CREATE TABLE pets (owner int, pet text, sort text)")
    made = imported()
    assert made.status == 2
    assert "which table holds the friendships? It has pets (owner, pet, sort); users (id, name" in made.refusal


def test_a_wrong_password_is_told_without_repeating_it(imported: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "guess-0815")
    made = imported()
    assert made.status == 1
    assert "PostgreSQL does not answer: " in made.refusal
    assert "password authentication failed" in made.refusal
    assert "guess-0815" not in made.refusal


def test_a_server_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        dsn = f"postgresql://me:secret-0815@127.0.0.1:{taken.getsockname()[1]}/app"
        made = run_import(capsys, tmp_path / "DATA", "postgres", dsn)
    assert made.status == 1
    assert "PostgreSQL does not answer: " in made.refusal
    assert "secret-0815" not in made.refusal


def test_without_the_driver_the_command_that_installs_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    made = run_import(capsys, tmp_path / "DATA", "postgres", "postgresql://db/app")
    assert made.status == 2
    assert "needs the extra 'postgres': pip install -c constraints.txt '.[postgres]'" in made.refusal
