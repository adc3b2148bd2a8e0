"""Every bad input stops the run before anything is written: CSV, with the file, the line, the column and the value."""

import os
from pathlib import Path

import pytest

from models.errors import DatasetError
from offline.dataset.table_files import CHOICES
from offline.snapshot.snapshot import write_snapshot
from tests.support.offline.refusals import (
    BARE,
    CONNECTIONS,
    GOES_ON,
    INTERACTIONS,
    KINDS_OF_EVENT,
    LONE_RETURN,
    MOMENT,
    NO_FLAG,
    STARTED,
    USERS,
    refusal,
    refused,
)

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
}


@pytest.mark.parametrize(("contents", "message"), CSV_CASES.values(), ids=CSV_CASES.keys())
def test_message_names_what_is_wrong(tmp_path: Path, contents: dict[str, bytes], message: str) -> None:
    assert refusal(tmp_path, **contents) == message


@pytest.mark.parametrize("column", ["Discoverable", " discoverable", "isDiscoverable", "Active", "connections visible"])
def test_a_column_that_is_nearly_a_flag_hides_nobody(tmp_path: Path, column: str) -> None:
    users = f"user_id,{column}\na,false\n".encode()
    message = f"users.csv, column '{column}': it is no flag under this name: call it "
    assert refusal(tmp_path, users__csv=users).startswith(message)
    declared = f'[users]\n"{column}" = "categorical"\n'.encode()
    missing = refusal(tmp_path, users__csv=users, schema__toml=declared, connections__csv=b"user_id\n")
    assert missing.startswith("connections.csv, line 1: the column 'other_id' is missing")


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere is not a directory"):
        write_snapshot(tmp_path / "nowhere", tmp_path / "out", started_at=STARTED)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    for name, content in (("users.csv", USERS), ("connections.csv", CONNECTIONS)):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "users.csv").chmod(0)
    if os.access(tmp_path / "users.csv", os.R_OK):
        pytest.skip("this user may read every file")
    assert refused(tmp_path) == "users.csv cannot be read: Permission denied"
