"""Every bad input stops the run before anything is written, with the file, the line, the column and the value."""

import datetime as dt
import os
from pathlib import Path

import polars as pl
import pytest

from models.errors import DatasetError
from models.schema.columns import Kind
from offline.dataset.table_files import CHOICES
from offline.snapshot.snapshot import write_snapshot

STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
USERS = b"user_id,age,company\na,31,Acme\nb,,\n"
CONNECTIONS = b"user_id,other_id\na,b\n"
INTERACTIONS = b"user_id,other_id,kind,at\n"

KINDS_OF_EVENT = (
    "impression, click, view, invite, withdraw, accept, decline, connect, disconnect, dismiss, undismiss, block,"
    " unblock, report"
)
BARE = (
    'has a quotation mark and is not quoted: quote the cell and double the mark, or write quote = "" under [csv] in'
    " schema.toml if no cell of the file is quoted"
)
GOES_ON = (
    "goes on after its closing quotation mark: inside quotes a mark is doubled, or schema.toml names the character that"
    r' escapes it: escape = "\\" under [csv]'
)
LONE_RETURN = "is followed by a carriage return that ends no line: lines end in LF or CR LF"
NO_FLAG = "is neither true nor false (true, false, t, f, 1, 0, yes, no, y, n)"
HALF = "contains half of a surrogate pair, which is no character"
NESTED = 'is an object or holds nested values, which no kind can parse; declare it "ignore"'
TWICE = "are the values of a key that stands twice"
MOMENT = "is not a timestamp (ISO 8601 or epoch seconds)"


def refusal(directory: Path, **contents: bytes) -> str:
    """The message about a directory of these files, less its path; `users__csv` is the file users.csv."""
    given = {"users__csv": USERS, "connections__csv": CONNECTIONS} | contents
    for name, content in given.items():
        if content != b"absent":
            (directory / name.replace("__", ".")).write_bytes(content)
    return refused(directory)


def refused(directory: Path) -> str:
    out = directory / "home" / "snapshot"
    with pytest.raises(DatasetError) as raised:
        write_snapshot(directory, out, started_at=STARTED)
    assert not out.parent.exists(), "something was written"
    return str(raised.value).replace(f"{directory}/", "").replace(str(directory), "DATA")


