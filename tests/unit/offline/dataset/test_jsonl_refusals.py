"""Every bad input stops the run before anything is written: JSONL, by file, line, column and value."""

from pathlib import Path

import pytest

from tests.support.offline.refusals import HALF, NESTED, TWICE, refusal

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
