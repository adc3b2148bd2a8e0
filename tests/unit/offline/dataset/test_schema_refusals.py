"""Every bad input stops the run before anything is written: schema.toml, with the line and the key."""

from pathlib import Path

import pytest

from models.schema.columns import Kind
from tests.support.offline.refusals import MOMENT, refusal

SCHEMA_CASES = {
    "kind unknown": (
        {"schema__toml": b'[users]\nage = "number"\n'},
        f"schema.toml, line 2: column 'age': 'number' is not a kind of column ({', '.join(Kind)})",
    ),
    "column unknown": (
        {"schema__toml": b'[users]\nage = "numeric"\nshoe = "numeric"\n'},
        "schema.toml, line 3: column 'shoe': users.csv has no such column",
    ),
    "kind of the user id": (
        {"schema__toml": b'[users]\nuser_id = "text"\n'},
        "schema.toml, line 2: column 'user_id': the user id has no kind; take the line out",
    ),
    "kind against a meaning": (
        {"users__csv": b"user_id,name\n", "schema__toml": b'[users]\nname = "categorical"\n'},
        "schema.toml, line 2: column 'name' has a meaning of its own: it can be 'ignore' or 'text', not 'categorical'",
    ),
    "users no table": (
        {"schema__toml": b'users = "age"\n'},
        "schema.toml, line 1: users: 'age' is not a table of columns and kinds",
    ),
    "key unknown": (
        {"schema__toml": b'[user]\nage = "numeric"\n'},
        "schema.toml, line 1: 'user' is no part of this file; did you mean users?",
    ),
    "as_of unreadable": (
        {"schema__toml": b'as_of = "yesterday"\n'},
        f"schema.toml, line 1: as_of: 'yesterday' {MOMENT}",
    ),
    "as_of a year": (
        {"schema__toml": b"as_of = 2024\n"},
        "schema.toml, line 1: as_of: 2024 may be a year or a number of seconds; write a date like 2024-01-31",
    ),
    "as_of a time of day": (
        {"schema__toml": b"as_of = 10:15:00\n"},
        f"schema.toml, line 1: as_of: datetime.time(10, 15) {MOMENT}",
    ),
    "reason unknown": (
        {"schema__toml": b'[reasons]\ncolumns = ["shoe"]\n'},
        "schema.toml, line 2: [reasons] column 'shoe': users.csv has no such column",
    ),
    "reasons no list": (
        {"schema__toml": b'[reasons]\ncolumns = "age"\n'},
        "schema.toml, line 1: [reasons] holds one list of column names, columns = [...]",
    ),
}


@pytest.mark.parametrize(("contents", "message"), SCHEMA_CASES.values(), ids=SCHEMA_CASES.keys())
def test_message_about_a_schema(tmp_path: Path, contents: dict[str, bytes], message: str) -> None:
    assert refusal(tmp_path, **contents) == message


@pytest.mark.parametrize("kind", ["numeric", "text", "location", "timestamp", "ignore"])
def test_a_reason_is_never_anything_but_categories(tmp_path: Path, kind: str) -> None:
    schema = f'[users]\nspot = "{kind}"\n[reasons]\ncolumns = ["spot"]\n'.encode()
    said = "no feature" if kind == "ignore" else kind
    message = refusal(tmp_path, users__csv=b"user_id,spot\na,\n", schema__toml=schema)
    assert message == f"schema.toml, line 2: [reasons] column 'spot' is {said}: a reason is categorical or multi"


def test_schema_that_is_no_toml_names_its_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, schema__toml=b"[users]\nage = \n")
    assert message.startswith("schema.toml cannot be read as TOML: Invalid value (at line 2, column")