CSV_CASES = {
    "no connections": (
        {"connections__csv": b"absent"},
        f"DATA holds no connections: it needs connections{CHOICES}",
    ),
    "two formats": ({"users__jsonl": b'{"user_id":"a"}\n'}, "DATA holds users.csv and users.jsonl: keep one"),
    "empty file": ({"users__csv": b""}, "users.csv is empty: it needs a header line that names its columns"),
    "missing column": (
        {"connections__csv": b"user_id,friend\na,b\n"},
        "connections.csv, line 1: the column 'other_id' is missing; the header names 'user_id', 'friend'",
    ),
    "missing header": (
        {"connections__csv": b"a,b\nb,c\n"},
        "connections.csv, line 1: the column 'user_id' is missing; the header names 'a', 'b'",
    ),
    "nameless column": ({"users__csv": b"user_id,,age\n"}, "users.csv, line 1: column 2 has no name"),
    "repeated column": ({"users__csv": b"user_id,age,age\n"}, "users.csv, line 1: two columns are named 'age'"),
    "empty id": (
        {"connections__csv": b"user_id,other_id\na,b\na,\n"},
        "connections.csv, line 3, column 'other_id': the cell is empty",
    ),
    "empty user id": (
        {"users__csv": b"user_id,age\na,1\n,2\n"},
        "users.csv, line 3, column 'user_id': the cell is empty",
    ),
    "id that is a dot": (
        {"users__csv": b"user_id\na\n..\n"},
        "users.csv, line 3, column 'user_id': '..' cannot be a user id: URLs drop it from a path",
    ),
    "id with a control character": (
        {"users__csv": b"user_id\na\nb\tc\n"},
        r"users.csv, line 3, column 'user_id': 'b\tc' contains a control character",
    ),
    "id with a C1 control character": (
        {"users__csv": "user_id\na\nb\x85\n".encode()},
        r"users.csv, line 3, column 'user_id': 'b\x85' contains a control character",
    ),
    "long id": (
        {"connections__csv": b"user_id,other_id\na," + b"x" * 129 + b"\n"},
        f"connections.csv, line 2, column 'other_id': '{'x' * 79}… has 129 bytes; a user id has at most 128",
    ),
    "unreadable number": (
        {"users__csv": USERS + b"c,thirty,\n", "schema__toml": b'[users]\nage = "numeric"\n'},
        "users.csv, line 4, column 'age': 'thirty' is not a finite number",
    ),
    "infinite number": (
        {"users__csv": USERS + b"c,inf,\n", "schema__toml": b'[users]\nage = "numeric"\n'},
        "users.csv, line 4, column 'age': 'inf' is not a finite number",
    ),
    "unreadable moment": (
        {"users__csv": b"user_id,since\na,2024-02-30\n", "schema__toml": b'[users]\nsince = "timestamp"\n'},
        f"users.csv, line 2, column 'since': '2024-02-30' {MOMENT}",
    ),
    "a year as a moment": (
        {"connections__csv": b"user_id,other_id,created_at\na,b,\na,c,2024\n"},
        (
            "connections.csv, line 3, column 'created_at': '2024' may be a year or a number of seconds; write a date"
            " like 2024-01-31"
        ),
    ),
    "a day before a month": (
        {"interactions__csv": INTERACTIONS + b"a,b,block,31012024\n"},
        "interactions.csv, line 2, column 'at': '31012024' may be a date or a number; write dates like 2024-01-31",
    ),
    "seconds or milliseconds": (
        {"users__csv": b"user_id,created_at\na,17000000000\n"},
        (
            "users.csv, line 2, column 'created_at': '17000000000' may be a time in either of two units; write it like"
            " 2024-01-31T10:15:00Z"
        ),
    ),
    "thousands or a decimal comma": (
        {"users__csv": b'user_id,pay\na,"1,234"\n', "schema__toml": b'[users]\npay = "numeric"\n'},
        (
            "users.csv, line 2, column 'pay': '1,234' may be a number with a decimal comma or one above a thousand:"
            " write it with a point, or without a comma"
        ),
    ),
    "ids written as floats": (
        {"users__csv": b"user_id\n7.0\n12.0\n"},
        (
            "users.csv, line 2, column 'user_id': '7.0' has decimals, as all ids of this column: write ids as text or"
            " as integers"
        ),
    ),
    "rounded id": (
        {"users__csv": b"user_id,age\n1.3448001175712604e+18,31\n"},
        (
            "users.csv, line 2, column 'user_id': '1.3448001175712604e+18' is a rounded number: write ids as text or as"
            " integers"
        ),
    ),
    "rounded other id": (
        {"connections__csv": b"user_id,other_id\na,1.3448001175712604e+18\n"},
        (
            "connections.csv, line 2, column 'other_id': '1.3448001175712604e+18' is a rounded number: write ids as"
            " text or as integers"
        ),
    ),
    "unreadable place": (
        {"users__csv": b'user_id,home\na,"91,0"\n', "schema__toml": b'[users]\nhome = "location"\n'},
        "users.csv, line 2, column 'home': '91,0' is not a location (\"lat,lon\" in degrees)",
    ),
    "unreadable truth": (
        {"users__csv": b"user_id,active\na,maybe\n"},
        f"users.csv, line 2, column 'active': 'maybe' {NO_FLAG}",
    ),
    "unknown event": (
        {"interactions__csv": INTERACTIONS + b"a,b,click,1\na,b,poke,2\n"},
        f"interactions.csv, line 3, column 'kind': 'poke' is not a kind of event ({KINDS_OF_EVENT})",
    ),
    "event without a time": (
        {"interactions__csv": INTERACTIONS + b"a,b,click,\n"},
        "interactions.csv, line 2, column 'at': the cell is empty",
    ),
    "event at no time": (
        {"interactions__csv": INTERACTIONS + b"a,b,click,noon\n"},
        f"interactions.csv, line 2, column 'at': 'noon' {MOMENT}",
    ),
    "events without a column": (
        {"interactions__csv": b"user_id,other_id,kind\na,b,click\n"},
        "interactions.csv, line 1: the column 'at' is missing; the header names 'user_id', 'other_id', 'kind'",
    ),
    "long row": (
        {"users__csv": USERS + b"c,1,x,y\n"},
        "users.csv, line 4: 4 cells where the header names 3: 'c,1,x,y'",
    ),
    "short row": ({"users__csv": USERS + b"c,1\n"}, "users.csv, line 4: 2 cells where the header names 3: 'c,1'"),
    "short row among line breaks": (
        {"users__csv": b'user_id,age,bio\na,1,"x\n\ny"\nb,2\n'},
        "users.csv, line 5: 2 cells where the header names 3: 'b,2'",
    ),
    "not UTF-8": ({"users__csv": USERS + b"c,1,caf\xe9\n"}, r"users.csv, line 4: not UTF-8: b'c,1,caf\xe9\n'"),
    "header not UTF-8": ({"users__csv": b"user_id,caf\xe9\n"}, r"users.csv, line 1: not UTF-8: b'user_id,caf\xe9\n'"),
    "open quote": (
        {"users__csv": USERS + b'c,1,"x\nd,2,y\n'},
        """users.csv, line 4, column 'company': '"x' begins with a quotation mark that is never closed""",
    ),
    "junk after a quote": (
        {"users__csv": USERS + b'c,1,"x"y\n'},
        f"""users.csv, line 4, column 'company': '"x"y' {GOES_ON}""",
    ),
    "bare quote": (
        {"users__csv": USERS + b'c,1,5"\n'},
        f"""users.csv, line 4, column 'company': '5"' {BARE}""",
    ),
    "quote after a space": (
        {"users__csv": USERS + b'c,1, "Acme"\n'},
        f"""users.csv, line 4, column 'company': ' "Acme"' {BARE}""",
    ),
    "escaped quotes": (
        {"users__csv": b'user_id,discoverable,about\n10,true,"a 5\\" disc"\n11,false,plain\n12,true,"a 6\\" disc"\n'},
        f"""users.csv, line 2, column 'about': '"a 5\\\\" disc"' {GOES_ON}""",
    ),
    "fault in the second line of a row": (
        {"users__csv": b'user_id,bio,town\na,"x\ny",5"\n'},
        f"""users.csv, line 3, column 'town': '5"' {BARE}""",
    ),
    "carriage return": (
        {"users__csv": USERS + b"c,1,x\rd,2,y\n"},
        f"users.csv, line 4, column 'company': 'x' {LONE_RETURN}",
    ),
    "NUL": ({"users__csv": USERS + b"c,1,x\0y\n"}, r"users.csv, line 4, column 'company': 'x\x00y' contains U+0000"),
    "NUL in an id": (
        {"connections__csv": b"user_id,other_id\na,b\0\n"},
        r"connections.csv, line 2, column 'other_id': 'b\x00' contains U+0000",
    ),
    "line counted through line breaks": (
        {"users__csv": b'\n\nuser_id,bio,active\r\na,"x\r\ny",yes\r\n\r\nb,z,2\r\n'},
        "users.csv, line 7, column 'active': '2' is neither true nor false (true, false, t, f, 1, 0, yes, no, y, n)",
    ),
    "conflicting users": (
        {"users__csv": USERS + b"a,32,Acme\n"},
        "users.csv, line 4, column 'user_id': 'a' has other values here than in users.csv, line 2",
    ),
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


@pytest.mark.parametrize(("contents", "message"), CSV_CASES.values(), ids=CSV_CASES.keys())
def test_message_names_what_is_wrong(tmp_path: Path, contents: dict[str, bytes], message: str) -> None:
    assert refusal(tmp_path, **contents) == message


@pytest.mark.parametrize("kind", ["numeric", "text", "location", "timestamp", "ignore"])
def test_a_reason_is_never_anything_but_categories(tmp_path: Path, kind: str) -> None:
    schema = f'[users]\nspot = "{kind}"\n[reasons]\ncolumns = ["spot"]\n'.encode()
    said = "no feature" if kind == "ignore" else kind
    message = refusal(tmp_path, users__csv=b"user_id,spot\na,\n", schema__toml=schema)
    assert message == f"schema.toml, line 2: [reasons] column 'spot' is {said}: a reason is categorical or multi"


@pytest.mark.parametrize("number", ["9007199254740993.0", "1e18", "12.5e17"])
@pytest.mark.parametrize(
    ("table", "column", "rest"),
    [
        ("users", "user_id", ""),
        ("connections", "other_id", ',"user_id":"a"'),
        ("interactions", "user_id", ',"other_id":"b","kind":"block","at":"2024-01-31"'),
    ],
)
def test_an_id_in_json_that_has_lost_digits(tmp_path: Path, table: str, column: str, rest: str, number: str) -> None:
    content = f'\n{{"{column}":{number}{rest}}}\n'.encode()
    said = refusal(tmp_path, **{f"{table}__csv": b"absent", f"{table}__jsonl": content})
    assert said.startswith(f"{table}.jsonl, line 2, column '{column}': '{float(number)}' is a rounded number")


@pytest.mark.parametrize("column", ["Discoverable", " discoverable", "isDiscoverable", "Active", "connections visible"])
def test_a_column_that_is_nearly_a_flag_hides_nobody(tmp_path: Path, column: str) -> None:
    users = f"user_id,{column}\na,false\n".encode()
    message = f"users.csv, column '{column}': it is no flag under this name: call it "
    assert refusal(tmp_path, users__csv=users).startswith(message)
    declared = f'[users]\n"{column}" = "categorical"\n'.encode()
    missing = refusal(tmp_path, users__csv=users, schema__toml=declared, connections__csv=b"user_id\n")
    assert missing.startswith("connections.csv, line 1: the column 'other_id' is missing")


def test_schema_that_is_no_toml_names_its_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, schema__toml=b"[users]\nage = \n")
    assert message.startswith("schema.toml cannot be read as TOML: Invalid value (at line 2, column")


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere is not a directory"):
        write_snapshot(tmp_path / "nowhere", tmp_path / "out", started_at=STARTED)


JSONL_CASES = {
    "not JSON": (
        b'{"user_id":"a"}\n\nnonsense\n',
        "users.jsonl, line 3: not a JSON object: 'nonsense' (Expecting value, at character 1)",
    ),
    "not an object": (b'{"user_id":"a"}\n[1]\n', "users.jsonl, line 2: not a JSON object: '[1]'"),
    "two objects": (
        b'{"user_id":"a"} {"user_id":"b"}\n',
        """users.jsonl, line 1: not a JSON object: '{"user_id":"a"} {"user_id":"b"}' (Extra data, at character 17)""",
    ),
    "cut short": (
        b'{"user_id":"a"}\n{"user_id":"b"',
        """users.jsonl, line 2: not a JSON object: '{"user_id":"b"' (Expecting ',' delimiter, at character 15)""",
    ),
    "not UTF-8": (
        b'{"user_id":"a\xff"}\n',
        """users.jsonl, line 1: not a JSON object: '{"user_id":"a\ufffd"}' (not UTF-8, at byte 14)""",
    ),
    "a key twice": (
        b'{"user_id":"a"}\n{"user_id":"b","discoverable":true,"discoverable":false}\n',
        f"users.jsonl, line 2, column 'discoverable': [True, False] {TWICE}",
    ),
    "a key twice, once escaped": (
        b'{"user_id":"b","discover\\u0061ble":true,"discoverable":false}\n',
        f"users.jsonl, line 1, column 'discoverable': [True, False] {TWICE}",
    ),
    "a key twice in an object within": (
        b'{"user_id":"b","job":{"at":1,"at":2}}\n',
        f"users.jsonl, line 1, column 'at': [1, 2] {TWICE}",
    ),
    "half of a surrogate pair": (
        b'{"user_id":"a","company":"Acme \\ud83d"}\n',
        rf"users.jsonl, line 1, column 'company': 'Acme \ud83d' {HALF}",
    ),
    "NUL": (
        b'{"user_id":"a","likes":["x","\\u0000"]}\n',
        r"users.jsonl, line 1, column 'likes': '\x00' contains U+0000",
    ),
    "no number": (b'{"user_id":"a","age":NaN}\n', "users.jsonl, line 1, column 'age': NaN is not a finite number"),
    "infinite number": (
        b'{"user_id":"a","age":[-Infinity]}\n',
        "users.jsonl, line 1, column 'age': -Infinity is not a finite number",
    ),
    "number without end": (
        b'{"user_id":"a","age":1e400}\n',
        "users.jsonl, line 1, column 'age': 1e400 is not a finite number",
    ),
    "list as an id": (
        b'{"user_id":["a","b"]}\n',
        "users.jsonl, line 1, column 'user_id': ['a', 'b'] is a list, not one value",
    ),
    "no id": (b'{"user_id":"a"}\n\n{"age":3}\n', "users.jsonl, line 3, column 'user_id': the cell is empty"),
    "nested": (
        b'{"user_id":"a","job":{"at":"Acme"}}\n',
        f"users.jsonl, line 1, column 'job': {{'at': 'Acme'}} {NESTED}",
    ),
}


@pytest.mark.parametrize(("content", "message"), JSONL_CASES.values(), ids=JSONL_CASES.keys())
def test_jsonl_message(tmp_path: Path, content: bytes, message: str) -> None:
    assert refusal(tmp_path, users__csv=b"absent", users__jsonl=content) == message


@pytest.mark.parametrize("cell", ["y", "[y]", "{}", "[[1]]"])
def test_jsonl_set_that_is_no_list(tmp_path: Path, cell: str) -> None:
    rows = f'{{"user_id":"a","likes":["x", 1, null, true]}}\n{{"user_id":"b","likes":"{cell}"}}\n'.encode()
    schema = b'[users]\nlikes = "multi"\n'
    message = refusal(tmp_path, users__csv=b"absent", users__jsonl=rows, schema__toml=schema)
    assert message == f"users.jsonl, line 2, column 'likes': '{cell}' is not a list of values"


def test_jsonl_list_where_one_value_belongs(tmp_path: Path) -> None:
    rows = b'{"user_id":"a"}\n{"user_id":"b","town":["x","y"]}\n'
    schema = b'[users]\ntown = "categorical"\n'
    message = refusal(tmp_path, users__csv=b"absent", users__jsonl=rows, schema__toml=schema)
    expected = (
        "users.jsonl, line 2, column 'town': ['x', 'y'] is a list, and the column is categorical: declare it multi"
    )
    assert message == expected


def parquet_refusal(directory: Path, users: pl.DataFrame) -> str:
    users.write_parquet(directory / "users.parquet")
    return refusal(directory, users__csv=b"absent")


def test_parquet_messages_name_the_row(tmp_path: Path) -> None:
    users = pl.DataFrame({"user_id": ["a", "b"], "active": [1, 7]})
    expected = f"users.parquet, row 2, column 'active': '7' {NO_FLAG}"
    assert parquet_refusal(tmp_path, users) == expected


def test_parquet_without_the_column(tmp_path: Path) -> None:
    message = parquet_refusal(tmp_path, pl.DataFrame({"id": ["a"]}))
    assert message == "users.parquet: the column 'user_id' is missing; the file has 'id'"


def test_parquet_with_a_type_that_no_kind_can_parse(tmp_path: Path) -> None:
    message = parquet_refusal(tmp_path, pl.DataFrame({"user_id": ["a"], "photo": [b"\x00"]}))
    assert message.startswith("users.parquet, column 'photo': holds objects or nested values")


def test_parquet_that_is_none(tmp_path: Path) -> None:
    message = refusal(tmp_path, users__csv=b"absent", users__parquet=b"PAR1 but not really PAR1")
    assert message.startswith("users.parquet cannot be read as Parquet: ")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    for name, content in (("users.csv", USERS), ("connections.csv", CONNECTIONS)):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "users.csv").chmod(0)
    if os.access(tmp_path / "users.csv", os.R_OK):
        pytest.skip("this user may read every file")
    assert refused(tmp_path) == "users.csv cannot be read: Permission denied"
